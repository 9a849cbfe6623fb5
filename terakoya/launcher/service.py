"""The launcher's socket and its verbs. Who may ask: root, and the account of the web-facing processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

from terakoya import __version__
from terakoya.launcher import forking, logs, pam, processes, protocol
from terakoya.launcher.helpers import HelperError, Helpers
from terakoya.launcher.people import Person, Who
from terakoya.launcher.protocol import BadRequestError
from terakoya.launcher.server import Means, Server

log = logging.getLogger("terakoya.launcher")

SIGN_INS_AT_ONCE, SIGN_IN_SECONDS = 16, 30
LOOK_UPS_AT_ONCE, LOOK_UP_SECONDS = 8, 15
_LINE_SECONDS = 10.0
_LOG_SECONDS = 2.0

Answers = AsyncIterator[dict[str, Any]]


class Service:
    """All servers by key, and one method for each verb."""

    def __init__(self, means: Means, who: Who, peers: frozenset[int], fork_server_note: Path) -> None:
        self._means = means
        self._who = who
        self._peers = peers
        self._note = fork_server_note
        self._servers: dict[str, Server] = {}
        self._sign_ins = Helpers(SIGN_INS_AT_ONCE, SIGN_IN_SECONDS)
        self._look_ups = Helpers(LOOK_UPS_AT_ONCE, LOOK_UP_SECONDS)
        self._verbs: dict[str, Callable[[dict[str, Any]], Answers]] = {
            "authenticate": self._authenticate,
            "account": self._account,
            "accounts": self._accounts,
            "start": self._start,
            "stop": self._stop,
            "list": self._list,
            "ping": self._ping,
        }

    async def recover(self) -> None:
        """Find what earlier launchers started."""
        await forking.end_earlier(self._note)
        for record in self._means.records.load():
            server = Server(self._means, record)
            if server.half_started:
                log.info("%s of %s was cut off in its start", record.key, record.os_name)
                await server.stop(0)
            else:
                log.info("found %s of %s: %s", record.key, record.os_name, record.status)
                self._servers[record.key] = server
                server.take_up()

    async def tend(self) -> None:
        """Look after the logs, until cancelled."""
        while True:
            await asyncio.sleep(_LOG_SECONDS)
            for server in list(self._servers.values()):
                logs.bound(server.record.log)

    async def serve(self, listener: socket.socket) -> None:
        """Answer until cancelled."""
        server = await asyncio.start_unix_server(self._connected, sock=listener, limit=protocol.LONGEST_LINE)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()  # without waiting for who is connected: they ask the next launcher

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for answer in self._conversation(reader, writer):
                writer.write(protocol.encode(answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # who asked is gone; what was begun goes on
        except Exception:
            log.exception("a request failed")
            writer.write(protocol.encode({"error": "failed", "message": "a bug; see the launcher's log"}))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answers:
        uid = _peer(writer.get_extra_info("socket"))
        try:
            request = self._allowed(uid, await _line(reader))
            async for answer in self._verbs[request["verb"]](request):
                yield answer
        except BadRequestError as error:
            log.warning("refused a request: %s", error)
            yield {"error": error.code, "message": str(error)}
        except HelperError as error:
            log.error("a helper failed: %s", error)  # noqa: TRY400 the traceback says no more
            yield {"error": "unavailable", "message": "the machine's accounts can't be looked up at the moment"}

    def _allowed(self, uid: int, line: bytes) -> dict[str, Any]:
        if uid not in self._peers:
            raise BadRequestError("refused", f"this socket is not for user {uid}")
        return protocol.decode(line)

    # -- people --------------------------------------------------------------------------------------------------------

    async def _authenticate(self, request: dict[str, Any]) -> Answers:
        fields = {name: request[name] for name in ("name", "password", "new_password", "address")}
        job = partial(pam.sign_in, pam.Attempt(**fields), self._who, self._means.pam_service)
        try:
            answer = await self._sign_ins.call(job)
        except HelperError as error:
            answer = pam.answer("unavailable", str(error))
        name, address = request["name"][:64], request["address"] or "-"
        log.info("sign-in of %r from %s: %s (%s)", name, address, answer["result"], answer.pop("log"))
        yield answer

    async def _account(self, request: dict[str, Any]) -> Answers:
        found = await self._look_ups.call(lambda: _account(self._who.find(request["name"])))
        yield found or {"exists": False, "uid": -1, "home": "", "groups": []}

    async def _accounts(self, _request: dict[str, Any]) -> Answers:
        yield {"accounts": await self._look_ups.call(lambda: [_listed(person) for person in self._who.all()])}

    # -- servers -------------------------------------------------------------------------------------------------------

    async def _start(self, request: dict[str, Any]) -> Answers:
        server = self._servers.get(request["key"])
        if server is None:
            person = await self._person(request["os_name"])
            # Looked up again: another request for the same key may have come meanwhile.
            server = self._servers.get(request["key"]) or Server.begin(self._means, request, person)
            self._servers[request["key"]] = server
        if (server.record.os_name, server.record.base_url) != (request["os_name"], request["base_url"]):
            raise BadRequestError("key_taken", "this key is of another server")
        await server.bound()
        if server.record.status != "exited" and server.record.server:
            pid, port = server.record.server.pid, server.record.port
            yield {"event": "bound", "pid": pid, "port": port, "address": server.record.address}
        await server.settled()
        failure = server.failure
        yield {"event": "failed", "reason": failure.reason, "detail": failure.detail} if failure else {"event": "ready"}

    async def _person(self, os_name: str) -> Person:
        found = await self._look_ups.call(lambda: _fields(self._who.find(os_name)))
        if not found or found["name"] != os_name:
            raise BadRequestError("no_account", f"no account {os_name!r} that may be used")
        return Person(**found)

    async def _stop(self, request: dict[str, Any]) -> Answers:
        server = self._servers.get(request["key"])
        code = await server.stop(request["grace"]) if server else None
        if self._servers.get(request["key"]) is server:
            self._servers.pop(request["key"], None)
        yield {"event": "stopped", "code": code}

    async def _list(self, _request: dict[str, Any]) -> Answers:
        servers = list(self._servers.values())
        family = None if all(server.record.group.folders for server in servers) else processes.children()
        yield {"servers": [server.report(family) for server in servers]}

    async def _ping(self, _request: dict[str, Any]) -> Answers:
        yield {
            "version": __version__,
            "pam_service": self._means.pam_service,
            "minimum_uid": self._who.minimum_uid,
            "root": self._means.root,
            "cgroups": self._means.cgroups.kind,
            "fork_server": self._means.fork_server.state,
        }


def _peer(sock: Any) -> int:
    """The user at the other end, as the kernel says."""
    _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_LINE_SECONDS):
            return await reader.readuntil(b"\n")
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise BadRequestError("bad_request", "not one line, in time and not too long") from None


def _fields(person: Person | None) -> dict[str, Any] | None:
    return {name: getattr(person, name) for name in Person.__dataclass_fields__} if person else None


def _account(person: Person | None) -> dict[str, Any] | None:
    return {"exists": True, "uid": person.uid, "home": person.home, "groups": person.groups} if person else None


def _listed(person: Person) -> dict[str, Any]:
    return {"name": person.name, "uid": person.uid, "full_name": person.full_name, "groups": person.groups}


def listen(path: Path, gid: int | None) -> socket.socket:
    """The Unix socket; a stale one is replaced. Only its owner and the group may connect."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    if gid is not None:
        os.chown(path, -1, gid)
    sock.listen(512)
    return sock
