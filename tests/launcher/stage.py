"""A launcher as a process of its own, in folders of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from terakoya.errors import LauncherUnavailable
from terakoya.launcher.client import LauncherClient

SECRET = "s3cret-s3cret-s3cret-s3cret"


class Stage:
    """`client` asks it. `as_user` runs it without root."""

    def __init__(
        self, folder: Path, *, account: str = "nobody", python: str = sys.executable, as_user: Any = None
    ) -> None:
        self.folder = folder
        self.account = account
        self.python = python
        self.as_user = as_user
        self.socket = folder / "launcher.sock"
        self.output = folder / "launcher.log"
        self.client = LauncherClient(self.socket)
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        command = [sys.executable, "-I", "-m", "terakoya.launcher", "--socket", str(self.socket)]
        command += ["--servers", str(self.folder / "servers"), "--logs", str(self.folder / "logs")]
        command += ["--account", self.account, "--server-python", self.python]
        if self.as_user:
            user = self.as_user
            command = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups", *command]
        # The socket of an earlier one may still lie there: a new one is told by its answer.
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log
        try:
            asyncio.run(self.client.ping())
        except LauncherUnavailable:
            return False
        return True

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process
        self.process.send_signal(number)
        self.process.wait(20)

    def down(self) -> None:
        """Stop every server, then the launcher."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(Exception):
                asyncio.run(self._stop_all())
            self.kill(signal.SIGTERM)

    async def _stop_all(self) -> None:
        for server in await self.client.list():
            await self.client.stop(server["key"], 0.0)

    async def start(self, key: str, user: Any, **more: Any) -> list[dict[str, Any]]:
        """All events of a start."""
        fields = {"key": key, "os_name": user.name, "user_name": user.name, "base_url": f"/user/{user.name}/"}
        fields |= {"secret": SECRET} | more
        return [event async for event in self.client.start(**fields)]

    async def one(self, key: str) -> dict[str, Any]:
        return next(server for server in await self.client.list() if server["key"] == key)

    @property
    def log(self) -> str:
        return self.output.read_text()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found


async def until_async(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 what is waited for is in another process
            await asyncio.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def of_user(uid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _is_of(path, uid)]


def _is_of(process: Path, uid: int) -> bool:
    try:
        return process.stat().st_uid == uid and alive(int(process.name))
    except OSError:
        return False
