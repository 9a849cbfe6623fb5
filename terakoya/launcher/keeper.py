"""The keeper: parent of one server, and the holder of its PAM session. Stays root; runs nothing of the user's.

It tells the launcher what happens, one line of JSON each, on a pipe that the server itself cannot write to:
`forked`, then `ready` or `failed`, and `exit` at the end, which is also left in a file for a launcher to come.
Everything that the server started and left behind ends with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from terakoya.launcher import privileges
from terakoya.launcher.privileges import Account
from terakoya.launcher.session import Session, SessionRefused

Order = dict[str, Any]
_MOST_NEWS = 64 * 1024
_LAST_GRACE = 2.0


def run(order: Order, listening: int, log: int, events: int) -> int:
    """Keep one server from its start to its end. Returns the keeper's own exit status."""
    _detach(log)
    session: Session | None = None
    outcome: dict[str, Any] = {}
    try:
        session = _prepare(order)
        outcome = _keep(order, session, listening, log, events)
    except (OSError, SessionRefused, privileges.PrivilegeError) as error:
        outcome = {"failed": _prepare_reason(error), "detail": traceback.format_exc()}
        traceback.print_exc()
        tell(events, event="failed", reason=outcome["failed"], detail=outcome["detail"])
    finally:
        if session:
            session.close()
    _record(order, outcome)
    tell(events, event="exit", code=outcome.get("code"), signal=outcome.get("signal"))
    return 0


def tell(pipe: int, **event: object) -> None:
    """Write one event as a line; a reader that is gone is not an error."""
    with suppress(OSError):
        os.write(pipe, json.dumps(event).encode() + b"\n")


def _detach(log: int) -> None:
    """Outlive whoever started this: own session, own output, deaf to what is meant for the server."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    privileges.name_process("terakoya-keep")
    privileges.become_subreaper()
    privileges.usual_oom_score()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.umask(0o022)
    os.chdir("/")


def _prepare(order: Order) -> Session | None:
    """Put on what the server inherits: groups, the PAM session's limits, cgroups."""
    privileges.prepare_groups(_account(order))
    session = Session(order["pam_service"], order["os_name"]) if order.get("pam_service") else None
    for path in order.get("cgroup_tasks") or ():
        Path(path).write_text(str(os.getpid()))
    return session


def _keep(order: Order, session: Session | None, listening: int, log: int, events: int) -> dict[str, Any]:
    news, write_news = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_server(order, session, listening, write_news)
    os.close(write_news)
    os.close(listening)
    os.close(log)
    os.set_blocking(news, False)
    tell(events, event="forked", keeper=os.getpid(), pid=pid, started=started_ticks(pid))
    outcome: dict[str, Any] = {}
    answer = _wait_ready(pid, news, float(order.get("timeout") or 60))
    os.close(news)
    if answer.get("event") == "ready":
        tell(events, event="ready")
    else:
        outcome = {"failed": answer["reason"], "detail": answer["detail"]}
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    status = _wait_end(pid)
    code = os.waitstatus_to_exitcode(status)
    outcome |= {"code": max(code, 0), "signal": max(-code, 0)}
    _end_the_rest()
    if "failed" in outcome:
        tell(events, event="failed", reason=outcome["failed"], detail=outcome["detail"])
    return outcome


def _become_server(order: Order, session: Session | None, listening: int, news: int) -> None:
    """In the new process: become the user for good, then run JupyterLab. Never returns."""
    code = 1
    try:
        from terakoya.lab import app  # noqa: PLC0415 loaded before the fork; the fork server must report if it can't be

        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        environment = _environment(order, session.environment() if session else {})
        privileges.drop(_account(order))
        privileges.close_all_but({listening, news})
        os.environ.clear()
        os.environ.update(environment)
        code = app.run(order, listening, lambda **event: _answer(news, event))
    except BaseException as error:  # noqa: BLE001 every way to fail is told
        traceback.print_exc()
        _answer(news, {"event": "failed", "reason": _prepare_reason(error), "detail": traceback.format_exc()})
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _answer(news: int, event: dict[str, Any]) -> None:
    with suppress(OSError):
        os.write(news, json.dumps(event).encode()[:_MOST_NEWS])
        os.close(news)


