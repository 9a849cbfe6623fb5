"""Short programs that run as the account and answer with one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from terakoya import configfile, errors
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
        raise KeepsDying(
            process=f"step {module.rpartition('.')[2]}", reason=reason, said=said, log=program.log.path
        ) from None
    if "error" in answer:
        kind: type[TerakoyaError] = getattr(errors, answer["error"])
        raise kind(**answer["facts"])
    return answer


def answer(task: Callable[[Config], Mapping[str, Any]]) -> None:
    """The other side: do `task` with the settings named in argv, and print what it gives or the error it met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--personal", action="store_true")
    arguments = parser.parse_args()
    try:
        given = dict(task(configfile.load(arguments.config, personal=arguments.personal)))
    except TerakoyaError as error:
        given = {"error": error.code, "facts": {key: str(value) for key, value in error.facts.items()}}
    json.dump(given, sys.stdout)
