"""One round of the loop: every server's wish and state against what the backend reports."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from terakoya.backends.base import Report
from terakoya.db.models import Server
from terakoya.errors import LauncherUnavailable
from terakoya.servers import life
from terakoya.servers.decide import decide
from terakoya.servers.usage import Usages

if TYPE_CHECKING:
    from terakoya.servers.runner import Runner

LIST_SECONDS = 5.0
"""A launcher that does not list within this time is taken as away."""

LOST = "it ended, and nothing tells why (perhaps the machine was restarted)"


class Reconciler:
    """Remembers between rounds only what makes the next one more careful."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.running: list[Server] = []
        """Those that ran in the last round, with their users."""
        self._missing: set[str] = set()
        self._usages = Usages(runner.db)

    async def round(self) -> None:
        """LauncherUnavailable changes nothing: unknown is not stopped."""
        db = self.runner.db
        await asyncio.to_thread(life.hold, db, self.runner.busy_keys)
        # The rows are read first: a server that is started between the two is then not taken for lost.
        rows = await asyncio.to_thread(life.unsettled, db)
        reports = await self._list()
        missing: set[str] = set()
        for server in rows:
            if not self.runner.at_work(server.id) or server.wish != "running":
                await self._settle(server, reports.get(server.key), missing)
        self._missing = missing
        await self._end_strays(rows, reports)
        self.running = [server for server in rows if server.state == "running" and server.key in reports]
        await self._usages.note(self.running, reports)

    async def _list(self) -> dict[str, Report]:
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return {report.key: report for report in await self.runner.backend.list()}
        except TimeoutError:
            raise LauncherUnavailable from None

    async def _settle(self, server: Server, report: Report | None, missing: set[str]) -> None:
        runner = self.runner
        deed = decide(server, report, time.time())
        if deed == "start":
            runner.spawn(runner.start(server.id))
        elif deed == "stop":
            runner.spawn(runner.stop(server.id))
        elif deed == "resume" and await asyncio.to_thread(life.take_over, runner.db, server):
            runner.resume(server)
        elif deed == "finish stop" and await asyncio.to_thread(life.take_over, runner.db, server):
            runner.spawn(runner.finish_stop(server))
        elif deed == "note exit" and report is not None:
            await self._note_exit(server, report)
        elif deed == "note lost":
            # Believed only the second time: a launcher that has just come back may not know all of them yet.
            missing.add(server.key)
            if server.key in self._missing:
                await asyncio.to_thread(life.fail, runner.db, server.id, server.key, LOST)

    async def _note_exit(self, server: Server, report: Report) -> None:
        reason = report.reason or "it ended by itself"
        if await asyncio.to_thread(life.fail, self.runner.db, server.id, server.key, reason, report.detail):
            await self.runner.backend.stop(server.key, 0)

    async def _end_strays(self, rows: list[Server], reports: dict[str, Report]) -> None:
        """End what runs without a row that wants it: nobody has its secret, so nobody can reach it."""
        strange = reports.keys() - {server.key for server in rows}
        live = await asyncio.to_thread(life.live_keys, self.runner.db, strange)
        for key in strange - live:
            self.runner.spawn(self.runner.backend.stop(key, self.runner.config.servers.stop_timeout))
