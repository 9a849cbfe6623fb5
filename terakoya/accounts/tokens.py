"""Keys for scripts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.accounts import audit, permissions
from terakoya.accounts.digests import digest, fresh
from terakoya.accounts.visitor import Visitor
from terakoya.db.engine import Database
from terakoya.db.models import Token, User
from terakoya.errors import BadTokenRequest, DatabaseUnavailable, NoSuchToken

__all__ = ["Visitor", "find", "get", "listed", "make", "remove", "sweep"]

TOUCH = 60.0
"""A token's `last_activity` is written only when it is older than this many seconds."""


def make(
    db: Database,
    user_id: int,
    note: str = "",
    lifetime: float | None = None,
    scopes: Sequence[str] = ("inherit",),
    max_lifetime: float | None = None,
    actor: str = "",
) -> tuple[str, Token]:
    """A new token and its value, which is shown once. `lifetime` None: as long as is allowed; `actor` "": its user."""
    lifetime = max_lifetime if lifetime is None else lifetime
    if lifetime is not None and not 0 < lifetime < float("inf"):
        raise BadTokenRequest(reason="its life must be longer than nothing")
    if lifetime is not None and max_lifetime is not None and lifetime > max_lifetime:
        raise BadTokenRequest(reason=f"the longest life allowed is {max_lifetime:.0f} seconds")
    for scope in scopes:
        if not permissions.is_scope(scope):
            raise BadTokenRequest(reason=f'there is no scope "{scope[:64]}"')
    now, value = time.time(), fresh()
    note = "".join(character for character in note if character.isprintable())[:255]
    row = Token(hash=digest(value), user_id=user_id, note=note, scopes=list(scopes), created_at=now)
    row.expires_at = now + lifetime if lifetime is not None else None
    with db.session() as session:
        session.add(row)
        session.flush()
        _record(session, "token.make", row, actor)
    return value, row


def find(db: Database, value: str) -> Visitor | None:
    """Who shows this token; None if it is unknown, has ended, or its user is disabled."""
    hashed, now = digest(value), time.time()
    if hashed is None:
        return None
    query = select(Token, User).join(User, User.id == Token.user_id)
    query = query.where(Token.hash == hashed, _holds(now), User.disabled_at.is_(None))
    with db.reading() as session:
        row = session.execute(query).first()
    if row is None:
        return None
    if (row[0].last_activity or 0.0) < now - TOUCH:
        with suppress(DatabaseUnavailable), db.session() as session:
            session.execute(update(Token).where(Token.id == row[0].id).values(last_activity=now))
    return Visitor(row[1], token=row[0])


def _holds(now: float) -> ColumnElement[bool]:
    return or_(Token.expires_at.is_(None), Token.expires_at > now)


def listed(db: Database, user_id: int) -> list[Token]:
    query = select(Token).where(Token.user_id == user_id, _holds(time.time())).order_by(Token.id)
    with db.reading() as session:
        return list(session.scalars(query))


def get(db: Database, user_id: int, token_id: int) -> Token:
    """One token of a user; NoSuchToken, also if it is somebody else's."""
    query = select(Token).where(Token.id == token_id, Token.user_id == user_id, _holds(time.time()))
    with db.reading() as session:
        token = session.scalar(query)
    if token is None:
        raise NoSuchToken
    return token


def remove(db: Database, user_id: int, token_id: int, actor: str = "") -> None:
    with db.session() as session:
        gone = delete(Token).where(Token.id == token_id, Token.user_id == user_id).returning(Token)
        token = session.scalar(gone)
        if token is None:
            raise NoSuchToken
        _record(session, "token.remove", token, actor)


def _record(session: DatabaseSession, action: str, token: Token, actor: str) -> None:
    user = session.get_one(User, token.user_id)
    audit.record(session, actor or user.name, action, user.name, token=f"a{token.id}", note=token.note)


def sweep(db: Database) -> None:
    """Remove what has ended."""
    with db.session() as session:
        session.execute(delete(Token).where(Token.expires_at <= time.time()))
