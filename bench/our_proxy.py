"""Edge and gate alone, before one server: what the hub would have written stands in a database of their own."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from bench.peer import end, free_ports, wait_until_answers
from terakoya import configfile
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.db.models import Base, Server, Session, Token, User
from terakoya.edge import envoy


class Running:
    """`port` of the edge, `cookie` of alice, and how many requests the gate has let pass."""

    def __init__(self, config: Config, cookie: str) -> None:
        self.port = config.port
        self.cookie = cookie
        self._metrics = str(config.socket("gate-metrics"))

    def passed(self) -> int:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(self._metrics)
            asked.sendall(b"GET / HTTP/1.1\r\n\r\n")
            text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        return int(re.search(r'outcome="passed",code=""} (\d+)', text)[1])


@contextlib.contextmanager
def running(upstream: int, place: Path, database_url: str = "") -> Iterator[Running]:
    (port,) = free_ports(1)
    config = _config(place, port, database_url)
    cookie = _people(config, upstream)
    path = config.storage.runtime / "envoy.yaml"
    path.write_text(envoy.text(config))
    gate = [sys.executable, "-m", "terakoya.edge.gate", "--socket", str(config.socket("gate"))]
    gate += ["--metrics-socket", str(config.socket("gate-metrics")), "--database", config.database_url]
    gate += ["--hub-url", config.public_url]
    log = place / "edge.log"
    with log.open("wb") as output, contextlib.ExitStack() as ended:
        for command in (gate, envoy.command(config, path)):
            process = subprocess.Popen(command, stdout=output, stderr=output)
            ended.callback(end, process)
        while not config.socket("gate").exists():
            time.sleep(0.02)
        url = f"http://127.0.0.1:{port}/user/alice/api/status?token={_token(config)}"
        wait_until_answers(url, process, log)
        yield Running(config, f"terakoya-session={cookie}")


def _config(place: Path, port: int, database_url: str) -> Config:
    storage = "".join(f'{name} = "{place}/{name}"\n' for name in ("state", "runtime", "logs"))
    for name in ("state", "runtime", "logs"):
        (place / name).mkdir()
    if database_url:
        storage += f'database = "{database_url}"\n'
    file = place / "terakoya.toml"
    file.write_text(f'[edge]\nlisten = "127.0.0.1:{port}"\n[storage]\n{storage}')
    return configfile.load(file, personal=True)


def _people(config: Config, upstream: int) -> str:
    """alice among 200 users, each with a server."""
    database = Database(config.database_url)
    Base.metadata.create_all(database.engine)
    value = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    with database.session() as db:
        for number in range(200):
            name = "alice" if number == 0 else f"user{number}"
            user = User(name=name, name_key=name, os_name=name)
            db.add(user)
            db.flush()
            db.add(Server(user_id=user.id, state="running", address=f"127.0.0.1:{upstream}", secret="s" * 43))
            if number == 0:
                digest = sha256(value.encode()).digest()
                db.add(Session(hash=digest, user_id=user.id, expires_at=time.time() + 86400))
    database.close()
    return value


def _token(config: Config) -> str:
    database = Database(config.database_url)
    with database.session() as db:
        db.add(Token(hash=sha256(b"bench").digest(), user_id=1, scopes=["inherit"]))
    database.close()
    return "bench"
