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
    code = 1
    try:
        os.setsid()
        _usual_signals()
        new_environment = environment(order, from_pam)
        privileges.drop(account(order))
        privileges.close_all_but({listening, news})
        os.environ.clear()
        os.environ.update(new_environment)
        privileges.name_process("jupyter-lab")
        code = _serve(order, listening, news)
    except BaseException as error:  # noqa: BLE001 every way to fail is told
        traceback.print_exc()
        reason = f"It could not be prepared: {type(error).__name__}: {error}."
        _answer(news, event="failed", reason=reason, detail=traceback.format_exc())
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


def _serve(order: dict[str, Any], listening: int, news: int) -> int:
    from terakoya.lab import app  # noqa: PLC0415 loaded before the fork, but not before preload could tell that it can't be

    return app.run(order, listening, lambda **event: _answer(news, **event))


def _usual_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _answer(news: int, *, event: str, reason: str = "", detail: str = "") -> None:
    """The first answer counts and closes the pipe."""
    line = json.dumps({"event": event, "reason": reason[:MOST_REASON], "detail": detail[-MOST_DETAIL:]})
    with suppress(OSError):
        os.write(news, line.encode())
        os.close(news)
