"""Opening the database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from terakoya.errors import DatabaseUnavailable

BUSY_SECONDS = 10
"""How long a writer waits for another writer before it gives up."""


class Database:
    """A source of short transactions. Everything that reads or writes goes through `session()`."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = self._engine()
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        readers = self.engine.execution_options(terakoya_reads=True)
        self._readers = sessionmaker(readers, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=10)
        engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediately)
        return engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One writing transaction: committed at the end of the block, rolled back if it raises."""
        with _errors_explained(), self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One reading transaction; on SQLite it never waits for a writer."""
        with _errors_explained(), self._readers.begin() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _errors_explained() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if _is_logic(error):
            raise
        raise DatabaseUnavailable(reason=str(error.orig)) from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(reason="too many connections are in use") from error


def _is_logic(error: DBAPIError) -> bool:
    """A broken constraint says something about the data, not about the database."""
    return type(error).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # pysqlite would begin transactions by its own rules; terakoya says BEGIN itself.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Any) -> None:
    # Taking the write lock at the start makes a second writer wait; taking it later would make it fail.
    reads = connection.get_execution_options().get("terakoya_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