def _wait_ready(pid: int, news: int, seconds: float) -> dict[str, Any]:
    """What the server says first, or why it said nothing. It is the user's process: nothing of it is trusted."""
    deadline = time.monotonic() + seconds
    ended = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(news, select.POLLIN)
    poller.register(ended, select.POLLIN)
    try:
        left = max(0, deadline - time.monotonic())
        if not poller.poll(left * 1000):
            return _failed(f"It was not ready after {seconds:g} seconds.")
        return _read_answer(news)
    finally:
        os.close(ended)


def _read_answer(news: int) -> dict[str, Any]:
    try:
        answer = json.loads(os.read(news, _MOST_NEWS))
        if answer["event"] == "ready":
            return {"event": "ready"}
        return _failed(str(answer["reason"])[:2000], str(answer["detail"])[-20000:])
    except (OSError, ValueError, KeyError, TypeError):
        return _failed("It ended while starting, without saying why. The log may tell.")


def _failed(reason: str, detail: str = "") -> dict[str, Any]:
    return {"event": "failed", "reason": reason, "detail": detail}


def _wait_end(pid: int) -> int:
    """Wait for the server itself; orphans of it that end meanwhile are reaped."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def _end_the_rest() -> None:
    """End everything the server left behind: kernels first get to notice, then SIGTERM, then SIGKILL."""
    deadline = time.monotonic() + _LAST_GRACE
    number = signal.SIGTERM
    while children := children_of(os.getpid()):
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)
        while children and time.monotonic() < deadline and number == signal.SIGTERM:
            _reap()
            children = children_of(os.getpid())
            time.sleep(0.01)
        number = signal.SIGKILL
        _reap()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def children_of(parent: int) -> list[int]:
    """The direct children of a process; being a subreaper, orphans of the server are children of the keeper."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError):
                if int(_stat(int(entry))[1]) == parent:
                    found.append(int(entry))
    return found


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid, its name for good."""
    return int(_stat(pid)[19])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the second may hold spaces)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _environment(order: Order, from_pam: dict[str, str]) -> dict[str, str]:
    """A login's environment: the basics, what PAM says, what was configured, and what the server itself needs."""
    bin_folder = os.path.dirname(sys.executable)  # noqa: PTH120 a string is wanted
    usual = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
    environment = {
        "PATH": f"{bin_folder}:{usual}",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        **from_pam,
        "HOME": order["home"],
        "USER": order["os_name"],
        "LOGNAME": order["os_name"],
        "SHELL": order["shell"] or "/bin/sh",
        **order.get("environment", {}),
        "JUPYTER_RUNTIME_DIR": order["runtime_dir"],
    }
    if "PATH" in from_pam and "PATH" not in order.get("environment", {}):
        environment["PATH"] = f"{bin_folder}:{from_pam['PATH']}"
    return environment


def _account(order: Order) -> Account:
    return Account(order["os_name"], order["uid"], order["gid"])


def _prepare_reason(error: BaseException) -> str:
    if isinstance(error, SessionRefused):
        return f"The machine did not let the session begin ({error})."
    if isinstance(error, privileges.PrivilegeError):
        return f"It could not be made to run as its user: {error}."
    return f"It could not be prepared: {type(error).__name__}: {error}."


def _record(order: Order, outcome: dict[str, Any]) -> None:
    """Leave the end in `exit.json`, whole or not at all, for a launcher that did not see it happen."""
    if not order.get("record_dir"):
        return
    path = Path(order["record_dir"]) / "exit.json"
    draft = path.with_suffix(".new")
    with suppress(OSError):
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(outcome, file)
        draft.replace(path)
