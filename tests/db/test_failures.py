"""A database that can't be written: what people are told, and that nothing is lost."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from terakoya.accounts import codes, sessions, users
from terakoya.db import engine, migrate
from terakoya.db.engine import Database
from terakoya.errors import CodeUsedUp, DatabaseUnavailable


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)


@pytest.fixture
def tiny(tmp_path):
    """A file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_locked(impatient, sqlite_url):
    database, other = Database(sqlite_url), Database(sqlite_url)
    migrate.upgrade(database)
    with other.session() as session:
        users.insert(session, "bob", "bob", admin=False, invited=True)
        with pytest.raises(DatabaseUnavailable, match="locked"):
            users.add(database, "alice")
    assert users.add(database, "alice").id
    database.close()
    other.close()


def test_readers_do_not_wait_for_a_writer(impatient, sqlite_url):
    database, other = Database(sqlite_url), Database(sqlite_url)
    migrate.upgrade(database)
    users.add(database, "alice")
    with other.session() as session:
        users.insert(session, "bob", "bob", admin=False, invited=True)
        assert users.find(database)[1] == 1
    assert users.find(database)[1] == 2
    database.close()
    other.close()


def test_the_disk_is_full(tiny: Path):
    database = Database(f"sqlite:///{tiny}/terakoya.sqlite")
    migrate.upgrade(database)
    users.add(database, "alice")
    cookie, _ = sessions.open(database, 1, lifetime=999, idle=999, user_agent="", address="")
    code = codes.make(database, "sign-in", {"user_id": 1}, 60)
    filler = tiny / "filler"
    _fill(filler)
    with pytest.raises(DatabaseUnavailable, match=r"full|I/O"):
        _add_many(database)
    # Reading goes on, and what a full disk refused is whole.
    assert sessions.find(database, cookie).user.name == "alice"
    written = users.find(database)[1]
    filler.unlink()
    assert users.add(database, "bob").name == "bob"
    assert users.find(database)[1] == written + 1
    assert codes.use(database, "sign-in", code) == {"user_id": 1}
    with pytest.raises(CodeUsedUp):
        codes.use(database, "sign-in", code)
    database.close()


def _fill(file: Path) -> None:
    with pytest.raises(OSError, match="No space"), file.open("wb", buffering=0) as filler:
        filler.writelines(itertools.repeat(b"x" * 4096))


def _add_many(database: Database) -> None:
    for number in range(500):
        users.add(database, f"student{number}")


def test_a_broken_constraint_is_no_failure_of_the_database(db, cast):
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"), db.session() as session:
        users.insert(session, "ALICE", "alice", admin=False, invited=True)
