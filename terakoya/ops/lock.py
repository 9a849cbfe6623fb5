"""One supervisor for each runtime folder: a lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terakoya.errors import AlreadyRunning


def path_in(runtime: Path) -> Path:
    return runtime / "supervisor.lock"


@contextmanager
def taken(runtime: Path) -> Iterator[None]:
    """Hold the lock of `runtime`; AlreadyRunning names the process that has it."""
    fd = os.open(path_in(runtime), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(pid=_pid(fd)) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)


def holder(runtime: Path) -> int | None:
    """The pid of the supervisor that runs on `runtime`, or None."""
    try:
        fd = os.open(path_in(runtime), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(fd)
    else:
        return None
    finally:
        os.close(fd)


def _pid(fd: int) -> int:
    text = os.pread(fd, 32, 0)
    return int(text) if text.isdigit() else 0
