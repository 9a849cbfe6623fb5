"""A real edge and a real gate before small upstreams, on a database of their own, in a folder that goes away."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from terakoya import configfile
from terakoya.db.engine import Database
from terakoya.db.models import Base, Server, Session, Token, User
from terakoya.edge import envoy
from terakoya.ops.certificates import Certificates

UPSTREAM = Path(__file__).with_name("upstream.py")
SECRET = "s3cret-of-"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds=15, what="it"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            found = condition()
            if found:
                return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def cookie_value():
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


class Stage:
    """`settings` is the text of terakoya.toml after its [storage]."""

    def __init__(self, folder: Path, settings: str = "", edge: str = "", database: str = ""):
        self.folder = folder
        self.port = free_port()
        for name in ("state", "run", "logs"):
            (folder / name).mkdir(exist_ok=True)
        text = f'[storage]\nstate="{folder}/state"\nruntime="{folder}/run"\nlogs="{folder}/logs"\n'
        if database:
            text += f'database="{database}"\n'
        text += settings if "listen" in edge else f'{settings}\n[edge]\nlisten="127.0.0.1:{self.port}"\n'
        text += edge.replace("PORT", str(self.port))
        (folder / "terakoya.toml").write_text(text)
        self.config = configfile.load(folder / "terakoya.toml", personal=True)
        self.database = Database(self.config.database_url)
        Base.metadata.create_all(self.database.engine)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def change(self, **edge):
        self.config = replace(self.config, edge=replace(self.config.edge, **edge))

    # -- processes ----------------------------------------------------------------------------------------------------

    def spawn(self, name, command):
        with (self.folder / "logs" / f"{name}.err").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        return self.processes[name]

    def up(self):
        self.start_upstream("hub", str(self.config.socket("hub")))
        self.start_gate()
        self.start_edge()
        return self

    def start_upstream(self, name, where):
        Path(where).unlink(missing_ok=True)
        self.spawn(name, [sys.executable, str(UPSTREAM), where])
        reach = (socket.AF_INET, ("127.0.0.1", int(where))) if where.isdecimal() else (socket.AF_UNIX, where)
        self.wait_reachable(name, *reach)

    def start_gate(self):
        command = [sys.executable, "-m", "terakoya.edge.gate", "--socket", str(self.config.socket("gate"))]
        command += ["--metrics-socket", str(self.config.socket("gate-metrics"))]
        command += ["--database", self.config.database_url, "--hub-url", self.config.public_url, "--write-every", "0.2"]
        command += ["--user-domain", self.config.site.user_domain] + ["--secure"] * self.config.secure
        self.spawn("gate", command)
        self.wait_reachable("gate", socket.AF_UNIX, str(self.config.socket("gate")))

    def start_edge(self):
        Certificates(self.config).publish()
        path = self.config.storage.runtime / "envoy.yaml"
        path.write_text(envoy.text(self.config))
        self.spawn("edge", envoy.command(self.config, path))
        self.wait_reachable("edge", socket.AF_INET, ("127.0.0.1", self.port))

    def wait_reachable(self, name, family, address):
        def reachable():
            log = self.folder / "logs" / f"{name}.err"
            assert self.processes[name].poll() is None, log.read_text()
            with socket.socket(family) as probe:
                probe.connect(address)
            return True

        wait_for(reachable, what=name)

    def kill(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def down(self):
        for name in list(self.processes):
            self.kill(name)
        self.database.close()

    # -- people and servers -------------------------------------------------------------------------------------------

    def user(self, name, **fields):
        with self.database.session() as db:
            user = User(name=name, name_key=name.casefold(), os_name=name, **fields)
            db.add(user)
            db.flush()
            return user.id

    def sign_in(self, user_id, host="", lifetime=3600.0):
        value = cookie_value()
        with self.database.session() as db:
            digest = sha256(value.encode()).digest()
            db.add(Session(hash=digest, user_id=user_id, host=host, expires_at=time.time() + lifetime))
        return value

    def token(self, user_id, scopes=("inherit",)):
        value = cookie_value()
        with self.database.session() as db:
            db.add(Token(hash=sha256(value.encode()).digest(), user_id=user_id, scopes=list(scopes)))
        return value

    def server(self, user_id, name="", state="running", port=None):
        """With a port given nothing is started there."""
        if port is None:
            port = free_port()
            self.start_upstream(f"server-{user_id}-{name}", str(port))
        with self.database.session() as db:
            secret = f"{SECRET}{user_id}"
            db.add(Server(user_id=user_id, name=name, state=state, address=f"127.0.0.1:{port}", secret=secret))
        return port

    # -- requests -----------------------------------------------------------------------------------------------------

    def log_lines(self):
        path = self.config.storage.logs / "edge.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def metrics(self):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.config.socket("gate-metrics")))
            asked.sendall(b"GET /metrics HTTP/1.1\r\nhost: gate\r\n\r\n")
            return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
