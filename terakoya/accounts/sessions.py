"""Signed-in browsers."""

from __future__ import annotations

import time
from contextlib import suppress

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.orm import Session as DatabaseSession
from sqlalchemy.orm import aliased

from terakoya.accounts.digests import digest, fresh
from terakoya.accounts.visitor import Visitor
from terakoya.db.engine import Database
from terakoya.db.models import Session, User
from terakoya.errors import DatabaseUnavailable

__all__ = ["Visitor", "close", "close_all", "close_one", "extend", "find", "listed", "open", "sweep"]

TOUCH = 300.0
"""A session's `last_seen` is written only when it is older than this many seconds."""


def open(  # noqa: A001 sessions.open reads as it is meant
    db: Database,
    user_id: int,
    *,
    lifetime: float,
    idle: float,
    user_agent: str,
    address: str,
    parent_id: int | None = None,
    host: str = "",
) -> tuple[str, Session]:
    """A new session and the value of its cookie, which is kept nowhere."""
    with db.session() as session:
        return begin(session, user_id, lifetime, idle, user_agent, address, parent_id, host)


def begin(
    session: DatabaseSession,
    user_id: int,
    lifetime: float,
    idle: float,
    user_agent: str,
    address: str,
    parent_id: int | None = None,
    host: str = "",
) -> tuple[str, Session]:
    """The same within a transaction. One for a user's own origin lives no longer than the hub's it came from."""
    value, now = fresh(), time.time()
    parent = session.get(Session, parent_id) if parent_id is not None else None
    born = parent.created_at if parent else now
    row = Session(
        hash=digest(value),
        user_id=user_id,
        parent_id=parent_id,
        host=host.lower(),
        created_at=born,
        last_seen=now,
        expires_at=min(born + lifetime, now + idle),
        user_agent=_printable(user_agent)[:255],
        address=address[:64],
    )
    session.add(row)
    session.flush()
    return value, row


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def find(db: Database, cookie_value: str, host: str = "") -> Visitor | None:
    """Who shows this cookie on this host ("" for the hub's); None for a forged, ended or foreign one."""
    hashed, now = digest(cookie_value), time.time()
    if hashed is None:
        return None
    query = select(Session, User).join(User, User.id == Session.user_id)
    query = query.where(
        Session.hash == hashed, Session.host == host.lower(), Session.expires_at > now, User.disabled_at.is_(None)
    )
    with db.reading() as session:
        row = session.execute(query).first()
    if row is None:
        return None
    if row[0].last_seen < now - TOUCH:
        _touch(db, row[0].id, row[1].id, now)
    return Visitor(row[1], session=row[0])


def _touch(db: Database, session_id: int, user_id: int, now: float) -> None:
    # Whoever reads a page must not meet an error because this could not be noted.
    with suppress(DatabaseUnavailable), db.session() as session:
        session.execute(update(Session).where(Session.id == session_id).values(last_seen=now))
        session.execute(update(User).where(User.id == user_id).values(last_activity=now))


def close(db: Database, cookie_value: str) -> None:
    """Sign out; sessions on users' origins that came from it end too."""
    hashed = digest(cookie_value)
    if hashed is None:
        return
    with db.session() as session:
        session.execute(delete(Session).where(Session.hash == hashed))


def close_one(db: Database, user_id: int, session_id: int) -> None:
    """End one of the sessions that a user sees in a list."""
    with db.session() as session:
        session.execute(delete(Session).where(Session.id == session_id, Session.user_id == user_id))


def close_all(db: Database, user_id: int) -> None:
    """Sign out everywhere."""
    with db.session() as session:
        session.execute(delete(Session).where(Session.user_id == user_id))


def listed(db: Database, user_id: int) -> list[Session]:
    """The hub sessions of a user that hold, the last used first."""
    query = select(Session).where(Session.user_id == user_id, Session.host == "", Session.expires_at > time.time())
    with db.reading() as session:
        return list(session.scalars(query.order_by(Session.last_seen.desc())))


def extend(db: Database, idle: float, lifetime: float) -> None:
    """Move the ends of sessions to what use and settings say. One transaction, nothing written if all is so."""
    with db.session() as session:
        _parents_seen(session)
        by_age, by_use = Session.created_at + lifetime, Session.last_seen + idle
        end = case((by_age < by_use, by_age), else_=by_use)
        # Ended ones stay ended, also when the settings have become more generous since.
        due = update(Session).where(Session.expires_at > time.time(), func.abs(Session.expires_at - end) > 1.0)
        session.execute(due.values(expires_at=end).execution_options(synchronize_session=False))


def _parents_seen(session: DatabaseSession) -> None:
    """Who works on their own origin uses the hub's session too."""
    child = aliased(Session)
    latest = select(func.max(child.last_seen)).where(child.parent_id == Session.id).scalar_subquery()
    due = update(Session).where(Session.host == "", latest > Session.last_seen).values(last_seen=latest)
    session.execute(due.execution_options(synchronize_session=False))


def sweep(db: Database) -> int:
    """Remove what has ended; how many."""
    with db.session() as session:
        gone = session.execute(delete(Session).where(Session.expires_at <= time.time()))
        return gone.rowcount  # type: ignore[attr-defined,no-any-return]
