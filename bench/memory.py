"""Memory of idle servers: the proportional set size (PSS) of every process that a user's server consists of."""

from __future__ import annotations

import re
import time
from pathlib import Path

from bench.people import Person, processes_of

SETTLED = 0.01
"""Two looks that differ by less than this part of the whole count as settled."""


def pss_bytes(pid: int) -> int:
    """A page shared by n processes counts 1/n for each; 0 if the process is gone."""
    try:
        return 1024 * int(
            re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]
        )
    except (OSError, TypeError):
        return 0


def server_processes(person: Person) -> set[int]:
    """The user's own processes and, of their parents, what is there for this server only (our keeper, as root)."""
    own = set(processes_of(person.uid))
    return own | {parent for pid in own if (parent := _parent(pid)) not in own and _is_keeper(parent, own)}


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _is_keeper(pid: int, own: set[int]) -> bool:
    """Whether all children of `pid` belong to the one user: neither init nor a hub has only such children."""
    try:
        children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return False
    return bool(children) and children <= own


def settled_pss_mb(persons: list[Person], seconds: float = 60.0) -> float:
    """Mean PSS per server in MB (10^6 bytes), once it no longer changes. Wants at least two servers at once."""
    deadline = time.monotonic() + seconds
    before = 0
    while True:
        time.sleep(5)
        now = sum(pss_bytes(pid) for person in persons for pid in server_processes(person))
        if abs(now - before) < SETTLED * now or time.monotonic() > deadline:
            return now / len(persons) / 1e6
        before = now
