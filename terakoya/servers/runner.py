"""Starts and stops servers, and brings every server from what it is to what it should be.

Several hubs may each have a runner: whatever one does begins with a conditional UPDATE that only one can make.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from terakoya.backends.base import Backend
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.db.models import Server
from terakoya.errors import DatabaseUnavailable, LauncherUnavailable, StartFailed, TerakoyaError
from terakoya.servers import life
from terakoya.servers.activity import Activity
from terakoya.servers.attempt import WATCH, Attempt
from terakoya.servers.line import Line
from terakoya.servers.progress import follow
from terakoya.servers.reconcile import Reconciler

log = logging.getLogger(__name__)

TICK = 2.0
"""Seconds between two rounds of the loop."""


class Runner:
    """`config` may be replaced while it works; `page_config` is added to what JupyterLab's pages are told."""

    def __init__(
        self, db: Database, backend: Backend, config: Config, page_config: Mapping[str, str] | None = None
    ) -> None:
        self.db, self.backend, self.config = db, backend, config
        self.page_config = dict(page_config or {})
        self.attempts: dict[int, Attempt] = {}
        self._line = Line(config.servers.starts_at_once)
        self._stops: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._reconciler = Reconciler(self)
        self._activity = Activity(db)

    # -- starting -----------------------------------------------------------------------------------------------------

    async def start(self, server_id: int) -> Server:
        """Start, and return when requests may be sent to the address. One that runs or starts already is returned.

        StartFailed, ServerBusy, NotAllowed (its user is disabled), NoSuchServer, DatabaseUnavailable, or
        LauncherUnavailable. The start goes on when the caller is cancelled.
        """
        attempt = self.attempts.get(server_id)
        if attempt is None or attempt.unwanted:
            attempt = self._attempt(server_id)
        return await asyncio.shield(attempt.bound)

    async def wait_ready(self, server_id: int) -> Server:
        """Wait until a server that was asked to start answers; StartFailed."""
        attempt = self.attempts.get(server_id)
        if attempt is not None:
            return await asyncio.shield(attempt.ready)
        while True:
            server = await asyncio.to_thread(life.by_id, self.db, server_id)
            if server.state == "running":
                return server
            if server.state in {"failed", "stopped", "stopping"} and server.wish != "running":
                raise StartFailed(reason=server.reason or "it was stopped", hint="Try again.")
            await asyncio.sleep(WATCH)

    def resume(self, server: Server) -> None:
        """Carry on with a start that nobody works on any more; who only looks on here sees it succeed."""
        if not self.at_work(server.id):
            self._attempt(server.id, server)

    def at_work(self, server_id: int) -> bool:
        """Whether this process carries out a start of this server, and does not just wait for what another does."""
        attempt = self.attempts.get(server_id)
        return attempt is not None and bool(attempt.key)

    def _attempt(self, server_id: int, resumed: Server | None = None) -> Attempt:
        attempt = Attempt(self.db, self.backend, self._line, self.config, self.page_config, server_id)
        self.attempts[server_id] = attempt
        task = self._spawn(attempt.run(resumed))
        self._starting[server_id] = task
        task.add_done_callback(lambda _: self._attempt_over(server_id, attempt))
        return attempt

    def _attempt_over(self, server_id: int, attempt: Attempt) -> None:
        if self.attempts.get(server_id) is attempt:
            del self.attempts[server_id], self._starting[server_id]

    # -- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self, server_id: int) -> Server:
        """Stop, and return when it has stopped; also one that is just starting. One that does not run is returned.

        LauncherUnavailable: it is stopped as soon as the launcher is there again.
        """
        attempt = self.attempts.get(server_id)
        if attempt is not None and attempt.server is None:  # asked for before this, but its row is not begun yet
            attempt.unwanted = True
        server, begun = await asyncio.to_thread(life.begin_stop, self.db, server_id)
        if begun:
            self._stops[server_id] = self._spawn(self.finish_stop(server))
            self._stops[server_id].add_done_callback(lambda _: self._stops.pop(server_id, None))
        if server_id in self._stops:
            await asyncio.shield(self._stops[server_id])
        elif server.state == "stopping":
            await self._watch_stop(server)
        return await asyncio.to_thread(life.by_id, self.db, server_id)

    async def finish_stop(self, server: Server) -> None:
        """Do what `stopping` promises. If it can't be done the claim is given back, and the loop tries again."""
        await self._cancel_attempt(server)
        try:
            await self.backend.stop(server.key, self.config.servers.stop_timeout)
        except Exception:
            await asyncio.to_thread(life.free, self.db, server.id, server.key)
            raise
        await asyncio.to_thread(life.stopped, self.db, server.id, server.key)

    async def _cancel_attempt(self, server: Server) -> None:
        """End the start that is stopped; a later one, which waits for the end of the stop, stays."""
        attempt = self.attempts.get(server.id)
        if attempt is not None and attempt.key == server.key:
            attempt.unwanted = True
            task = self._starting[server.id]
            task.cancel()
            await asyncio.wait([task])

    async def _watch_stop(self, server: Server) -> None:
        """Look on while another process stops it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.servers.stop_timeout + life.CLAIM):
                while (await asyncio.to_thread(life.by_id, self.db, server.id)).state == "stopping":  # noqa: ASYNC110 it happens in another process
                    await asyncio.sleep(WATCH)

    # -- looking on ---------------------------------------------------------------------------------------------------

    def place(self, server_id: int) -> int:
        """The place in the line of starts; 0 when it does not wait in this process."""
        attempt = self.attempts.get(server_id)
        return attempt.place if attempt else 0

    def progress(self, server_id: int) -> AsyncIterator[dict[str, Any]]:
        """Events {"progress": 0 to 100, "message"}; the last one has "ready": True and "url", or "failed": True."""
        return follow(self.db, server_id, lambda: self.place(server_id))

    # -- the loop -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the loop look now, because a wish was changed."""
        self._woken.set()

    async def reconcile(self) -> None:
        """One round: compare wishes, states and what the backend reports, and begin what is to be done."""
        await self._reconciler.round()

    async def run(self) -> None:
        """The loop, until it is cancelled. Starts under way are then left to whoever comes next."""
        try:
            while True:
                await self._round()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), TICK)
                self._woken.clear()
        finally:
            await self.close()

    async def _round(self) -> None:
        try:
            await self.reconcile()
            self._activity.begin(self._reconciler.running)
        except (LauncherUnavailable, DatabaseUnavailable) as error:
            log.warning("servers are left as they are: %s", error)
        except Exception:
            log.exception("a round over the servers went wrong; the next one tries again")

    @property
    def busy_keys(self) -> list[str]:
        """Keys of starts and stops that are at work here."""
        return [attempt.key for attempt in self.attempts.values() if attempt.key]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something run beside the loop; what goes wrong is logged."""
        self._spawn(_logged(work))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Wait until everything that was begun here is over."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End without changing any row: a start under way is carried on by the next hub."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._activity.close()


async def _logged(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except TerakoyaError as error:
        log.warning("%s", error)
    except Exception:
        log.exception("work on a server went wrong")
