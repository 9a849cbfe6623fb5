"""The server's own process: from a fork of the keeper to JupyterLab running as the user, for good."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from terakoya.launcher import privileges
from terakoya.launcher.privileges import Account

MOST_REASON = 1000
MOST_DETAIL = 8000
"""Characters; together they fit into a pipe even when every one is escaped."""

_USUAL_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


def become_server(order: dict[str, Any], from_pam: dict[str, str], listening: int, news: int) -> NoReturn:
    """Drop every privilege, then serve. What becomes of it is told on `news`. Never returns."""
    code, tell = 1, _News(news)
    try:
        os.setsid()
        _usual_signals()
        new_environment = environment(order, from_pam)
        privileges.drop(account(order))
        privileges.close_all_but({listening, news})
        os.environ.clear()
        os.environ.update(new_environment)
        privileges.name_process("jupyter-lab")
        code = _serve(order, listening, tell)
    except BaseException as error:  # noqa: BLE001 every way to fail is told
        traceback.print_exc()
        reason = f"It could not be prepared: {type(error).__name__}: {error}."
        tell(event="failed", reason=reason, detail=traceback.format_exc())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def account(order: dict[str, Any]) -> Account:
    return Account(order["os_name"], order["uid"], order["gid"])


def environment(order: dict[str, Any], from_pam: dict[str, str]) -> dict[str, str]:
    """A login's environment: the basics, what PAM says, what was configured, and what the server itself needs."""
    programs = os.path.dirname(sys.executable)  # noqa: PTH120 links in it must stay
    return {
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        **from_pam,
        "PATH": f"{programs}:{from_pam.get('PATH', _USUAL_PATH)}",
        "HOME": order["home"],
        "USER": order["os_name"],
        "LOGNAME": order["os_name"],
        "SHELL": order["shell"] or "/bin/sh",
        **order.get("environment", {}),
        "JUPYTER_RUNTIME_DIR": order["runtime_dir"],
    }


def _serve(order: dict[str, Any], listening: int, tell: _News) -> int:
    from terakoya.lab import app  # noqa: PLC0415 loaded long ago, by preload, which can tell if it can't be

    return app.run(order, listening, tell)


def _usual_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class _News:
    """The pipe to the keeper. The first answer counts and closes it: the number may soon be another file's."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd

    def __call__(self, *, event: str, reason: str = "", detail: str = "") -> None:
        if self.fd is None:
            return
        fd, self.fd = self.fd, None
        line = json.dumps({"event": event, "reason": reason[:MOST_REASON], "detail": detail[-MOST_DETAIL:]})
        with suppress(OSError):
            os.write(fd, line.encode())
            os.close(fd)
