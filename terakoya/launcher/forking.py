"""The launcher's side of the fork server: keep one running, hand it requests.

The fork server ends when its socket does, that is, with the launcher; the servers that it forked do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.launcher import processes
from terakoya.launcher.processes import Process

log = logging.getLogger("terakoya.launcher")

SOCKET_FD = 3
LONGEST_PACKET = 128 * 1024
PRELOAD_SECONDS = 120.0
_SECONDS_BETWEEN = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class PreloadError(Exception):
    """JupyterLab can't be imported. The text is for the user, `detail` for whoever mends it."""

    def __init__(self, reason: str, detail: str) -> None:
        self.detail = detail
        super().__init__(reason)


class ForkServer:
    """One child process that forks servers, started again whenever it ends."""

    def __init__(self, python: str, note: Path) -> None:
        """`note` is the file that tells a later launcher about this process."""
        self._python = python
        self._note = note
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        """The machine's usual limit, for the servers; the launcher itself may then raise its own."""
        self._changed = asyncio.Condition()
        self._socket: socket.socket | None = None
        self._failure: PreloadError | None = None
        self._failures = 0
        """In a row."""
        self._sending = asyncio.Lock()
        self.pid = 0
        self.generation = 0
        """Grows with every one that became ready."""

    @property
    def state(self) -> str:
        """`ready`, `starting` or `failed: why`."""
        if self._socket:
            return "ready"
        return f"failed: {self._failure}" if self._failure else "starting"

    async def run(self) -> None:
        """Never ends by itself. Failures in a row wait longer and longer."""
        while True:
            lived = await self._run_one()
            self._failures = 0 if lived else self._failures + 1
            await asyncio.sleep(_SECONDS_BETWEEN[min(self._failures, len(_SECONDS_BETWEEN) - 1)])

    async def send(self, packet: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Hand over a request as soon as there is somebody to take it. The generation that got it.

        PreloadError if there will be nobody.
        """
        message = json.dumps(packet).encode()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._socket or self._failure)
                sock, generation = self._socket, self.generation
                if not sock:
                    raise self._failure or PreloadError("", "")
            with contextlib.suppress(OSError):  # it died just now: wait for the next one
                async with self._sending:
                    await _send(sock, message, descriptors)
                return generation
            await self._drop(sock)

    async def _run_one(self) -> bool:
        """One process from start to end; whether it became ready."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        before = self.generation
        try:
            self.pid = _spawn(self._python, theirs)
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self._files)
            theirs.close()
            self._remember(ready=False)
            return await self._listen(ours)
        except OSError as error:
            await self._set(None, PreloadError("Notebook servers can't be started here.", str(error)))
            return False
        finally:
            theirs.close()
            ours.close()
            if self.pid:
                await self._ended(was_ready=self.generation > before)

    async def _listen(self, ours: socket.socket) -> bool:
        was_ready = False
        while packet := await _receive(ours, None if was_ready else PRELOAD_SECONDS):
            event = json.loads(packet)
            if event.get("event") == "preloaded":
                was_ready = True
                self._remember(ready=True)
                self.generation += 1
                log.info("fork server %d is ready after %.2f s", self.pid, event.get("seconds", 0))
                await self._set(ours, None)
            elif event.get("event") == "failed":
                log.error("fork server: %s\n%s", event.get("reason"), event.get("detail"))
                await self._set(None, PreloadError(str(event.get("reason")), str(event.get("detail", ""))))
        await self._drop(ours)
        # The first death without a word may be chance, such as somebody's kill: starts wait for the next one.
        if not was_ready and not self._failure and self._failures:
            await self._set(None, PreloadError("Notebook servers can't be started here.", "the fork server died"))
        return was_ready

    async def _ended(self, *, was_ready: bool) -> None:
        """It ends when its socket is closed. One that hangs, or is still importing, is killed."""
        if not was_ready:
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                log.warning("fork server %d ended (%d)", self.pid, await processes.reap(self.pid))
        self.pid = 0

    async def _drop(self, sock: socket.socket) -> None:
        if self._socket is sock:
            await self._set(None, None)

    async def _set(self, sock: socket.socket | None, failure: PreloadError | None) -> None:
        async with self._changed:
            self._socket, self._failure = sock, failure
            self._changed.notify_all()

    def _remember(self, *, ready: bool) -> None:
        if process := Process.now(self.pid):
            new = self._note.with_suffix(".new")
            new.write_text(json.dumps({"pid": process.pid, "started": process.started, "ready": ready}))
            new.replace(self._note)


async def end_earlier(note: Path, seconds: float = 5.0) -> None:
    """Wait for the fork server of a launcher that died: it may still have requests to work off, then it ends."""
    try:
        fields = json.loads(note.read_text())  # noqa: ASYNC240 a line in memory
        earlier = Process(fields["pid"], fields["started"])
    except (OSError, ValueError, TypeError, KeyError):
        return
    if not fields.get("ready") or not await earlier.gone(seconds):
        earlier.kill(signal.SIGKILL)
        await earlier.gone(seconds)


def _spawn(python: str, theirs: socket.socket) -> int:
    """In a session of its own, so that Ctrl-C at the terminal does not reach it nor what it forks."""
    with open(os.devnull, "rb") as null:  # noqa: PTH123 a descriptor is wanted
        actions = [
            (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), SOCKET_FD),
        ]
        if theirs.fileno() == SOCKET_FD:
            theirs.set_inheritable(True)
            actions.pop()
        signals = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
        return os.posix_spawn(
            python,
            [python, "-I", "-m", "terakoya.launcher.forkserver"],
            _ENVIRONMENT,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=signals,
        )


async def _send(sock: socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            socket.send_fds(sock, [message], list(descriptors), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            room = asyncio.Event()
            loop.add_writer(sock, room.set)
            try:
                await room.wait()
            finally:
                loop.remove_writer(sock)
        else:
            return


async def _receive(sock: socket.socket, seconds: float | None) -> bytes:
    """One packet; nothing when the other end is closed, or silent for too long."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().sock_recv(sock, LONGEST_PACKET)
    except OSError:
        return b""
