"""The log file of each server: written through a descriptor that the launcher opened, read back for messages."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
LINES, BYTES = 60, 8192
LONGEST = 32 * 1024 * 1024


def path(folder: Path, os_name: str, base_url: str) -> Path:
    """`<os_name>-<server name, or default>.log`."""
    after_user = base_url.rpartition("/user/")[2].strip("/").split("/")
    server = after_user[1] if len(after_user) > 1 else "default"
    return folder / f"{_file_name(os_name)}-{_file_name(server)}.log"


def _file_name(text: str) -> str:
    """The text itself where it is plain; else its bytes in hexadecimal, so that no two are the same."""
    return text if _PLAIN.fullmatch(text) else "x" + text.encode().hex()[:120]


def open_new(log: Path, gid: int | None) -> int:
    """Keep the earlier log as .1 and open an empty one for appending; the group may read it."""
    with contextlib.suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    os.fchmod(descriptor, 0o640)
    if gid is not None:
        os.fchown(descriptor, -1, gid)
    return descriptor


def bound(log: Path) -> None:
    """Begin again where a log has grown too long: what a user prints must not fill the machine's disk."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LONGEST:
            os.truncate(log, 0)


def tail(log: Path) -> str:
    """The last lines, for whoever mends it."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - BYTES))
            text = file.read(BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LINES:])
