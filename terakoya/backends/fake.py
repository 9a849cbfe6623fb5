"""Servers that are only remembered: for tests of everything above, and for trying the pages without accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from terakoya.backends.base import Report, ServerSpec, Usage
from terakoya.errors import LauncherUnavailable, StartFailed


@dataclass
class FakeBackend:
    """Keeps the contract of Backend. The fields are for who arranges a scene."""

    seconds: float = 0.0
    """How long a start takes after its address is known."""
    failing: dict[str, str] = field(default_factory=dict)
    """Accounts whose servers do not start, and why."""
    away: bool = False
    """Whether it can't be reached."""
    started: list[ServerSpec] = field(default_factory=list)
    """Every start that really was one."""
    _reports: dict[str, Report] = field(default_factory=dict)
    _starts: dict[str, asyncio.Task[Report]] = field(default_factory=dict)

    async def start(self, spec: ServerSpec, on_bound: Callable[[str], Awaitable[None]]) -> Report:
        self._reachable()
        if spec.key not in self._reports:
            self.started.append(spec)
            address = f"127.0.0.1:{20000 + len(self.started)}"
            self._reports[spec.key] = Report(spec.key, "starting", address)
            self._starts[spec.key] = asyncio.create_task(self._become_ready(spec))
        await on_bound(self._reports[spec.key].address)
        if spec.key in self._starts:
            await asyncio.wait([self._starts[spec.key]])
        report = self._reports.get(spec.key)
        if report is None or report.status != "running":
            reason = report.reason if report else self.failing.get(spec.os_name, "it was stopped while it started")
            raise StartFailed(reason=reason, hint="Try again.", detail="")
        return report

    async def stop(self, key: str, grace: float) -> None:  # noqa: ARG002 it ends at once
        self._reachable()
        self._reports.pop(key, None)
        if start := self._starts.pop(key, None):
            start.cancel()

    async def list(self) -> list[Report]:
        self._reachable()
        return list(self._reports.values())

    async def status(self, key: str) -> Report | None:
        self._reachable()
        return self._reports.get(key)

    def exit(self, key: str, reason: str = "it ended by itself", detail: str = "") -> None:
        """Let a server end by itself."""
        self._reports[key] = replace(self._reports[key], status="exited", reason=reason, detail=detail, usage=Usage())

    def use(self, key: str, usage: Usage) -> None:
        """Say what a server uses."""
        self._reports[key] = replace(self._reports[key], usage=usage)

    async def _become_ready(self, spec: ServerSpec) -> Report:
        await asyncio.sleep(self.seconds)
        if spec.os_name in self.failing:
            return self._reports.pop(spec.key)
        self._reports[spec.key] = replace(self._reports[spec.key], status="running", usage=Usage(0.1, 30_000_000, 1))
        return self._reports[spec.key]

    def _reachable(self) -> None:
        if self.away:
            raise LauncherUnavailable
