"""Processors, memory, kernels and activity: asked of real HTTP servers, written when they changed."""

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from terakoya.accounts import users
from terakoya.backends.base import Report, Usage
from terakoya.servers import life
from terakoya.servers.activity import Activity, read
from terakoya.servers.usage import Sample, Usages, share
from tests.servers.stage import until


def _running(db, name, address="127.0.0.1:1"):
    server, _ = life.begin(db, life.get(db, users.get(db, name).id).id)
    life.ready(db, server.id, server.key, address)
    return life.by_id(db, server.id)


def _iso(moment):
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class Notebook:
    """Answers as a Jupyter server does."""

    def __init__(self):
        self.seen = time.time() + 0.0
        self.kernels = []
        self.requests = []

    async def answer(self, reader, writer):
        with suppress(ConnectionError):
            await self._converse(reader, writer)

    async def _converse(self, reader, writer):
        while line := await reader.readline():
            path, headers = line.split()[1].decode(), {}
            while (header := (await reader.readline()).decode().strip()) != "":
                name, _, value = header.partition(": ")
                headers[name.lower()] = value
            self.requests.append((path, headers.get("authorization")))
            body = {"last_activity": _iso(self.seen)} if "/api/status" in path else self.kernels
            raw = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw))


@asynccontextmanager
async def _listening(answer):
    talking = set()

    async def talk(reader, writer):
        talking.add(writer)
        await answer(reader, writer)
        writer.close()
        await writer.wait_closed()
        talking.discard(writer)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        await until(lambda: not talking)


def test_activity_is_asked_with_the_secret_and_written(sqlite_db):
    users.add(sqlite_db, "alice")

    async def scene():
        notebook, activity = Notebook(), Activity(sqlite_db)
        async with _listening(notebook.answer) as address:
            server = _running(sqlite_db, "alice", address)
            notebook.seen = time.time() + 3600  # a clock that is wrong
            notebook.kernels = [{"execution_state": "busy"}, {"execution_state": "idle", "last_activity": _iso(1.0)}]
            await activity.ask([server])
            await activity.ask([server])  # asked just now, and nobody used it since
            await activity.close()
            return server, notebook

    server, notebook = asyncio.run(scene())
    row = life.by_id(sqlite_db, server.id)
    assert (row.kernels, row.kernels_busy) == (2, 1)
    assert row.last_activity == pytest.approx(time.time(), abs=10)
    assert users.get(sqlite_db, "alice").last_activity == row.last_activity
    base = "/user/alice/api"
    assert [path for path, _ in notebook.requests] == [
        f"{base}/status?no_track_activity=1",
        f"{base}/kernels?no_track_activity=1",
    ]
    assert {key for _, key in notebook.requests} == {f"token {server.secret}"}


def test_servers_that_are_broken_hold_up_no_other(sqlite_db, monkeypatch):
    monkeypatch.setattr("terakoya.servers.activity.PATIENCE", 0.3)
    for name in ("alice", "bob", "taro", "mallory"):
        users.add(sqlite_db, name)

    async def silent(reader, writer):
        await reader.read()

    async def noise(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n[1,2,3]")

    async def scene():
        notebook, activity = Notebook(), Activity(sqlite_db)
        notebook.kernels = [{"execution_state": "idle"}]
        async with _listening(notebook.answer) as good, _listening(silent) as slow, _listening(noise) as odd:
            await activity.ask(
                [
                    _running(sqlite_db, "alice", slow),
                    _running(sqlite_db, "bob", odd),
                    _running(sqlite_db, "taro", "127.0.0.1:1"),
                    _running(sqlite_db, "mallory", good),
                ]
            )
            await activity.close()

    asyncio.run(scene())
    kernels = {server.user.name: server.kernels for server in life.unsettled(sqlite_db)}
    assert kernels == {"alice": 0, "bob": 0, "taro": 0, "mallory": 1}


def test_reading_answers():
    assert read({}, []) == read({"last_activity": None}, [])
    assert read({}, []).last_activity == 0.0
    assert read({"last_activity": "1970-01-01T00:00:10Z"}, []).last_activity == 10.0
    assert read({}, [{"execution_state": "busy"}]).last_activity == pytest.approx(time.time(), abs=5)


def test_shares():
    assert share(None, Sample(5.0, 1.0)) == 0.0
    assert share(Sample(5.0, 1.0), Sample(6.0, 3.0)) == 0.5
    assert share(Sample(5.0, 1.0), Sample(4.0, 3.0)) == 0.0


def test_usage_is_written_when_it_changed(sqlite_db, monkeypatch):
    monkeypatch.setattr("terakoya.servers.usage.INTERVAL", 0.0)
    users.add(sqlite_db, "alice")
    server = _running(sqlite_db, "alice")
    usages, written = Usages(sqlite_db), []
    write = usages._write
    monkeypatch.setattr(usages, "_write", lambda changes: (written.append(changes), write(changes)))

    async def scene():
        for seconds, memory in ((1.0, 50_000_000), (1.0, 50_000_001)):
            usage = Usage(cpu_seconds=seconds, memory_bytes=memory, processes=2)
            reports = {server.key: Report(server.key, "running", server.address, usage=usage)}
            await usages.note([life.by_id(sqlite_db, server.id)], reports)

    asyncio.run(scene())
    assert life.by_id(sqlite_db, server.id).memory == 50_000_000
    assert len(written) == 1
