"""What a way of starting servers must be able to do. It never sees a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True)
class ServerSpec:
    """What to start. `key` names this one start for good; a second start of the same server has another key."""

    key: str
    """Letters, digits and "-" only, at most 64."""
    os_name: str
    """The account of the machine that it runs as."""
    user_name: str
    """The name shown to the user."""
    base_url: str
    """With a slash at both ends, such as /user/alice/."""
    secret: str = field(repr=False)
    """What the gate will send as `Authorization: token ...`; never in argv, environment, files or logs."""
    default_url: str = "/lab"
    page_config: dict[str, str] = field(default_factory=dict)
    """Extra entries for JupyterLab's page configuration (hubUser, hubPrefix, fullStaticUrl ...)."""
    environment: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    """Seconds until a server that is not ready has failed."""


@dataclass(frozen=True)
class Usage:
    """What a server and everything it started uses. CPU seconds since its start, bytes, a count."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    processes: int = 0


@dataclass(frozen=True)
class Report:
    """What really is, as far as the backend can tell."""

    key: str
    status: Literal["starting", "running", "exited"]
    address: str = ""
    """IP address and port that the gate sends requests to, such as 127.0.0.1:40123."""
    reason: str = ""
    """For `exited`: why, in a sentence for the user."""
    detail: str = ""
    """For `exited`: the end of the log, for whoever mends it."""
    usage: Usage = Usage()


class Backend(Protocol):
    """How servers are started. Contract: tests/backends/contract.py.

    An unreachable backend raises LauncherUnavailable from every method: unknown is never "exited" and never an
    empty list. A `key` that `list` does not name does not run.
    """

    async def start(self, spec: ServerSpec, on_bound: Callable[[str], Awaitable[None]]) -> Report:
        """Start and wait until it answers. `on_bound(address)` is awaited as soon as requests may be sent there.

        Starting a key that runs already returns its report. StartFailed if it exits or is not ready in time, and
        then nothing of it is left.
        """

    async def stop(self, key: str, grace: float) -> None:
        """Ask it to end, end it after `grace` seconds, forget it. Stopping what is not there succeeds."""

    async def list(self) -> list[Report]:
        """Everything that was started and not stopped, also what exited by itself."""

    async def status(self, key: str) -> Report | None:
        """One of `list`, or None."""
