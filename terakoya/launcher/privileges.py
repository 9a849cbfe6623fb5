"""Becoming an ordinary user for good. Every step that fails is fatal, and the result is looked at afterwards."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_CAPABILITY_SETS = 3

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """The process did not become who it should be; it must end at once."""


@dataclass(frozen=True)
class Account:
    """Who to become. The launcher looked the numbers up; a name is only used for its supplementary groups."""

    name: str
    uid: int
    gid: int


def prepare_groups(account: Account) -> None:
    """Take over the supplementary groups of `account`; PAM modules may add some before `drop`."""
    if os.geteuid() == 0:
        os.initgroups(account.name, account.gid)


def drop(account: Account) -> None:
    """Become `account` for good, keeping the supplementary groups the process has now.

    Without root this only checks that the process is that account already. Raises PrivilegeError or OSError.
    """
    if account.uid == 0:
        raise PrivilegeError("a notebook server never runs as root")
    groups = set(os.getgroups())
    if os.geteuid() == 0:
        os.setgroups(sorted(groups))
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    verify(account, groups)
    # Changing the user makes /proc/self belong to root, which breaks closing of file descriptors and debuggers.
    # Nothing in this process is secret from its user: what it was given was read after the fork.
    _prctl(_PR_SET_DUMPABLE, 1)


def verify(account: Account, groups: set[int]) -> None:
    """Raise PrivilegeError unless the process is exactly `account`, can't go back, and holds no capability."""
    if os.getresuid() != (account.uid,) * 3 or os.getresgid() != (account.gid,) * 3:
        raise PrivilegeError(f"process is {os.getresuid()}, {os.getresgid()} instead of {account}")
    if set(os.getgroups()) != groups:
        raise PrivilegeError(f"process has the groups {os.getgroups()} instead of {sorted(groups)}")
    status = Path("/proc/self/status").read_text()
    masks = re.findall(r"^Cap(?:Prm|Eff|Amb):\s*(\w+)$", status, re.MULTILINE)
    if len(masks) != _CAPABILITY_SETS or any(int(mask, 16) for mask in masks):
        raise PrivilegeError(f"process has the capability sets {masks}")
    if _succeeds(os.setresuid) or _succeeds(os.setresgid):
        raise PrivilegeError("process could become root again")


def _succeeds(become: Callable[[int, int, int], None]) -> bool:
    try:
        become(0, 0, 0)
    except PermissionError:
        return False
    return True


def become_subreaper() -> None:
    """Orphaned descendants become children of this process, so that none gets lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Set what `ps -o comm` and `top` show, at most 15 bytes."""
    with suppress(OSError):
        _libc.prctl(_PR_SET_NAME, name.encode(errors="replace")[:15], 0, 0, 0)


def usual_oom_score() -> None:
    """A launcher that the kernel should spare when memory runs out must not pass that on to what users run."""
    path = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        if int(path.read_text()) < 0:
            path.write_text("0")


def close_all_but(keep: set[int]) -> None:
    """Close every file descriptor from 3 on that is not in `keep`."""
    start = 3
    for fd in sorted(keep):
        os.closerange(start, max(start, fd))
        start = max(start, fd + 1)
    os.closerange(start, 2**31 - 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
