"""The life of one server as the launcher sees it: handed to the fork server, ready, ended, forgotten.

Each step is recorded before the next is taken, so that a launcher that dies anywhere leaves nothing that the next one
can't find.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.launcher import logs, processes
from terakoya.launcher.cgroups import Cgroups, Group
from terakoya.launcher.forking import ForkServer, PreloadError
from terakoya.launcher.people import Person
from terakoya.launcher.processes import Process
from terakoya.launcher.records import Record, Records

log = logging.getLogger("terakoya.launcher")

_TRIES = 3
_KEEPER_SECONDS = 5.0
"""How long a keeper may take to close the PAM session."""


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


class StartError(Exception):
    """`reason` is for the user, `detail` for whoever mends it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason)


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
            "usage": self._usage(family),
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
            await self._fail(StartError("It was stopped while it started."))
            raise
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
            events = await self._hand_over(self._packet(request, person), log_file)
        finally:
            os.close(log_file)
        self._bound.set()
        try:
            await self._until_ready(events)
        finally:
            events.close()

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
            events = await Events.of(reading)
            try:
                await self._means.fork_server.send(packet, [self._listener.fileno(), log_file, writing])
            finally:
                os.close(writing)
            first = await self._first(events)
            if first is not None:
                self._forked(first)
                return events
            events.close()
        raise StartError("The part that starts servers keeps failing.", "the fork server died three times")

    async def _first(self, events: Events) -> dict[str, Any] | None:
        """Handed over is soon forked, even if nobody wants it any more: what is forked must be known to be ended."""
        reading = asyncio.ensure_future(events.next())
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                first = await asyncio.wait_for(reading, _KEEPER_SECONDS)
                if first and first.get("event") == "forked":
                    self._forked(first)
            events.close()
            raise

    def _forked(self, event: Mapping[str, Any]) -> None:
        if event.get("event") != "forked":
            raise StartError(*_told(event))
        keeper, server = (_process(event.get(name)) for name in ("keeper", "pid"))
        # Only the keeper can write to the pipe; still, nothing of another user is ever ended by mistake.
        if server and processes.owner(server.pid) not in (os.geteuid(), self.record.uid):
            raise StartError("It could not be started.", "the event pipe named a process of somebody else")
        self._note(keeper=keeper, server=server)

    async def _until_ready(self, events: Events) -> None:
        while (event := await events.next()) is not None:
            if event.get("event") == "ready":
                self._note(status="running")
                self._settled.set()
                return
            if event.get("event") == "failed":
                raise StartError(*_told(event))
            if event.get("event") == "exit":
                break
        if self.record.keeper:
            await self.record.keeper.gone(_KEEPER_SECONDS)
        raise StartError(_ended(self._means.records.exit_code(self.record.key), "while it started"))

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
            await self.record.keeper.gone(_KEEPER_SECONDS)
        code = self._means.records.exit_code(self.record.key)
        log.info("%s of %s ended (%s)", self.record.key, self.record.os_name, code)
        await self._exited(_ended(code, "by itself"), logs.tail(self.record.log))

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

    def _usage(self, family: Mapping[int, list[int]] | None) -> dict[str, Any]:
        if self.record.status == "exited":
            return {"cpu_seconds": 0.0, "memory_bytes": 0, "processes": 0}
        pids = self.record.group.pids() if self.record.group.folders or family is None else self._tree(family)
        cpu, memory = self.record.group.cpu_seconds(), self.record.group.memory_bytes()
        if cpu is None or memory is None:
            counted = processes.usage(pids)
            cpu, memory = counted[0] if cpu is None else cpu, counted[1] if memory is None else memory
        return {"cpu_seconds": round(cpu, 3), "memory_bytes": memory, "processes": len(pids)}

    def _tree(self, family: Mapping[int, list[int]]) -> set[int]:
        roots = [process.pid for process in (self.record.server, self.record.keeper) if process and process.alive]
        return processes.tree(roots, family)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _stop(self, grace: float) -> int | None:
        if self.record.status == "starting" and self._life:
            self._life.cancel()
            await asyncio.wait([self._life])
        pids = self._everything()
        if self.record.server and self.record.server.kill(signal.SIGTERM):
            await self.record.server.gone(grace)
        await self._end(pids)
        if self._life:
            self._life.cancel()
            await asyncio.wait([self._life])
        code = self._means.records.exit_code(self.record.key)
        self._means.records.remove(self.record.key)
        self._listener.close()
        return code

    async def _exited(self, reason: str, detail: str) -> None:
        """Nothing of it is left running; that it was, and why it ended, stays listed until it is stopped."""
        await self._end(self._everything())
        self._note(status="exited", reason=reason, detail=detail)
        self._bound.set()
        self._settled.set()

    async def _end(self, known: set[Process]) -> None:
        """Kill whatever is left of it. The keeper goes last, by itself if it can: it closes the PAM session."""
        keeper = self.record.keeper
        for process in known | self._everything():
            if process != keeper:
                process.kill(signal.SIGKILL)
        await self.record.group.kill(spare={keeper.pid} if keeper else ())
        if keeper and not await keeper.gone(_KEEPER_SECONDS):
            keeper.kill(signal.SIGKILL)
            await keeper.gone(_KEEPER_SECONDS)
        await self.record.group.kill()
        if self.record.group.remove():
            self._note(group=Group())

    def _everything(self) -> set[Process]:
        """Every process of it that can be found. With cgroups that is what the group holds, and half-started ones."""
        record = self.record
        pids = self._tree({})
        if not record.group.folders:
            folder = str(self._means.records.user_folder(record.key)).encode()
            pids = self._tree(processes.children()) | processes.with_environment(folder, record.uid)
        if record.port and not record.server:
            # The port may be somebody else's by now: only our own keepers and the user's own processes count.
            found = processes.holders(record.port)
            pids |= {p for p in found if processes.owner(p) == record.uid or processes.name(p).startswith("terakoya-")}
        pids -= {os.getpid(), self._means.fork_server.pid}
        return {process for pid in pids if (process := Process.now(pid))}

    def _note(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        with contextlib.suppress(FileNotFoundError):  # the start failed before there was a folder
            self._means.records.save(self.record)


class Events:
    """The pipe on which a keeper and its server tell how the start goes."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport

    @classmethod
    async def of(cls, descriptor: int) -> Events:
        """Takes the descriptor over."""
        reader = asyncio.StreamReader(limit=1024 * 1024)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        return cls(reader, transport)

    async def next(self) -> dict[str, Any] | None:
        """None when nobody can tell anything any more."""
        try:
            event = json.loads(await self._reader.readuntil(b"\n"))
        except asyncio.IncompleteReadError:
            return None
        except (asyncio.LimitOverrunError, ValueError):
            return {"event": "failed", "reason": "It told something that can't be understood.", "detail": ""}
        return event if isinstance(event, dict) else {}

    def close(self) -> None:
        self._transport.close()


def _process(pid: Any) -> Process | None:
    return Process.now(pid) if isinstance(pid, int) and pid > 1 else None


def _told(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event.get("reason") or "It could not be started.")[:500], str(event.get("detail") or "")[-20_000:]


def _ended(code: int | None, when: str) -> str:
    """A sentence for the user."""
    if code is None:
        return f"It ended {when}."
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"It was ended by {signal.Signals(-code).name} {when}.".replace(" by itself", "")
    return f"It ended {when} (exit code {code})."
