"""The API as it is served, on a real database; servers are the fake backend's, passwords a table."""

from __future__ import annotations

import socket
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from terakoya import configfile
from terakoya.accounts import tokens, users
from terakoya.accounts.providers.base import Answer
from terakoya.backends.fake import FakeBackend
from terakoya.servers.runner import Runner
from terakoya.web.app import build

ACCOUNTS = ("taro", "hanako", "alice", "bob", "mallory", "carol", "dave")


class Launcher:
    """Knows accounts of a machine."""

    async def account(self, name):
        return {"exists": name in ACCOUNTS}


@dataclass
class Passwords:
    """Everybody's password is their name backwards."""

    asked: list = field(default_factory=list)

    async def authenticate(self, name, password, address, new_password=None):
        self.asked.append(name)
        right = name in ACCOUNTS and password == name[::-1]
        return Answer("ok", os_name=name, groups=[name]) if right else Answer("denied")


@dataclass
class Place:
    """The application, and keys to it."""

    app: object
    db: object
    client: httpx.Client
    backend: FakeBackend

    def key(self, name, *scopes):
        """A header with a token of this user."""
        user = users.get(self.db, name)
        value, _ = tokens.make(self.db, user.id, "a test", 600, list(scopes) or ["inherit"], None)
        return {"Authorization": f"token {value}"}

    def ask(self, method, path, key=None, **more):
        return self.client.request(method, "/hub/api" + path, headers=key or {}, **more)


@contextmanager
def served(app):
    """The application on a port of its own; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, ws="none", log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        # The socket listens already: a request that comes too early waits.
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@asynccontextmanager
async def nothing(_app):
    yield


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "terakoya.toml"
    folders = "".join(f'{name} = "{tmp_path / name}"\n' for name in ("state", "runtime", "logs"))
    file.write_text(f"[servers]\nnamed = 2\n[storage]\n{folders}")
    return configfile.load(file, personal=False)


@pytest.fixture
def database(sqlite_db):
    """Modules that are about what is stored take `db` instead, which is SQLite and PostgreSQL in turn."""
    return sqlite_db


@pytest.fixture
def place(database, config):
    """taro administers; alice, bob and mallory are users."""
    db = database
    for name in ("taro", "alice", "bob", "mallory"):
        users.add(db, name, admin=name == "taro")
    backend = FakeBackend()
    app = build(config, db, Launcher(), backend, Runner(db, backend, config), Passwords())
    # The loops that mend what fell over are not at work here: what the API does, it does itself.
    app.router.lifespan_context = nothing
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield Place(app, db, client, backend)


@pytest.fixture
def alice(place):
    return SimpleNamespace(user=users.get(place.db, "alice"), key=place.key("alice"))
