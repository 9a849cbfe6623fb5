"""Work that may block, or that must not happen inside the launcher itself, done in a forked process of its own.

PAM modules and name services load foreign code, sleep, fork, and change the process that they run in. So each call gets
a process, and the launcher never waits. The launcher has no threads; forking it is safe.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from terakoya.launcher import processes

Job = Callable[[], Any]


class HelperError(Exception):
    """The helper died, or took longer than it may."""


class Helpers:
    """At most `limit` at once, each for at most `seconds`; the others wait in line."""

    def __init__(self, limit: int, seconds: int) -> None:
        self._places = asyncio.Semaphore(limit)
        self._seconds = seconds

    async def call(self, job: Job) -> Any:
        """What `job` returned, which must be JSON."""
        async with self._places:
            return await self._run(job)

    async def _run(self, job: Job) -> Any:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
            if pid == 0:
                _child(job, writing, self._seconds)
        except OSError as error:
            os.close(reading)
            raise HelperError(str(error)) from error
        finally:
            os.close(writing)
        try:
            answer = await _read_all(reading)
        finally:
            await processes.reap(pid)
        if not answer.endswith(b"\n"):
            raise HelperError("the helper process died")
        return json.loads(answer)


def _child(job: Job, writing: int, seconds: int) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.alarm(seconds)  # ends this process even when the launcher is gone
        os.closerange(3, writing)
        os.closerange(writing + 1, os.sysconf("SC_OPEN_MAX"))
        answer = json.dumps(job()).encode() + b"\n"
        while answer:
            answer = answer[os.write(writing, answer) :]
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 nothing may get out of here into the launcher's own code
        # Not the text of the error and no traceback: they might carry a password.
        print(f"launcher helper: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(1)


async def _read_all(descriptor: int) -> bytes:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        return await reader.read()
    finally:
        transport.close()
