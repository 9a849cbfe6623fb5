"""What servers use, as the list of servers shows it: processors over the last interval, memory now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import update

from terakoya.backends.base import Report
from terakoya.db.engine import Database
from terakoya.db.models import Server

INTERVAL = 5.0
"""Seconds between two notes, each of one transaction for all servers."""
LITTLE = 0.02
"""A smaller change, as a share of a processor or of the memory, is not written."""


@dataclass(frozen=True)
class Sample:
    """Processor seconds used so far, and when that was measured."""

    seconds: float
    at: float


class Usages:
    """Remembers the last sample of each key."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._samples: dict[str, Sample] = {}
        self._noted = float("-inf")

    async def note(self, running: Sequence[Server], reports: Mapping[str, Report]) -> None:
        """Write what has changed noticeably."""
        now = time.monotonic()
        if now - self._noted < INTERVAL:
            return
        self._noted = now
        samples = {server.key: Sample(reports[server.key].usage.cpu_seconds, now) for server in running}
        changes = []
        for server in running:
            cpu = share(self._samples.get(server.key), samples[server.key])
            memory = reports[server.key].usage.memory_bytes
            if abs(cpu - server.cpu) > LITTLE or abs(memory - server.memory) > LITTLE * server.memory:
                changes.append((server.id, server.key, cpu, memory))
        self._samples = samples
        if changes:
            await asyncio.to_thread(self._write, changes)

    def _write(self, changes: Sequence[tuple[int, str, float, int]]) -> None:
        with self.db.session() as session:
            for server_id, key, cpu, memory in changes:
                change = update(Server).where(Server.id == server_id, Server.key == key, Server.state == "running")
                session.execute(change.values(cpu=cpu, memory=memory).execution_options(synchronize_session=False))


def share(before: Sample | None, now: Sample) -> float:
    """Processors in use between two samples; 1.0 is one of them all the time."""
    if before is None or now.at <= before.at:
        return 0.0
    return max(0.0, now.seconds - before.seconds) / (now.at - before.at)
