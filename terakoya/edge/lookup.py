"""Reading the database: who holds this session or token, whose server is this. Plain SQL, read only.

SQLite answers from memory as long as the database has not changed, which `PRAGMA data_version` says for each request:
what was committed before a request came in counts for that request. PostgreSQL is asked each time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from terakoya.edge.decide import Owner, Server, Visitor

SESSION = (
    "SELECT u.id, u.name, u.admin, u.disabled_at, s.expires_at, s.id, s.host"
    " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.hash = {}"
)
KEY = (
    "SELECT u.id, u.name, u.admin, u.disabled_at, t.expires_at, t.id, t.scopes"
    " FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = {}"
)
OWNER = (
    "SELECT u.id, u.name, u.name_key, u.disabled_at, s.name, s.id, s.state, s.address, s.secret"
    " FROM users u LEFT JOIN servers s ON s.user_id = u.id WHERE u.name_key = {}"
)

MOST_REMEMBERED = 20_000
RETRY_SECONDS = 0.2


class DatabaseDown(Exception):  # noqa: N818 it names a state
    """The database can't be read at the moment; the text says why."""


def visitor_of(kind: str, row: tuple[Any, ...] | None) -> Visitor | None:
    if row is None:
        return None
    user_id, name, admin, disabled_at, expires_at, number, last = row
    common = (user_id, name, bool(admin), disabled_at is not None, expires_at, kind, number)
    if kind == "session":
        return Visitor(*common, host=last)
    scopes = json.loads(last) if isinstance(last, str) else last
    return Visitor(*common, scopes=tuple(scopes or ()))


def owner_of(rows: list[tuple[Any, ...]]) -> Owner | None:
    if not rows:
        return None
    user_id, name, key, disabled_at = rows[0][:4]
    servers = {row[4]: Server(row[5], row[6], row[7], row[8]) for row in rows if row[5] is not None}
    return Owner(user_id, name, key, disabled_at is not None, servers)


class Lookup(Protocol):
    """What the gate asks. Each raises DatabaseDown."""

    reads: int
    """How often the database was really asked."""

    def fresh(self) -> None:
        """Called at the start of each request."""

    def session(self, digest: bytes) -> Visitor | None: ...

    def token(self, digest: bytes) -> Visitor | None: ...

    def owner(self, key: str) -> Owner | None: ...


