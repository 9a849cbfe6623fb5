import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from terakoya.accounts import users
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.db.models import Base
from terakoya.errors import DatabaseTooNew, DatabaseUnavailable

os_open = os.open


def test_migrations_equal_the_models(db):
    with db.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_make_what_create_all_makes(db, tmp_path, request):
    """Also what Alembic does not compare: defaults, cascades, nullability."""
    other = Database(
        f"sqlite:///{tmp_path / 'other.sqlite'}" if db.is_sqlite else request.getfixturevalue("postgres")()
    )
    with other.session() as session:
        Base.metadata.create_all(session.connection())
    assert _shape(db) == _shape(other)
    other.close()


def _shape(database: Database) -> dict[str, object]:
    found = inspect(database.engine)
    made: dict[str, object] = {}
    for table in Base.metadata.tables:
        columns = [{**column, "type": str(column["type"])} for column in found.get_columns(table)]
        if database.is_sqlite:
            columns.append({"autoincrement": _never_again(database, table)})
        keys = sorted(found.get_foreign_keys(table), key=str)
        made[table] = (columns, keys, sorted(found.get_indexes(table), key=str), found.get_pk_constraint(table))
    return made


def _never_again(database: Database, table: str) -> bool:
    with database.reading() as session:
        made = session.scalar(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table})
    return "AUTOINCREMENT" in str(made)


def test_the_head_is_the_one_that_is_named():
    assert ScriptDirectory.from_config(migrate.alembic_config()).get_current_head() == migrate.HEAD


def test_upgrading_twice_changes_nothing_and_loses_nothing(db):
    users.add(db, "alice")
    migrate.upgrade(db)
    assert users.get(db, "alice").name == "alice"


def test_several_at_the_same_moment(empty_db):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate.upgrade(empty_db), range(4)))
    assert users.find(empty_db) == ([], 0)


def test_a_newer_database_is_left_alone(empty_db):
    db = empty_db
    migrate.upgrade(db)
    users.add(db, "alice")
    with db.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from_next_year'"))
    with pytest.raises(DatabaseTooNew, match="from_next_year"):
        migrate.upgrade(db)
    with db.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "from_next_year"
    assert users.get(db, "alice")


def test_the_file_is_for_its_owner_only(sqlite_url):
    database = Database(sqlite_url)
    migrate.upgrade(database)
    users.add(database, "alice")
    for file in Path(database.url.database).parent.glob("terakoya.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    database.close()


def _at_an_older_revision(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the next version had one more revision."""
    users.add(database, "alice")
    monkeypatch.setattr(migrate, "HEAD", "9999")


def test_a_copy_is_made_before_an_existing_file_is_changed(sqlite_db, monkeypatch):
    _at_an_older_revision(sqlite_db, monkeypatch)
    migrate.upgrade(sqlite_db)
    copy = Path(f"{sqlite_db.url.database}.before-9999-from-0001")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [("alice",)]
    connection.close()
    assert list(copy.parent.glob("*.half")) == []


def test_without_room_for_the_copy_nothing_is_changed(sqlite_db, monkeypatch):
    _at_an_older_revision(sqlite_db, monkeypatch)
    monkeypatch.setattr(migrate.os, "open", _no_space)
    called = []
    monkeypatch.setattr(command, "upgrade", lambda *_: called.append(1))
    with pytest.raises(DatabaseUnavailable, match="No space"):
        migrate.upgrade(sqlite_db)
    assert called == []


def _no_space(path, flags, mode):
    if flags & os.O_EXCL:
        raise OSError(28, "No space left on device")
    return os_open(path, flags, mode)


def test_a_folder_that_is_missing_is_said(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/missing/terakoya.sqlite")
    with pytest.raises(DatabaseUnavailable, match="No such file"):
        migrate.upgrade(database)


def test_something_else_than_a_database_is_said(tmp_path):
    (tmp_path / "x.sqlite").write_text("This is a shopping list. " * 100)
    database = Database(f"sqlite:///{tmp_path}/x.sqlite")
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        migrate.upgrade(database)


def test_a_server_that_is_not_there_is_said(tmp_path):
    database = Database(f"postgresql://tester@/x?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable):
        migrate.upgrade(database)


def test_the_number_of_a_removed_row_is_never_given_again(db):
    first = users.add(db, "alice").id
    users.remove(db, "alice")
    assert users.add(db, "bob").id > first
