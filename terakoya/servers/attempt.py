"""One start of one server, from the wish until it answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from terakoya.backends.base import Backend, Report
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.db.models import Server
from terakoya.errors import LauncherUnavailable, ServerBusy, StartFailed, TerakoyaError
from terakoya.servers import life
from terakoya.servers.line import Line
from terakoya.servers.spec import make_spec

log = logging.getLogger(__name__)

LAUNCHER_PATIENCE = 10.0
"""Seconds for which a launcher that does not answer is asked again: it restarts within two or three."""
LAUNCHER_PAUSE = 0.2
MARGIN = 5.0
"""Seconds beyond its time-out after which a start that never answers is given up here."""
WATCH = 0.05
"""Seconds between two looks at a start that another process carries out."""


class NotWantedError(Exception):
    """Somebody stopped the server, or began another start, while this one was under way."""


class Attempt:
    """A start that is under way in this process. `bound` and `ready` are done when it has come so far."""

    def __init__(
        self, db: Database, backend: Backend, line: Line, config: Config, page_config: Mapping[str, str], server_id: int
    ) -> None:
        self.db, self.backend, self.line, self.config, self.page_config = db, backend, line, config, page_config
        self.server_id = server_id
        self.server: Server | None = None
        self.bound: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        self.began = time.monotonic()
        self.unwanted = False
        """Set by a stop that came later; a new start does not join this one."""

    @property
    def place(self) -> int:
        """The place in the line; 0 when it is this one's turn or was."""
        return self.line.place(self)

    @property
    def key(self) -> str:
        """The key whose claim is to be held; "" while it is not ours."""
        return self.server.key if self.server else ""

    async def run(self, resumed: Server | None = None) -> None:
        """Begin and carry out, or carry on with a start whose worker is gone. Every outcome is in the futures."""
        try:
            server = resumed or await self._begin()
            if server is not None:
                self.server = server
                await self._carry_out(server)
        except asyncio.CancelledError:
            self._end(StartFailed(reason="it was stopped meanwhile", hint="Start it again when you need it."))
            raise
        except TerakoyaError as error:
            self._end(error)
        except Exception as error:
            log.exception("starting server %s went wrong", self.server_id)
            self._end(error)

    def _end(self, error: Exception) -> None:
        for future in (self.bound, self.ready):
            if not future.done():
                future.set_exception(error)
            # Perhaps nobody waits; then the log and the row have it.
            future.exception()

    def _reached(self, server: Server, *futures: asyncio.Future[Server]) -> None:
        for future in futures:
            if not future.done():
                future.set_result(server)

    # -- beginning ----------------------------------------------------------------------------------------------------

    async def _begin(self) -> Server | None:
        """The row, begun by us; None if it runs already or another process has brought it so far."""
        patience = self.config.servers.stop_timeout + MARGIN
        while True:
            server, begun = await asyncio.to_thread(life.begin, self.db, self.server_id)
            if self.unwanted:
                await self._take_back(server, begun=begun)
            if begun:
                return server
            if server.state == "running":
                self._reached(server, self.bound, self.ready)
                return None
            if server.state == "starting":
                await self._watch()
                return None
            if time.monotonic() - self.began > patience:
                raise ServerBusy(user=server.user.name)
            await asyncio.sleep(WATCH)

    async def _take_back(self, server: Server, *, begun: bool) -> None:
        if begun:
            await asyncio.to_thread(life.begin_stop, self.db, server.id)
            await asyncio.to_thread(life.stopped, self.db, server.id, server.key)
        raise StartFailed(reason="it was stopped meanwhile", hint="Start it again when you need it.")

    async def _watch(self) -> None:
        """Look on while another process starts the server."""
        while True:
            server = await asyncio.to_thread(life.by_id, self.db, self.server_id)
            if server.address:
                self._reached(server, self.bound)
            if server.state == "running":
                self._reached(server, self.bound, self.ready)
                return
            if server.state != "starting":
                raise StartFailed(reason=server.reason or "it was stopped meanwhile", hint="Try again.")
            await asyncio.sleep(WATCH)

    # -- carrying out -------------------------------------------------------------------------------------------------

    async def _carry_out(self, server: Server) -> None:
        try:
            report = await self._in_turn(server)
            await self._note(life.ready, server, report.address)
        except NotWantedError:
            await self._leave_nothing(server)
            raise StartFailed(reason="it was stopped meanwhile", hint="Start it again when you need it.") from None
        except Exception as error:
            await self._failed(server, error)
            raise
        server.address, server.state = report.address, "running"
        self._reached(server, self.bound, self.ready)

    async def _in_turn(self, server: Server) -> Report:
        asked = time.monotonic()
        async with self.line.turn(self):
            if time.monotonic() - asked > life.CLAIM / 2:
                await self._still_ours(server)
            return await self._start_patiently(server)

    async def _still_ours(self, server: Server) -> None:
        """After a long wait, make sure that nobody took over or stopped it."""
        now = await asyncio.to_thread(life.by_id, self.db, server.id)
        if now.key != server.key or now.state != "starting":
            raise NotWantedError

    async def _start_patiently(self, server: Server) -> Report:
        """Start; ask again while the launcher restarts. The same key is never started twice."""
        spec = make_spec(server, self.config, self.page_config)
        until = time.monotonic() + LAUNCHER_PATIENCE
        while True:
            try:
                async with asyncio.timeout(spec.timeout + MARGIN):
                    return await self.backend.start(spec, partial(self._on_bound, server))
            except LauncherUnavailable:
                if time.monotonic() > until:
                    raise
            except TimeoutError:
                raise StartFailed(
                    reason=f"it was not ready after {spec.timeout:.0f} seconds",
                    hint="Try again; if it stays so, the administrator finds the cause in the server's log.",
                ) from None
            await asyncio.sleep(LAUNCHER_PAUSE)

    async def _on_bound(self, server: Server, address: str) -> None:
        await self._note(life.bound, server, address)
        server.address = address
        self._reached(server, self.bound)

    async def _note(self, step: Callable[[Database, int, str, str], bool], server: Server, address: str) -> None:
        """Write how far it has come, if this start is still the one that is wanted."""
        if not await asyncio.to_thread(step, self.db, server.id, server.key, address):
            raise NotWantedError

    async def _failed(self, server: Server, error: Exception) -> None:
        """Leave nothing of it, and say in the row why."""
        await self._leave_nothing(server)
        reason, detail = explain(error)
        with suppress(TerakoyaError):  # if the row can't be written now, the loop finds it unclaimed later
            await asyncio.to_thread(life.fail, self.db, server.id, server.key, reason, detail)

    async def _leave_nothing(self, server: Server) -> None:
        try:
            await self.backend.stop(server.key, 0)
        except LauncherUnavailable:
            pass  # what is left over is found by the loop
        except Exception:
            log.exception("%s could not be cleared away; the loop tries again", server.key)


def explain(error: Exception) -> tuple[str, str]:
    """Why a start failed: a sentence for the user, and details for whoever mends it."""
    if isinstance(error, StartFailed):
        return str(error.facts.get("reason", error.what)), str(error.facts.get("detail", ""))
    if isinstance(error, TerakoyaError):
        return error.what, ""
    return "something in terakoya went wrong", repr(error)
