"""A real `terakoya up` in a folder of the test's own, as root for real accounts or as one account for itself."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx

from tests.osusers import OsUser

T = TypeVar("T")

TERAKOYA = str(Path(sys.executable).with_name("terakoya"))
PARTS = ("launcher", "gate", "hub", "edge")
PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


def until(question: Callable[[], T], what: str, seconds: float = 60) -> T:
    """The answer, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        select.select([], [], [], 0.05)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class House:
    """One terakoya: its folder, and whose it is (None: root's, for all accounts)."""

    place: Path
    port: int
    owner: OsUser | None = None
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def settings(self) -> Path:
        return self.place / "terakoya.toml"

    def command(self, *arguments: str) -> list[str]:
        """`terakoya ...` as the owner."""
        who = self.owner
        drop = ["setpriv", "--reuid", str(who.uid), "--regid", str(who.gid), "--clear-groups", "--"] if who else []
        return [*drop, TERAKOYA, *arguments, "--config", str(self.settings)]

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.owner.home), "USER": self.owner.name} if self.owner else {}
        return {**os.environ, **home, "COLUMNS": "200"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=90, env=self.environment, cwd="/"
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def console(self) -> str:
        """What `terakoya up` has printed so far, in all its runs."""
        return (self.place / "console").read_text(encoding="utf-8")

    def up(self) -> subprocess.Popen[bytes]:
        """Start, and wait until it says that it runs."""
        before = self.console.count("terakoya is running")
        with (self.place / "console").open("ab") as console:
            process = subprocess.Popen(
                self.command("up"), stdout=console, stderr=console, env=self.environment, cwd="/",
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.runs.append(process)
        until(lambda: self.console.count("terakoya is running") > before or process.poll() is not None, "it starts")
        assert process.poll() is None, self.console
        return process

    def end(self, number: int = signal.SIGINT) -> int:
        """End the running one by a signal; its exit code."""
        process = self.runs[-1]
        process.send_signal(number)
        return process.wait(60)

    @property
    def link(self) -> str:
        """The one-time link on the console."""
        found = re.findall(r"http://\S+code=\S+", self.console)
        assert found, self.console
        return str(found[-1])

    def pid(self, name: str) -> int | None:
        """The process number of one of the parts, from what the supervisor writes down."""
        try:
            state = json.loads((self.place / "run/supervisor.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        pid: int | None = state["processes"][name]["pid"]
        return pid

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/hub/health", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=PAGE, timeout=60, trust_env=False, follow_redirects=True)


def answers(client: httpx.Client, name: str) -> bool:
    """Whether the server of `name` answers to this browser."""
    try:
        answer = client.get(f"/user/{name}/api/status", headers={"Accept": "application/json"}, follow_redirects=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


@contextmanager
def house(owner: OsUser | None = None) -> Iterator[House]:
    """Settings and folders; whatever was started is ended and removed afterwards."""
    with TemporaryDirectory(prefix="tk-house-") as name:
        place = Path(name)
        place.chmod(0o755)
        made = House(place, free_port(), owner)
        folders = "\n".join(f'{key} = "{place / value}"' for key, value in FOLDERS.items())
        text = f'[edge]\nlisten = "127.0.0.1:{made.port}"\nworkers = 1\n[storage]\n{folders}\n'
        made.settings.write_text(text, encoding="utf-8")
        (place / "console").touch()
        if owner:
            os.chown(place, owner.uid, owner.gid)
        try:
            yield made
        finally:
            done = made.run("down")
            for process in made.runs:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            assert done.returncode == 0, done.stderr


FOLDERS = {"state": "state", "runtime": "run", "logs": "logs"}
