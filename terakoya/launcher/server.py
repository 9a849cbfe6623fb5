"""The life of one server as the launcher sees it: handed to the fork server, ready, ended, forgotten.

Each step is recorded before the next is taken, so that a launcher that dies anywhere leaves nothing that the next one
can't find.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.launcher import ending, events, logs, processes
from terakoya.launcher.cgroups import Cgroups, Group
from terakoya.launcher.events import Events, StartError
from terakoya.launcher.forking import ForkServer, PreloadError
from terakoya.launcher.people import Person
from terakoya.launcher.processes import Process
from terakoya.launcher.records import Record, Records

log = logging.getLogger("terakoya.launcher")

_TRIES = 3


@dataclass(frozen=True)
class Means:
    """What starting a server needs."""

    records: Records
    cgroups: Cgroups
    fork_server: ForkServer
    logs: Path
    root: bool
    log_gid: int | None
    """The group that may read logs."""
    pam_service: str


class Server:
    """One start of one user's server."""

    def __init__(self, means: Means, record: Record) -> None:
        self.record = record
        self._means = means
        # Kept open until the server is stopped for good: while the hub may still send requests to the port,
        # no other user's process can take it.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._bound = asyncio.Event()
        self._settled = asyncio.Event()
        """It is ready, or never will be."""
        self._life: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[int | None] | None = None

    @classmethod
    def begin(cls, means: Means, request: Mapping[str, Any], person: Person) -> Server:
        """Start it in the background."""
        record = Record(
            key=request["key"],
            os_name=person.name,
            uid=person.uid,
            base_url=request["base_url"],
            log=logs.path(means.logs, person.name, request["base_url"]),
            started=time.time(),
            timeout=request["timeout"],
        )
        server = cls(means, record)
        server._live(server._start(request, person))
        return server

    @property
    def half_started(self) -> bool:
        """An earlier launcher ended before it knew what was forked: nobody can say that this ever started."""
        return self.record.status == "starting" and self.record.server is None

    def take_up(self) -> None:
        """Go on with what an earlier launcher started."""
        self._bound.set()
        self._live(self._take_up())

    @property
    def failure(self) -> StartError | None:
        """Set if it has ended, however it did."""
        return StartError(self.record.reason, self.record.detail) if self.record.status == "exited" else None

    async def bound(self) -> None:
        """Wait until its address takes requests, or it has failed."""
        await self._bound.wait()

    async def settled(self) -> None:
        """Wait until it is ready or has failed."""
        await self._settled.wait()

    def report(self, family: Mapping[int, list[int]] | None) -> dict[str, Any]:
        """What `list` says about it. `family` is given where there are no cgroups."""
        return {
            "key": self.record.key,
            "os_name": self.record.os_name,
            "pid": self.record.server.pid if self.record.server else 0,
            "address": self.record.address,
            "status": self.record.status,
            "reason": self.record.reason,
            "detail": self.record.detail,
            "started": self.record.started,
            "usage": ending.usage(self.record, family),
        }

    async def stop(self, grace: float) -> int | None:
        """End it and forget it: the exit code, or minus the signal. Asked twice, it is done once."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace))
        return await asyncio.shield(self._stopping)

    # -- starting ------------------------------------------------------------------------------------------------------

    def _live(self, steps: Any) -> None:
        self._life = asyncio.create_task(steps)

    async def _start(self, request: Mapping[str, Any], person: Person) -> None:
        try:
            try:
                async with asyncio.timeout(self.record.timeout):
                    await self._launch(request, person)
            except TimeoutError:
                raise StartError(f"It was not ready after {self.record.timeout:g} seconds.") from None
            except PreloadError as error:
                raise StartError(str(error), error.detail) from None
            except OSError as error:
                raise StartError("It could not be prepared.", f"{type(error).__name__}: {error}") from error
        except StartError as error:
            await self._fail(error)
        except asyncio.CancelledError:
            if self._stopping:  # else the launcher itself ends, and the next one takes up what was begun
                await self._fail(StartError("It was stopped while it started."))
            raise
        except Exception:
            log.exception("starting %s", self.record.key)
            await self._fail(StartError("Something in terakoya went wrong."))
        else:
            await self._watch()

    async def _launch(self, request: Mapping[str, Any], person: Person) -> None:
        means, key = self._means, self.record.key
        means.records.make(self.record, person.gid if means.root else None)
        log_file = logs.open_new(self.record.log, means.log_gid)
        try:
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(1024)
            self._note(port=self._listener.getsockname()[1], group=means.cgroups.make(key))
            pipe = await self._hand_over(self._packet(request, person), log_file)
        finally:
            os.close(log_file)
        self._bound.set()
        try:
            await self._until_ready(pipe)
        finally:
            pipe.close()

    def _packet(self, request: Mapping[str, Any], person: Person) -> dict[str, Any]:
        names = ("key", "user_name", "base_url", "secret", "default_url", "page_config", "environment", "timeout")
        return {name: request[name] for name in names} | {
            "os_name": person.name,
            "uid": person.uid,
            "gid": person.gid,
            "home": person.home,
            "shell": person.shell,
            "runtime_dir": str(self._means.records.user_folder(self.record.key)),
            "record_dir": str(self._means.records.of(self.record.key)),
            "pam_service": self._means.pam_service if self._means.root else None,
            "cgroup_tasks": self.record.group.task_files,
        }

    async def _hand_over(self, packet: Mapping[str, Any], log_file: int) -> Events:
        """Until it is forked. A fork server that dies before it forked has done nothing: the next one is asked."""
        for _ in range(_TRIES):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            pipe = await Events.of(reading)
            try:
                await self._means.fork_server.send(packet, [self._listener.fileno(), log_file, writing])
            except BaseException:
                pipe.close()
                raise
            finally:
                os.close(writing)
            first = await self._first(pipe)
            if first is not None:
                self._forked(first)
                return pipe
            pipe.close()
        raise StartError("The part that starts servers keeps failing.", "the fork server died three times")

    async def _first(self, pipe: Events) -> dict[str, Any] | None:
        """Handed over is soon forked, even if nobody wants it any more: what is forked must be known to be ended."""
        reading = asyncio.ensure_future(pipe.next())
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                first = await asyncio.wait_for(reading, ending.KEEPER_SECONDS)
                if first and first.get("event") == "forked":
                    self._forked(first)
            pipe.close()
            raise

    def _forked(self, event: Mapping[str, Any]) -> None:
        if event.get("event") != "forked":
            raise StartError(*events.told(event))
        keeper, server = (events.process(event.get(name)) for name in ("keeper", "pid"))
        # Only the keeper can write to the pipe; still, nothing of another user is ever ended by mistake.
        if server and processes.owner(server.pid) not in (os.geteuid(), self.record.uid):
            raise StartError("It could not be started.", "the event pipe named a process of somebody else")
        self._note(keeper=keeper, server=server)

    async def _until_ready(self, pipe: Events) -> None:
        while (event := await pipe.next()) is not None:
            if event.get("event") == "ready":
                self._note(status="running")
                self._settled.set()
                return
            if event.get("event") == "failed":
                raise StartError(*events.told(event))
            if event.get("event") == "exit":
                break
        if self.record.keeper:
            await self.record.keeper.gone(ending.KEEPER_SECONDS)
        raise StartError(events.ended(self._means.records.exit_code(self.record.key), "while it started"))

    async def _fail(self, error: StartError) -> None:
        detail = "\n".join(filter(None, [error.detail, logs.tail(self.record.log)]))
        log.warning("%s of %s failed: %s", self.record.key, self.record.os_name, error.reason)
        await self._exited(error.reason, detail)

    # -- running -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        if not self.record.server:
            return
        await self.record.server.gone()
        if self.record.keeper:
            await self.record.keeper.gone(ending.KEEPER_SECONDS)
        code = self._means.records.exit_code(self.record.key)
        log.info("%s of %s ended (%s)", self.record.key, self.record.os_name, code)
        await self._exited(events.ended(code, "by itself"), logs.tail(self.record.log))

    async def _take_up(self) -> None:
        record = self.record
        if record.status == "exited":
            self._settled.set()
        elif record.server is None:  # of before the machine was restarted
            await self._exited("The machine was restarted.", "")
        elif record.status == "starting" and record.server.alive and not await self._answers():
            await self._exited(f"It was not ready after {record.timeout:g} seconds.", logs.tail(record.log))
        else:
            self._note(status="running")
            self._settled.set()
            await self._watch()

    async def _answers(self) -> bool:
        """Whether it answers HTTP, with whatever, before its time is up; or ends."""
        question = f"GET {self.record.base_url}api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        left = max(1.0, self.record.started + self.record.timeout - time.time())
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.record.port)
                try:
                    writer.write(question)
                    return bool(await reader.read(1)) or not self._server_alive
                finally:
                    writer.close()
        return not self._server_alive

    @property
    def _server_alive(self) -> bool:
        return self.record.server is not None and self.record.server.alive

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _stop(self, grace: float) -> int | None:
        if self.record.status == "starting" and self._life:
            self._life.cancel()
            await asyncio.wait([self._life])
        known = self._known()
        if self.record.server and self.record.server.kill(signal.SIGTERM):
            await self.record.server.gone(grace)
        await self._end(known)
        if self._life:
            self._life.cancel()
            await asyncio.wait([self._life])
        code = self._means.records.exit_code(self.record.key)
        self._means.records.remove(self.record.key)
        self._listener.close()
        return code

    async def _exited(self, reason: str, detail: str) -> None:
        """Nothing of it is left running; that it was, and why it ended, stays listed until it is stopped."""
        try:
            await self._end(self._known())
            self._note(status="exited", reason=reason, detail=detail)
        except OSError:  # a full disk, perhaps; who waits is told in any case
            log.exception("recording the end of %s", self.record.key)
            self.record = replace(self.record, status="exited", reason=reason, detail=detail)
        self._bound.set()
        self._settled.set()

    def _known(self) -> set[Process]:
        return ending.everything(self.record, self._user_folder, self._not_of_it)

    async def _end(self, known: set[Process]) -> None:
        if await ending.end(self.record, known | self._known()):
            self._note(group=Group())

    @property
    def _user_folder(self) -> Path:
        return self._means.records.user_folder(self.record.key)

    @property
    def _not_of_it(self) -> set[int]:
        return {os.getpid(), self._means.fork_server.pid}

    def _note(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        with contextlib.suppress(FileNotFoundError):  # the start failed before there was a folder
            self._means.records.save(self.record)
