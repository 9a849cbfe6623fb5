"""Control groups, for counting and ending what a server started: version 2, version 1, or none.

Groups live below the launcher's own group, so that a limit set on terakoya as a whole holds for everything. A group is
a list of folders, one in each hierarchy that can be written; on version 2 there is one hierarchy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["v1", "v2", "none"]
PARENT = "terakoya"
_LEAF = "launcher"
_V1 = ("cpuacct", "memory", "pids")


@dataclass(frozen=True)
class Group:
    """The group of one server. Without folders it knows nothing and does nothing."""

    folders: tuple[Path, ...] = ()

    @property
    def task_files(self) -> list[str]:
        """Writing a process's number to each of these puts it into the group."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def pids(self) -> set[int]:
        return {int(pid) for folder in self.folders for pid in _read(folder / "cgroup.procs").split()}

    def cpu_seconds(self) -> float | None:
        """Used since the group was made, also by processes that ended. None: not counted here."""
        for folder in self.folders:
            if nanoseconds := _read(folder / "cpuacct.usage"):
                return int(nanoseconds) / 1e9
        for folder in self.folders:
            if (microseconds := _field(folder / "cpu.stat", "usage_usec")) is not None:
                return microseconds / 1e6
        return None

    def memory_bytes(self) -> int | None:
        """In use and not freely reclaimable. None: not counted here."""
        for folder in self.folders:
            for total, cold in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
                if used := _read(folder / total):
                    return max(0, int(used) - (_field(folder / "memory.stat", cold) or 0))
        return None

    async def kill(self, spare: Collection[int] = (), seconds: float = 5.0) -> None:
        """End everything in it but `spare`, also what is being forked meanwhile."""
        deadline = time.monotonic() + seconds
        if not spare:
            for folder in self.folders:
                with contextlib.suppress(OSError):
                    (folder / "cgroup.kill").write_text("1")
        while (pids := self.pids().difference(spare)) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.005)

    def remove(self) -> bool:
        """Forget it. False while something in it still runs."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders)


@dataclass(frozen=True)
class Cgroups:
    """What this machine has and this process may write."""

    kind: Kind = "none"
    parents: tuple[Path, ...] = field(default=())

    def make(self, key: str) -> Group:
        """A group for one server, in as many hierarchies as possible."""
        folders = []
        for above in self.parents:
            with contextlib.suppress(OSError):
                (above / key).mkdir(mode=0o755, parents=True, exist_ok=True)
                folders.append(above / key)
        return Group(tuple(folders))


def find(mounts: str | None = None, own: str | None = None) -> Cgroups:
    """Look at what is mounted and try it. The texts of /proc/self/mounts and /proc/self/cgroup can be given."""
    mounts = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    own = Path("/proc/self/cgroup").read_text() if own is None else own
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    version1, version2 = [], []
    for fields in (line.split() for line in mounts.splitlines()):
        if fields[2] == "cgroup":
            names = [name for name in _V1 if name in fields[3].split(",")]
            if names and names[0] in paths:
                version1.append(_below(Path(fields[1]), paths[names[0]]))
        elif fields[2] == "cgroup2" and "" in paths:
            version2.append(_below(Path(fields[1]), paths[""]))
    if usable := _usable(version1):
        # The empty version 2 hierarchy beside it can end a whole group in one step.
        return Cgroups("v1", (*usable, *_usable(version2)))
    for above in version2:
        _share_controllers(above.parent)
    usable = _usable(version2)
    return Cgroups("v2" if usable else "none", tuple(usable))


def _below(mount: Path, own: str) -> Path:
    path = mount / own.lstrip("/")
    return (path.parent if path.name == _LEAF else path) / PARENT


def _usable(parents: Iterable[Path]) -> list[Path]:
    found = []
    for above in parents:
        probe = above / f"probe-{os.getpid()}"
        try:
            probe.mkdir(parents=True)
            if os.access(probe / "cgroup.procs", os.W_OK):
                found.append(above)
            probe.rmdir()
        except OSError:
            continue
    return found


def _share_controllers(own: Path) -> None:
    """Version 2 counts memory in children only if the parent hands it on, and then the parent may hold no process."""
    wanted = [name for name in ("cpu", "memory", "pids") if name in _read(own / "cgroup.controllers").split()]
    with contextlib.suppress(OSError):
        if not (own / "cgroup.type").exists():
            raise OSError  # the root group of the machine: it may hold processes and hand on
        (own / _LEAF).mkdir(exist_ok=True)
        (own / _LEAF / "cgroup.procs").write_text(str(os.getpid()))
    for folder in (own, own / PARENT):
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _field(path: Path, name: str) -> int | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None
