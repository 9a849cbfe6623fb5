"""What the loop does about one server: a function of the row and of what the backend reports, and nothing else."""

from __future__ import annotations

from typing import Literal

from terakoya.backends.base import Report
from terakoya.db.models import Server

Deed = Literal["nothing", "start", "resume", "stop", "finish stop", "note lost", "note exit"]


def decide(server: Server, report: Report | None, now: float) -> Deed:
    """`report` is what the backend says of the row's key; None if it knows nothing of it."""
    wanted = server.wish == "running" and server.user.disabled_at is None
    claimed = server.claim_until is not None and server.claim_until > now
    if server.state in {"stopped", "failed"}:
        return "start" if wanted else "nothing"
    if server.state == "stopping":
        return "nothing" if claimed else "finish stop"
    if not wanted:
        return "stop"
    if server.state == "starting" and claimed:
        return "nothing"
    return _as_reported(server, report)


def _as_reported(server: Server, report: Report | None) -> Deed:
    """Of a server that is wanted, and that nobody works on."""
    if report is not None and report.status == "exited":
        return "note exit"
    if server.state == "starting":
        return "resume"
    return "note lost" if report is None else "nothing"
