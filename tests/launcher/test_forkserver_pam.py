"""The PAM session that the keeper holds: limits, environment, a module that refuses, a home that is made."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.servers import ForkServer, one_fork_server, until
from tests.osusers import OsUser, OsUsers

__all__ = ["one_fork_server"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

MODULES = next(Path("/usr").glob("lib*/*/security"), None) or next(Path("/").glob("lib*/*/security"), Path())


@pytest.fixture
def alice(os_users: OsUsers) -> OsUser:
    return os_users.make("alice")


@pytest.fixture
def service() -> Iterator[Callable[..., str]]:
    """Make a PAM service with these lines for sessions."""
    made: list[Path] = []

    def make(*lines: str) -> str:
        path = Path("/etc/pam.d") / f"tk-{secrets.token_hex(4)}"
        made.append(path)
        text = "auth required pam_permit.so\naccount required pam_permit.so\n"
        path.write_text(text + "".join(f"session {line}\n" for line in lines))
        return path.name

    yield make
    for path in made:
        path.unlink()


def limits_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def test_limits_and_environment_apply(
    fork_server: ForkServer,
    alice: OsUser,
    service: Callable[..., str],
    tmp_path: Path,
) -> None:
    limits, variables = tmp_path / "limits", tmp_path / "environment"
    limits.write_text(f"{alice.name} hard nproc 321\n{alice.name} hard nofile 4321\n{alice.name} soft nofile 1234\n")
    variables.write_text("FROM_PAM=yes\nLANG=ja_JP.UTF-8\n")
    name = service(
        f"required pam_limits.so conf={limits}", f"required pam_env.so readenv=1 envfile={variables} user_readenv=0"
    )
    server = fork_server.start(alice, pam_service=name)
    applied = limits_of(server.pid)
    assert applied["Max processes"][1] == "321"
    assert applied["Max open files"][1] == "4321"
    terminal = server.request("POST", "api/terminals").json()["name"]
    assert terminal
    pid = until(lambda: _shell_of(server.pid))
    assert b"FROM_PAM=yes" in Path(f"/proc/{pid}/environ").read_bytes()
    assert b"LANG=ja_JP.UTF-8" in Path(f"/proc/{pid}/environ").read_bytes()
    assert limits_of(fork_server.pid)["Max processes"][1] != "321"
    server.stop()


def test_the_session_is_opened_and_closed_by_the_keeper(
    fork_server: ForkServer,
    alice: OsUser,
    service: Callable[..., str],
    tmp_path: Path,
) -> None:
    journal, script = tmp_path / "journal", tmp_path / "note"
    script.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $(id -u)" >> {journal}\n')
    script.chmod(0o755)
    server = fork_server.start(alice, pam_service=service(f"required pam_exec.so {script}"))
    assert journal.read_text().splitlines() == [f"open_session {alice.name} 0"]
    server.stop()
    assert journal.read_text().splitlines()[1:] == [f"close_session {alice.name} 0"]


def test_a_session_that_is_refused_says_so(
    fork_server: ForkServer,
    alice: OsUser,
    service: Callable[..., str],
) -> None:
    server = fork_server.order(alice, pam_service=service("required pam_deny.so"))
    failed = server.event()
    assert failed
    assert failed["event"] == "failed"
    assert failed["reason"].startswith("The machine did not let the session begin (pam_open_session:")


@pytest.mark.skipif(not (MODULES / "pam_mkhomedir.so").exists(), reason="no pam_mkhomedir here")
def test_a_missing_home_is_made_by_pam(
    fork_server: ForkServer,
    os_users: OsUsers,
    service: Callable[..., str],
) -> None:
    user = os_users.make("bob", home=False)
    server = fork_server.start(user, pam_service=service("required pam_mkhomedir.so"))
    assert user.home.stat().st_uid == user.uid
    server.stop()


def test_groups_are_those_of_the_user(fork_server: ForkServer, alice: OsUser, os_users: OsUsers) -> None:
    bob = os_users.make("bob")
    os_users.change("usermod", "-aG", bob.name, alice.name)
    server = fork_server.start(alice)
    groups = next(line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "Groups:" in line)
    assert {int(gid) for gid in groups.split()[1:]} == {alice.gid, bob.gid}
    server.stop()


def _shell_of(pid: int) -> int:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(pid) and "bash" in (entry / "cmdline").read_text():
                return int(entry.name)
    return 0
