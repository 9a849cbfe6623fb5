"""Who was seen when: remembered in passing, written to the database every half minute by a thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from terakoya.edge.decide import Pass
from terakoya.edge.lookup import libpq_url, sqlite_path

EVERY_SECONDS = 30.0

Times = dict[int, float]
Batch = dict[str, Times]

_LAST_ACTIVITY = "SET last_activity = {0} WHERE id = {0} AND (last_activity IS NULL OR last_activity < {0})"

STATEMENTS = {
    "sessions": "UPDATE sessions SET last_seen = {0} WHERE id = {0} AND last_seen < {0}",
    "tokens": f"UPDATE tokens {_LAST_ACTIVITY}",
    "servers": f"UPDATE servers {_LAST_ACTIVITY}",
    "users": f"UPDATE users {_LAST_ACTIVITY}",
}
"""Each takes the time, the id and the time again; a later time from elsewhere stays."""


class Activity:
    """The last time that each session, token, server and user was seen."""

    def __init__(self) -> None:
        self._times: Batch = {table: {} for table in STATEMENTS}

    def seen(self, passed: Pass, now: float) -> None:
        visitor = passed.visitor
        times = self._times
        times["sessions" if visitor.kind == "session" else "tokens"][visitor.row] = now
        times["servers"][passed.server.row] = now
        times["users"][visitor.user_id] = now

    def take(self) -> Batch:
        """What is to be written; from here on a new batch is collected."""
        taken, self._times = self._times, {table: {} for table in STATEMENTS}
        return {table: times for table, times in taken.items() if times}

    def give_back(self, batch: Batch) -> None:
        """What could not be written is tried again with the next batch."""
        for table, times in batch.items():
            self._times[table] = times | self._times[table]


def writer(url: str) -> Callable[[Batch], None]:
    """A function that writes a batch in one transaction, on a connection that it opens and closes."""
    return (lambda batch: _write_sqlite(sqlite_path(url), batch)) if url.startswith("sqlite:") else _postgres(url)


def _write_sqlite(path: str, batch: Batch) -> None:
    # Never makes the file: an empty one in the place of a lost one would look like a database.
    connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, timeout=10, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for table, times in batch.items():
            connection.executemany(STATEMENTS[table].format("?"), _rows(times))
        connection.execute("COMMIT")
    finally:
        connection.close()


def _postgres(url: str) -> Callable[[Batch], None]:
    import psycopg  # noqa: PLC0415 only where it is used

    def write(batch: Batch) -> None:
        with psycopg.connect(libpq_url(url), connect_timeout=5) as connection, connection.cursor() as cursor:
            for table, times in batch.items():
                cursor.executemany(STATEMENTS[table].format("%s"), _rows(times))

    return write


def _rows(times: Times) -> list[tuple[Any, ...]]:
    # In the order of their ids, so that two gates that write at once never wait for each other in a circle.
    return [(when, number, when) for number, when in sorted(times.items())]
