"""Users of the operating system, made for a benchmark and removed after it. Needs root."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "terakoya benchmark"
"""In the account's comment field: what carries it was left behind by a killed run and may be removed."""


@dataclass(frozen=True)
class Person:
    """An account with its password."""

    name: str
    password: str
    uid: int


@contextlib.contextmanager
def people(count: int) -> Iterator[list[Person]]:
    """`count` accounts tkb01, tkb02 ... with empty homes of their own."""
    if os.geteuid() != 0:
        raise SystemExit("This benchmark makes users of the operating system: run it as root.")
    homes = Path(tempfile.mkdtemp(prefix="terakoya-homes-"))
    homes.chmod(0o755)
    made: list[Person] = []
    try:
        for name in _free_names(count):
            made.append(_make(name, homes))  # noqa: PERF401 what was made is removed also if the next one fails
        yield made
    finally:
        for person in made:
            _remove(person.name)
        shutil.rmtree(homes, ignore_errors=True)


def _free_names(count: int) -> Iterator[str]:
    for number in range(1, 1000):
        name = f"tkb{number:02}"
        with contextlib.suppress(KeyError):
            if pwd.getpwnam(name).pw_gecos != MARK or processes_of(pwd.getpwnam(name).pw_uid):
                continue
            _remove(name)
        yield name
        count -= 1
        if not count:
            return
    raise RuntimeError("there are too many users called tkb...")


def _make(name: str, homes: Path) -> Person:
    password = secrets.token_urlsafe(12)
    _patiently(["useradd", "--create-home", "--home-dir", f"{homes}/{name}", "--shell", "/bin/bash", "-c", MARK, name])
    _patiently(["chpasswd"], f"{name}:{password}\n")
    return Person(name, password, pwd.getpwnam(name).pw_uid)


def _remove(name: str) -> None:
    uid = pwd.getpwnam(name).pw_uid
    deadline = time.monotonic() + 10
    while (left := processes_of(uid)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _patiently(["userdel", "--remove", "--force", name])


def _patiently(command: list[str], text: str = "") -> None:
    """Run it; somebody else may hold the lock of the password file for a moment."""
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run(command, check=False, input=text, text=True, capture_output=True)
        if done.returncode == 0:
            return
        if "lock" not in done.stderr or time.monotonic() > deadline:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
        time.sleep(0.05)


def processes_of(uid: int) -> list[int]:
    """Every process that runs as `uid`, but for those that have ended already."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(entry.name))
    return found
