"""The real fork server, given orders directly as the launcher would, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.osusers import OsUser

PATIENCE = 30.0
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


class Started:
    """One server that was ordered, by its pipe of events and its address."""

    def __init__(self, order: dict[str, Any], folder: Path, port: int, pipe: int) -> None:
        self.order, self.folder, self.port = order, folder, port
        self._pipe, self._read = pipe, b""
        self.url = f"http://127.0.0.1:{port}{order['base_url']}"
        self.headers = {"Authorization": f"token {order['secret']}"}
        self.pid = self.keeper = 0

    def event(self) -> dict[str, Any] | None:
        """The next line, or None at the end of the pipe."""
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._pipe], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no event in {PATIENCE} s; log:\n{self.log}"
            data = os.read(self._pipe, 65536)
            if not data:
                return None
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)

    def ready(self) -> Started:
        forked = self.event()
        assert forked, self.log
        assert forked["event"] == "forked", forked
        self.pid, self.keeper = forked["pid"], forked["keeper"]
        assert self.event() == {"event": "ready"}, self.log
        return self

    def failed(self) -> dict[str, Any]:
        """The `failed` event, after a `forked` one or without."""
        event = self.event()
        if event and event["event"] == "forked":
            self.pid, self.keeper = event["pid"], event["keeper"]
            event = self.event()
        assert event, self.log
        assert event["event"] == "failed", event
        return event

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, **({"headers": self.headers, "timeout": PATIENCE} | more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def websocket(self, path: str, **more: Any) -> ClientConnection:
        url = self.url.replace("http:", "ws:") + path
        return connect(url, **({"additional_headers": self.headers, "max_size": None, "legacy": True} | more))

    def alive(self, pid: int | None = None) -> bool:
        with contextlib.suppress(OSError):
            return " Z " not in Path(f"/proc/{pid or self.pid}/stat").read_text()
        return False

    def stop(self) -> dict[str, Any]:
        """End it politely; the `exit` event."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        while event := self.event():
            if event["event"] == "exit":
                return event
        raise AssertionError("no exit event")


class ForkServer:
    def __init__(self, python: str = sys.executable, **environment: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = ours
        self._started: list[Started] = []
        self.folder = Path(tempfile.mkdtemp(prefix="tk", dir="/tmp"))
        self.folder.chmod(0o711)
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        self.pid = os.posix_spawn(
            python,
            [python, "-I", "-m", "terakoya.launcher.forkserver"],
            _ENVIRONMENT | environment,
            file_actions=actions,
        )
        theirs.close()
        ours.settimeout(PATIENCE)
        self.hello = json.loads(ours.recv(1 << 16))

    def order(self, user: OsUser, **changes: Any) -> Started:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o711)
        runtime = folder / "user"
        runtime.mkdir(mode=0o700)
        os.chown(runtime, user.uid, user.gid)
        order = {
            "key": folder.name,
            "os_name": user.name,
            "uid": user.uid,
            "gid": user.gid,
            "home": str(user.home),
            "shell": "/bin/bash",
            "user_name": user.name,
            "base_url": f"/user/{user.name}/",
            "secret": f"secret-of-{user.name}-{folder.name}",
            "default_url": "/lab",
            "page_config": {},
            "environment": {},
            "runtime_dir": str(runtime),
            "record_dir": str(folder),
            "pam_service": None,
            "cgroup_tasks": [],
            "timeout": PATIENCE,
        } | changes
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            reading, writing = os.pipe2(os.O_CLOEXEC)
            socket.send_fds(self.socket, [json.dumps(order).encode()], [listener.fileno(), log, writing])
            os.close(log)
            os.close(writing)
            started = Started(order, folder, listener.getsockname()[1], reading)
        self._started.append(started)
        return started

    def start(self, user: OsUser, **changes: Any) -> Started:
        return self.order(user, **changes).ready()

    def close(self) -> None:
        self.socket.close()
        for started in self._started:
            for pid in filter(None, (started.pid, started.keeper)):
                if started.alive(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module", name="fork_server")
def one_fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    try:
        assert server.hello["event"] == "preloaded", server.hello
        yield server
    finally:
        server.close()


def until(condition: Any, what: str = "") -> Any:
    """Wait until `condition()` is true, and give it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        select.select([], [], [], 0.01)
    raise AssertionError(f"never so: {what or condition}")


def shell(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
