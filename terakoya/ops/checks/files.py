"""Folders and disks."""

from __future__ import annotations

import shutil
from pathlib import Path

from terakoya.ops import folders
from terakoya.ops.checks.base import Facts, Finding, fail, ok, warn

FULL, NEARLY_FULL = 0.02, 0.10
"""Shares of a disk that are free."""


def folders_right(facts: Facts) -> Finding:
    """Owner and mode of each folder; one that is not there yet is made at the next start."""
    if facts.account is None:
        return ok("made at the first start")
    wanted = [folder for folder in folders.wanted(facts.config, facts.account) if _reachable(folder.path)]
    wrong = [f"{folder.path}: {problem}" for folder in wanted if (problem := folders.problem(folder))]
    if wrong:
        return fail("; ".join(wrong), "`terakoya up` sets owners and rights; if it refuses to, it says why.")
    return ok(f"{len(wanted)} with the right owners" if wanted else "made at the first start")


def _reachable(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except PermissionError:
        return False


def disk_space(facts: Facts) -> Finding:
    """The fullest of the disks that hold our folders and the homes."""
    storage = facts.config.storage
    places = [_nearest(path) for path in (storage.state, storage.runtime, storage.logs, Path("/home"))]
    share, place = min((_free(path), path) for path in places)
    text = f"{share:.0%} free at {place}"
    if share < FULL:
        return fail(text, "Free some space: without it nobody can save, and nothing can be written down.")
    return warn(text, "Free some space soon.") if share < NEARLY_FULL else ok(text)


def _free(path: Path) -> float:
    usage = shutil.disk_usage(path)
    return usage.free / usage.total if usage.total else 1.0


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())
