"""Processes as /proc shows them: named by number and start time, so that a number used again is never mistaken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PPID, _USER_TIME, _SYSTEM_TIME, _STARTED = 1, 11, 12, 19


@dataclass(frozen=True)
class Process:
    """One process for good. `started` is in clock ticks since the machine's start."""

    pid: int
    started: int

    @classmethod
    def now(cls, pid: int) -> Process | None:
        """The process that has this number at present."""
        fields = _stat(pid)
        return cls(pid, int(fields[_STARTED])) if fields else None

    def open(self) -> int | None:
        """A pidfd, or None if it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Opened first and compared then: from here on the descriptor cannot come to mean another process.
        if Process.now(self.pid) == self:
            return descriptor
        os.close(descriptor)
        return None

    @property
    def alive(self) -> bool:
        return Process.now(self.pid) == self

    def kill(self, number: signal.Signals) -> bool:
        """Whether it was there to get the signal."""
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    async def gone(self, seconds: float | None = None) -> bool:
        """Wait until it has ended. False if it still runs after `seconds`."""
        descriptor = self.open()
        if descriptor is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await readable(descriptor)
        except TimeoutError:
            return False
        finally:
            os.close(descriptor)
        return True


async def readable(descriptor: int) -> None:
    """Wait until the descriptor can be read; for a pidfd: until the process has ended."""
    loop = asyncio.get_running_loop()
    now = asyncio.Event()
    loop.add_reader(descriptor, now.set)
    try:
        await now.wait()
    finally:
        loop.remove_reader(descriptor)


async def reap(pid: int) -> int:
    """Wait for a child of this process; the exit code, or minus the signal."""
    descriptor = os.pidfd_open(pid)
    try:
        await readable(descriptor)
    except asyncio.CancelledError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # noqa: ASYNC222 it is dead
        raise
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 it has ended


def parent(pid: int) -> int:
    """0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[_PPID]) if fields else 0


def owner(pid: int) -> int | None:
    """The effective user of a process."""
    try:
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    except OSError:
        pass
    return None


def name(pid: int) -> str:
    """What a process calls itself; "" if there is none."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def everyone() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 names are enough, and faster


def children() -> dict[int, list[int]]:
    """Who descends directly from whom, at this moment."""
    found: dict[int, list[int]] = {}
    for pid in everyone():
        found.setdefault(parent(pid), []).append(pid)
    return found


def tree(roots: Iterable[int], family: Mapping[int, list[int]]) -> set[int]:
    """The processes and all that descend from them, as far as their parents still live."""
    found, waiting = set(), list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += family.get(pid, [])
    return found


def with_environment(text: bytes, uid: int) -> set[int]:
    """Processes of a user that were given this in their environment: also those whose parents are gone."""
    found = set()
    for pid in everyone():
        folder = PROC / str(pid)
        try:
            if folder.stat().st_uid == uid and text in (folder / "environ").read_bytes():
                found.add(pid)
        except OSError:
            continue
    return found


def holders(port: int) -> set[int]:
    """Processes that hold the socket that listens on this port of 127.0.0.1."""
    inodes = set()
    for line in (PROC / "net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A":
            inodes.add(f"socket:[{fields[9]}]")
    found = set()
    for pid in everyone():
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) in inodes for link in (PROC / str(pid) / "fd").iterdir()):
                found.add(pid)
    return found


def usage(pids: Collection[int]) -> tuple[float, int, int]:
    """CPU seconds, bytes (shared ones by their share) and number of these processes."""
    seconds, size, number = 0.0, 0, 0
    for pid in pids:
        fields = _stat(pid)
        if not fields:
            continue
        number += 1
        seconds += (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICKS
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    size += int(line.split()[1]) * 1024
    return seconds, size, number


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; nothing for a process that has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (OSError, UnicodeDecodeError):
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields
