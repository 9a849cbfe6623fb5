"""Short programs that run as the account and answer with one JSON object."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import Any

from terakoya import errors
from terakoya.config import Config
from terakoya.errors import KeepsDying, TerakoyaError
from terakoya.ops import programs


def run(config: Config, account: pwd.struct_passwd, module: str) -> dict[str, Any]:
    """What `module` answers; the error that it met is raised here."""
    program = programs.task(config, account, module)
    log = program.log.open()
    try:
        done = subprocess.run(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=dict(program.environment),
            umask=program.umask,
            check=False,
        )
    finally:
        os.close(log)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = " ".join(program.log.tail(1)) or "nothing"
        reason = f"exit code {done.returncode}"
        raise KeepsDying(process=module, reason=reason, said=said, log=program.log.path) from None
    if "error" in answer:
        kind: type[TerakoyaError] = getattr(errors, answer["error"])
        raise kind(**answer["facts"])
    return answer
