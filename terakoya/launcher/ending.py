"""What belongs to a server, how much it uses, and how all of it is ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terakoya.launcher import processes
from terakoya.launcher.processes import Process
from terakoya.launcher.records import Record

KEEPER_SECONDS = 5.0
"""How long a keeper may take to end what is left and to close the PAM session."""


def everything(record: Record, user_folder: Path, not_of_it: set[int]) -> set[Process]:
    """Every process of it that can be found outside its cgroup; without one, by descent and by environment."""
    pids = _tree(record, {})
    if not record.group.folders:
        pids = _tree(record, processes.children())
        pids |= processes.with_environment(str(user_folder).encode(), record.uid)
    if record.port and not record.server:
        # The port may be somebody else's by now: only our own keepers and the user's own processes count.
        found = processes.holders(record.port)
        pids |= {p for p in found if processes.owner(p) == record.uid or processes.name(p).startswith("terakoya-")}
    return {process for pid in pids - not_of_it if (process := Process.now(pid))}


async def end(record: Record, known: set[Process]) -> bool:
    """Kill whatever is left of it; whether its cgroup is gone too.

    The keeper goes last, by itself if it can: it closes the PAM session.
    """
    keeper = record.keeper
    for process in known:
        if process != keeper:
            process.kill(signal.SIGKILL)
    await record.group.kill(spare={keeper.pid} if keeper else ())
    if keeper and not await keeper.gone(KEEPER_SECONDS):
        keeper.kill(signal.SIGKILL)
        await keeper.gone(KEEPER_SECONDS)
    await record.group.kill()
    return record.group.remove()


def usage(record: Record, family: Mapping[int, list[int]] | None) -> dict[str, Any]:
    """CPU, memory and number of its processes. `family` is given where there are no cgroups to count them."""
    if record.status == "exited":
        return {"cpu_seconds": 0.0, "memory_bytes": 0, "processes": 0}
    pids = record.group.pids() if record.group.folders or family is None else _tree(record, family)
    cpu, memory = record.group.cpu_seconds(), record.group.memory_bytes()
    if cpu is None or memory is None:
        counted = processes.usage(pids)
        cpu, memory = counted[0] if cpu is None else cpu, counted[1] if memory is None else memory
    return {"cpu_seconds": round(cpu, 3), "memory_bytes": memory, "processes": len(pids)}


def _tree(record: Record, family: Mapping[int, list[int]]) -> set[int]:
    roots = [process.pid for process in (record.server, record.keeper) if process and process.alive]
    return processes.tree(roots, family)
