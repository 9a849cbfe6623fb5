"""When servers were last used, and how many kernels they have: asked from the servers themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import or_, update

from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.servers.spec import base_url

log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between two rounds."""
QUIET = 30.0
"""Seconds after which also a server that nobody has used is asked: a kernel may be computing."""
AT_ONCE = 8
PATIENCE = 5.0
LITTLE = 1.0
"""Seconds by which the last activity must be later to be written."""


@dataclass(frozen=True)
class Seen:
    """What a server said of itself."""

    last_activity: float
    kernels: int
    busy: int


def read(status: dict[str, Any], kernels: list[dict[str, Any]]) -> Seen:
    """From the answers of /api/status and /api/kernels."""
    moments = [status.get("last_activity"), *(kernel.get("last_activity") for kernel in kernels)]
    busy = sum(kernel.get("execution_state") == "busy" for kernel in kernels)
    latest = max((datetime.fromisoformat(moment).timestamp() for moment in moments if moment), default=0.0)
    # A busy kernel is activity, also when it has said nothing for hours.
    return Seen(time.time() if busy else min(latest, time.time()), len(kernels), busy)


class Activity:
    """Asks a few servers at a time, and one that is slow or broken holds up no other."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._client: httpx.AsyncClient | None = None
        self._asked: dict[str, float] = {}
        self._began = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def begin(self, running: Sequence[Server]) -> None:
        """Begin a round if it is time and the last one is over."""
        if time.monotonic() - self._began >= INTERVAL and (self._task is None or self._task.done()):
            self._began = time.monotonic()
            self._task = asyncio.create_task(self._round(running))

    async def _round(self, running: Sequence[Server]) -> None:
        try:
            await self.ask(running)
        except Exception:
            log.exception("asking servers for their activity went wrong")

    async def ask(self, running: Sequence[Server]) -> None:
        """Ask those that are due, and write what they say in one transaction."""
        now = time.time()
        self._asked = {server.key: self._asked.get(server.key, 0.0) for server in running}
        due = [server for server in running if self._due(server, now)]
        turns = asyncio.Semaphore(AT_ONCE)
        answers = await asyncio.gather(*(self._ask(server, turns) for server in due))
        changed = [(server, seen) for server, seen in zip(due, answers, strict=True) if seen and differs(server, seen)]
        if changed:
            await asyncio.to_thread(self._write, changed)

    def _due(self, server: Server, now: float) -> bool:
        asked = self._asked[server.key]
        return (server.last_activity or 0.0) > asked or now - asked >= QUIET

    async def _ask(self, server: Server, turns: asyncio.Semaphore) -> Seen | None:
        client = self._client = self._client or httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
        base = f"http://{server.address}{base_url(server.user.name, server.name)}api/"
        headers = {"Authorization": f"token {server.secret}"}
        async with turns:
            self._asked[server.key] = time.time()
            try:
                # Asking is not activity.
                answers = [
                    (
                        await client.get(base + path, params={"no_track_activity": "1"}, headers=headers)
                    ).raise_for_status()
                    for path in ("status", "kernels")
                ]
                return read(*(answer.json() for answer in answers))
            except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
                log.debug("%s does not tell its activity: %r", base, error)
                return None

    def _write(self, changed: Sequence[tuple[Server, Seen]]) -> None:
        with self.db.session() as session:
            for server, seen in changed:
                row = update(Server).where(Server.id == server.id, Server.key == server.key, Server.state == "running")
                row = row.values(kernels=seen.kernels, kernels_busy=seen.busy)
                session.execute(row.execution_options(synchronize_session=False))
                for kind, its_id in ((Server, server.id), (User, server.user_id)):
                    earlier = or_(kind.last_activity.is_(None), kind.last_activity < seen.last_activity)
                    later = update(kind).where(kind.id == its_id, earlier).values(last_activity=seen.last_activity)
                    session.execute(later.execution_options(synchronize_session=False))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def differs(server: Server, seen: Seen) -> bool:
    """Whether there is something to write."""
    later = seen.last_activity - (server.last_activity or 0.0) > LITTLE
    return later or (server.kernels, server.kernels_busy) != (seen.kernels, seen.busy)
