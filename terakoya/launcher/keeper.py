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

from terakoya.launcher import child, privileges
from terakoya.launcher.session import Session, SessionRefusedError

Order = dict[str, Any]
_LAST_GRACE = 2.0
_PATIENCE = 30.0
_POLL = 0.01


def run(order: Order, listening: int, log: int, events: int) -> int:
    """Keep one server from its start to its end. Returns the keeper's own exit status."""
    session: Session | None = None
    outcome: dict[str, Any] = {}
    try:
        _detach(log)
        privileges.prepare_groups(child.account(order))
        if order.get("pam_service"):
            session = Session(order["pam_service"], order["os_name"])
        for path in order.get("cgroup_tasks") or ():
            Path(path).write_text(str(os.getpid()))
        outcome = _keep(order, session, listening, log, events)
    except Exception as error:  # noqa: BLE001 whatever it is, the launcher is told
        outcome = {"failed": _reason(error), "detail": traceback.format_exc()}
        traceback.print_exc()
        _end_the_rest()
    finally:
        if session:
            session.close()
    if "failed" in outcome:
        tell(events, event="failed", reason=outcome["failed"], detail=outcome["detail"])
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
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
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


def _keep(order: Order, session: Session | None, listening: int, log: int, events: int) -> dict[str, Any]:
    """Fork the server, pass on whether it is ready, wait for its end and end what it left behind."""
    news, write_news = os.pipe()
    pid = os.fork()
    if pid == 0:
        child.become_server(order, session.environment() if session else {}, listening, write_news)
    for fd in (write_news, listening, log):
        os.close(fd)
    tell(events, event="forked", keeper=os.getpid(), pid=pid, started=started_ticks(pid))
    failure: dict[str, Any] = {}
    ended = os.pidfd_open(pid)
    try:
        answer = _first_answer(news, ended, float(order.get("timeout") or 60))
        if answer["event"] == "ready":
            tell(events, event="ready")
        else:
            failure = {"failed": answer["reason"], "detail": answer["detail"]}
            if answer["event"] == "hung" or not _readable(_LAST_GRACE, ended):
                _kill(pid, signal.SIGKILL)
    finally:
        os.close(ended)
        os.close(news)
    code = _wait_end(pid)
    _end_the_rest()
    return {**failure, "code": max(code, 0), "signal": max(-code, 0)}


def _first_answer(news: int, ended: int, seconds: float) -> dict[str, Any]:
    """What the server says first, or why it said nothing. It is the user's process: nothing of it is trusted."""
    if _readable(seconds, news, ended):
        return _read_answer(news)
    return {"event": "hung", "reason": f"It was not ready after {seconds:g} seconds.", "detail": ""}


def _readable(seconds: float, *fds: int) -> bool:
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _read_answer(news: int) -> dict[str, Any]:
    os.set_blocking(news, False)
    try:
        answer = json.loads(os.read(news, 1 << 20))
        if answer["event"] == "ready":
            return {"event": "ready"}
        return _failed(str(answer["reason"])[: child.MOST_REASON], str(answer["detail"])[-child.MOST_DETAIL :])
    except (OSError, ValueError, KeyError, TypeError):
        return _failed("It ended while starting, without saying why. Its log may tell.")


def _failed(reason: str, detail: str = "") -> dict[str, Any]:
    return {"event": "failed", "reason": reason, "detail": detail}


def _reason(error: Exception) -> str:
    if isinstance(error, SessionRefusedError):
        return f"The machine did not let the session begin ({error})."
    return f"It could not be prepared: {type(error).__name__}: {error}."


def _wait_end(pid: int) -> int:
    """The exit code of the server, negative for a signal. Orphans of it that end meanwhile are reaped."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _end_the_rest() -> None:
    """End what the server left behind: it is asked, and after a moment made to."""
    asked: set[int] = set()
    begin = time.monotonic()
    while _have_children():
        late = time.monotonic() - begin
        if late > _PATIENCE:
            return
        for pid in children_of(os.getpid()):
            if late > _LAST_GRACE:
                _kill(pid, signal.SIGKILL)
            elif pid not in asked:
                _kill(pid, signal.SIGTERM, signal.SIGHUP)
                asked.add(pid)
        time.sleep(_POLL)


def _kill(pid: int, *numbers: signal.Signals) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _have_children() -> bool:
    """Reap what has ended; whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def children_of(parent: int) -> list[int]:
    """The direct children of a process; of a subreaper these are also the orphans below it."""
    found = []
    for name in [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]:
        with suppress(OSError, IndexError):
            if int(_stat(int(name))[1]) == parent:
                found.append(int(name))
    return found


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid, its name for good."""
    return int(_stat(pid)[19])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the second may hold spaces)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _record(order: Order, outcome: dict[str, Any]) -> None:
    """Leave the end in `exit.json`, whole or not at all, for a launcher that did not see it happen."""
    if not order.get("record_dir"):
        return
    path = Path(order["record_dir"]) / "exit.json"
    draft = path.with_suffix(".new")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(outcome, file)
        draft.replace(path)
    except OSError as error:
        print(f"{path} can't be written: {error}", file=sys.stderr)  # noqa: T201 the log
