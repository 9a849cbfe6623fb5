"""The fake backend with gates, so that a test can hold a start or a stop, and a way to wait for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from terakoya.backends.base import Report, ServerSpec
from terakoya.backends.fake import FakeBackend


class GatedBackend(FakeBackend):
    """`bind`, `answer` and `end` are open; a closed one holds every start or stop there."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.stops: list[str] = []
        self.bind, self.answer, self.end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for gate in (self.bind, self.answer, self.end):
            gate.set()

    async def start(self, spec: ServerSpec, on_bound: Callable[[str], Awaitable[None]]) -> Report:
        self._reachable()
        self.calls.append(spec.key)
        await self.bind.wait()
        report = await super().start(spec, on_bound)
        self._reachable()
        return report

    async def _become_ready(self, spec: ServerSpec) -> Report:
        await self.answer.wait()
        return await super()._become_ready(spec)

    async def stop(self, key: str, grace: float) -> None:
        self._reachable()
        self.stops.append(key)
        await self.end.wait()
        await super().stop(key, grace)

    def spec(self, key: str) -> ServerSpec:
        return next(spec for spec in self.started if spec.key == key)

    @property
    def reports(self) -> dict[str, Report]:
        """What runs; a test may change it behind everybody's back."""
        return self._reports


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.005)