class SqliteLookup:
    """One connection, and what it said since the last change."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.reads = 0
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._version: tuple[int] | None = None
        self._file: tuple[int, int] | None = None
        self._tried = self._looked = 0.0
        self._why = "it was not opened yet"
        self._sessions: dict[bytes, Visitor | None] = {}
        self._tokens: dict[bytes, Visitor | None] = {}
        self._owners: dict[str, Owner | None] = {}

    def fresh(self) -> None:
        """Forget everything if the database has changed since the last request."""
        now = time.monotonic()
        if now - self._looked > 1:
            self._looked = now
            self._notice_another_file()
        cursor = self._cursor or self._open(now)
        try:
            version = cursor.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise self._lost(error) from error
        if version != self._version or len(self._owners) + len(self._sessions) + len(self._tokens) > MOST_REMEMBERED:
            self._forget()
            self._version = version

    def session(self, digest: bytes) -> Visitor | None:
        try:
            return self._sessions[digest]
        except KeyError:
            row = self._rows(SESSION, digest)
            found = self._sessions[digest] = visitor_of("session", row[0] if row else None)
            return found

    def token(self, digest: bytes) -> Visitor | None:
        try:
            return self._tokens[digest]
        except KeyError:
            row = self._rows(KEY, digest)
            found = self._tokens[digest] = visitor_of("token", row[0] if row else None)
            return found

    def owner(self, key: str) -> Owner | None:
        try:
            return self._owners[key]
        except KeyError:
            found = self._owners[key] = owner_of(self._rows(OWNER, key))
            return found

    def close(self) -> None:
        self._forget()
        if self._connection:
            self._connection.close()
        self._connection = self._cursor = None

    def _rows(self, sql: str, value: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            raise DatabaseDown(self._why)
        self.reads += 1
        try:
            return self._connection.execute(sql.format("?"), (value,)).fetchall()
        except sqlite3.Error as error:
            raise self._lost(error) from error

    def _open(self, now: float) -> sqlite3.Cursor:
        """Open at most a few times a second; writing is refused by SQLite itself."""
        if now - self._tried < RETRY_SECONDS:
            raise DatabaseDown(self._why)
        self._tried = now
        try:
            connection = sqlite3.connect(f"file:{quote(self.path)}?mode=rw", uri=True, timeout=1, isolation_level=None)
            connection.execute("PRAGMA query_only=1")
            connection.execute("SELECT 1 FROM sessions, tokens, users, servers LIMIT 0").fetchall()
        except sqlite3.Error as error:
            raise self._lost(error) from error
        self._connection = connection
        self._file = _identity(self.path)
        self._cursor = connection.cursor()
        return self._cursor

    def _lost(self, error: sqlite3.Error) -> DatabaseDown:
        self._why = str(error)
        self.close()
        return DatabaseDown(self._why)

    def _forget(self) -> None:
        self._version = None
        self._sessions.clear()
        self._tokens.clear()
        self._owners.clear()

    def _notice_another_file(self) -> None:
        """A backup put in place of the database is another file under the same name."""
        if self._connection and _identity(self.path) != self._file:
            self._why = "its file was replaced"
            self._tried = 0.0
            self.close()


def _identity(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = Path(path).stat()
        return found.st_dev, found.st_ino
    return None


class PostgresLookup:
    """One connection, asked for every request; the statements are prepared on the server."""

    def __init__(self, url: str) -> None:
        import psycopg  # noqa: PLC0415 only where it is used: it takes 60 ms and 15 MB

        self._psycopg = psycopg
        self.url = url
        self.reads = 0
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._tried = 0.0
        self._why = "it was not opened yet"

    def fresh(self) -> None:
        """Connect if there is no connection."""
        if self._connection is not None:
            return
        now = time.monotonic()
        if now - self._tried < RETRY_SECONDS:
            raise DatabaseDown(self._why)
        self._tried = now
        try:
            options = "-c default_transaction_read_only=on -c statement_timeout=3000"
            limits: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 5000, "options": options}
            self._connection = self._psycopg.connect(self.url, autocommit=True, prepare_threshold=1, **limits)
        except self._psycopg.Error as error:
            raise self._lost(error) from error

    def session(self, digest: bytes) -> Visitor | None:
        rows = self._rows(SESSION, digest)
        return visitor_of("session", rows[0] if rows else None)

    def token(self, digest: bytes) -> Visitor | None:
        rows = self._rows(KEY, digest)
        return visitor_of("token", rows[0] if rows else None)

    def owner(self, key: str) -> Owner | None:
        return owner_of(self._rows(OWNER, key))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, sql: str, value: Any) -> list[tuple[Any, ...]]:
        self.reads += 1
        try:
            return self._ask(sql, value)
        except self._psycopg.OperationalError:
            # The database was restarted, or the connection had died: once more on a new one.
            self.close()
            self._tried = 0.0
            self.fresh()
        try:
            return self._ask(sql, value)
        except self._psycopg.Error as error:
            raise self._lost(error) from error

    def _ask(self, sql: str, value: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            raise DatabaseDown(self._why)
        try:
            return self._connection.execute(sql.format("%s"), (value,), binary=True).fetchall()
        except self._psycopg.OperationalError:
            raise
        except self._psycopg.Error as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> DatabaseDown:
        self._why = " ".join(str(error).split())
        self.close()
        return DatabaseDown(self._why)


def connect(url: str) -> SqliteLookup | PostgresLookup:
    """The right one for a database URL as terakoya.toml has it."""
    if url.startswith("sqlite:"):
        return SqliteLookup(sqlite_path(url))
    return PostgresLookup(libpq_url(url))


def sqlite_path(url: str) -> str:
    return unquote(url.removeprefix("sqlite:///"))


def libpq_url(url: str) -> str:
    """Without the driver that SQLAlchemy's form may name."""
    return f"postgresql{url[len(urlsplit(url).scheme) :]}"
