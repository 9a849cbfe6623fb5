"""Brings a database to the tables of this version. Nothing is changed in one that is newer."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from terakoya.db.engine import Database
from terakoya.errors import DatabaseTooNew, DatabaseUnavailable

HEAD = "0001"
"""The newest revision, known here so that an up-to-date database costs one query and no import of Alembic."""

LOCK = 7355608
"""PostgreSQL's advisory lock that keeps two processes from migrating at once."""


def upgrade(db: Database) -> None:
    """Make the tables, or bring them up to date. An SQLite file that holds data is copied first."""
    _make_private(db)
    with db.reading() as session:
        found = current(session.connection())
    if found == HEAD:
        return
    _refuse_newer(found)
    if found is not None:
        _snapshot(db, found)
    with db.session() as session:
        connection = session.connection()
        if not db.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        _migrate(connection)


def current(connection: Connection) -> str | None:
    """The revision that the database says it has; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def alembic_config(connection: Connection | None = None) -> Any:
    """Alembic's settings; there is no file."""
    from alembic.config import Config  # noqa: PLC0415 it costs a fifth of a second and is rarely needed

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    command.upgrade(alembic_config(connection), "head")


def _refuse_newer(found: str | None) -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseTooNew(revision=found)


def _make_private(db: Database) -> None:
    """The file holds the secrets of servers: nobody else reads it, nor the files that SQLite lays beside it."""
    if not db.is_sqlite or not db.url.database or db.url.database == ":memory:":
        return
    try:
        os.close(os.open(db.url.database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnavailable(reason=f"{db.url.database}: {error.strerror}") from error


def _snapshot(db: Database, found: str) -> Path | None:
    """A copy beside the database, of before this migration; complete or not there at all."""
    if not db.is_sqlite or not db.url.database:
        return None
    copy = Path(f"{db.url.database}.before-{HEAD}-from-{found}")
    half = copy.with_name(copy.name + ".half")
    try:
        half.unlink(missing_ok=True)
        os.close(os.open(half, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        source, target = sqlite3.connect(db.url.database), sqlite3.connect(half)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        half.replace(copy)
    except (OSError, sqlite3.Error, DBAPIError) as error:
        half.unlink(missing_ok=True)
        raise DatabaseUnavailable(reason=f"no copy could be made before changing it: {error}") from error
    return copy
