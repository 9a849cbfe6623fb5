"""The folders for state, sockets and logs: made if missing, and never trusted blindly.

A folder that somebody else prepared (a symlink in /tmp, a parent that others may write to) could make root write where
it should not, so every folder is opened without following links and checked before its owner and mode are set.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from terakoya.config import Config
from terakoya.errors import FolderUnsafe


@dataclass(frozen=True)
class Folder:
    """What a folder should be."""

    path: Path
    uid: int
    gid: int
    mode: int


def wanted(config: Config, account: pwd.struct_passwd) -> list[Folder]:
    """Every folder of this installation, parents first."""
    storage, uid, gid = config.storage, account.pw_uid, account.pw_gid
    if config.personal:
        own = [storage.state, storage.runtime, storage.logs]
        inner = [storage.runtime / "servers", storage.logs / "servers"]
        return [Folder(path, uid, gid, 0o700) for path in own + inner]
    return [
        Folder(storage.state, uid, gid, 0o750),
        # Hub, gate and edge make their sockets here; the sticky bit keeps root's files out of their reach.
        Folder(storage.runtime, 0, gid, 0o1771),
        Folder(storage.runtime / "servers", 0, 0, 0o711),
        Folder(storage.logs, 0, gid, 0o750),
        Folder(storage.logs / "servers", 0, gid, 0o750),
    ]


def prepare(config: Config, account: pwd.struct_passwd) -> None:
    """Make every folder and set its owner and mode; FolderUnsafe if one is not what it seems."""
    for folder in wanted(config, account):
        _make_parents(folder.path, config)
        _check_parents(folder.path)
        _settle(folder)


def _make_parents(path: Path, config: Config) -> None:
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        try:
            parent.mkdir(mode=0o700 if config.personal else 0o755)
        except OSError as error:
            raise FolderUnsafe(path=parent, reason=error.strerror) from error


def _check_parents(path: Path) -> None:
    """Nobody but root and ourselves may be able to exchange a folder on the way, nor have laid a link there."""
    trusted, dangerous = {0, os.geteuid()}, stat.S_IWOTH | (stat.S_IWGRP if os.geteuid() == 0 else 0)
    for parent in path.parents:
        facts = parent.stat()
        owners = {facts.st_uid, parent.lstat().st_uid} - trusted
        if owners:
            raise FolderUnsafe(path=path, reason=f"{parent} belongs to {_name(owners.pop())}")
        if facts.st_mode & dangerous and not facts.st_mode & stat.S_ISVTX:
            raise FolderUnsafe(path=path, reason=f"others may write to {parent}")


def _settle(folder: Folder) -> None:
    try:
        folder.path.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a symbolic link" if folder.path.is_symlink() else error.strerror
        raise FolderUnsafe(path=folder.path, reason=reason) from error
    try:
        owner = os.fstat(fd).st_uid
        if owner not in {0, os.geteuid(), folder.uid}:
            raise FolderUnsafe(path=folder.path, reason=f"it belongs to {_name(owner)}")
        if os.geteuid() == 0:
            os.fchown(fd, folder.uid, folder.gid)
        os.fchmod(fd, folder.mode)
    finally:
        os.close(fd)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"


def problem(folder: Folder) -> str:
    """What is wrong with a folder, for `doctor`; empty if nothing."""
    try:
        facts = folder.path.lstat()
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISDIR(facts.st_mode):
        return "it is not a folder"
    if facts.st_uid != folder.uid:
        return f"it belongs to {_name(facts.st_uid)}, not to {_name(folder.uid)}"
    if stat.S_IMODE(facts.st_mode) != folder.mode:
        return f"its mode is {stat.S_IMODE(facts.st_mode):o}, not {folder.mode:o}"
    return ""


def write_private(path: Path, text: str, *, gid: int = -1, mode: int = 0o640) -> None:
    """Replace a file at once: a reader sees the old text or the new one, and never a file of somebody else's."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        if os.geteuid() == 0:
            os.fchown(fd, 0, gid)
        os.fchmod(fd, mode)
    temporary.replace(path)
