"""Real accounts of the machine for tests: made with useradd, removed afterwards, also after a failure.

In a conftest.py: `from tests.osusers import open_folder, os_users` (and name them in `__all__`); in a test take the
fixture `os_users` and call `os_users.make("alice")`. Names of accounts begin with "tk".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PREFIX = "tk"
HOMES = Path("/home")
_LOCK = Path("/tmp/terakoya-test-users.lock")


@dataclass(frozen=True)
class OsUser:
    name: str
    password: str
    uid: int
    gid: int
    home: Path


class OsUsers:
    """Makes accounts and remembers them."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(
        self, cast: str = "", *, password: str | None = None, shell: str = "/bin/bash", home: bool = True
    ) -> OsUser:
        """A new account called tk<cast><random>; no two are called the same, in any process."""
        name = f"{PREFIX}{cast}{secrets.token_hex(4)}"[:32]
        password = secrets.token_urlsafe(12) if password is None else password
        with _locked():
            arguments = ["--create-home"] if home else ["--no-create-home"]
            run("useradd", *arguments, "--home-dir", str(HOMES / name), "--shell", shell, "--user-group", name)
            self.made.append(name)
            run("chpasswd", stdin=f"{name}:{password}\n")
        entry = pwd.getpwnam(name)
        if home:
            Path(entry.pw_dir).chmod(0o700)
        return OsUser(name, password, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))

    def change(self, program: str, *arguments: str) -> None:
        """Such as change("usermod", "-L", name)."""
        with _locked():
            run(program, *arguments)

    def remove_all(self) -> None:
        for name in self.made:
            _end_processes(name)
            with _locked(), contextlib.suppress(subprocess.CalledProcessError):
                run("userdel", "--remove", "--force", name)
        self.made.clear()


@pytest.fixture
def os_users() -> Iterator[OsUsers]:
    """Accounts for one test."""
    yield from _users()


@pytest.fixture(scope="module")
def module_os_users() -> Iterator[OsUsers]:
    """Accounts for the tests of one module."""
    yield from _users()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass through. pytest's own is not: each run shuts its parent again."""
    yield from folder_for_all()


def folder_for_all() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="terakoya-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _users() -> Iterator[OsUsers]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make accounts")
    users = OsUsers()
    try:
        yield users
    finally:
        users.remove_all()


def run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """useradd and friends give up when another one holds /etc/passwd; so take turns, in all processes."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _end_processes(name: str) -> None:
    """What still runs as a test's own account, by number."""
    uid = pwd.getpwnam(name).pw_uid
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _is_of(path, uid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        os.sched_yield()


def _is_of(process: Path, uid: int) -> bool:
    try:
        return process.stat().st_uid == uid and " Z " not in (process / "stat").read_text()
    except OSError:
        return False
