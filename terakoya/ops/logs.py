"""The log file of a process: appended to by the process itself, kept within a size by the supervisor."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

LIMIT = 20 * 1024 * 1024
"""Bytes after which a log starts anew; the one before is kept as `.1`."""


@dataclass(frozen=True)
class Log:
    """`LOGS/<name>.log`, readable for the account's group."""

    path: Path
    gid: int = -1
    uid: int = 0

    def open(self) -> int:
        """A descriptor to append to; the caller closes it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o640)
        if os.geteuid() == 0 and self.gid >= 0:
            os.fchown(fd, self.uid, self.gid)
        return fd

    def rotate(self, limit: int = LIMIT) -> None:
        """Copy and cut: the writer appends, so it goes on at the new end without being told."""
        if not self.path.exists() or self.path.stat().st_size <= limit:
            return
        earlier = self.path.with_name(self.path.name + ".1")
        earlier.unlink(missing_ok=True)
        shutil.copy2(self.path, earlier)
        if os.geteuid() == 0:
            os.chown(earlier, 0, self.gid)
        os.truncate(self.path, 0)

    def tail(self, lines: int = 5) -> list[str]:
        """The last lines that say something."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - 8192))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-lines:]
