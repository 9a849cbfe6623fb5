"""Users: adding, finding, disabling. A user is found by a key, so that Alice, alice and full-width letters are one."""

from __future__ import annotations

import re
import time
import unicodedata
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.accounts import audit
from terakoya.accounts.listing import find
from terakoya.db.engine import Database
from terakoya.db.models import Server, Session, User
from terakoya.errors import BadUserName, LastAdministrator, NoSuchUser, UserExists

__all__ = ["add", "by_id", "check_name", "disable", "enable", "find", "get", "key", "lookup", "remove", "set_admin"]

LONGEST = 32
"""What useradd allows."""


def key(name: str) -> str:
    """The form under which a name is found: NFKC, case-folded."""
    # Case-folding can undo the normal form (and the other way round), so it is made twice.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(name: str) -> None:
    """BadUserName unless `name` can be a user's: it stands in addresses, logs and commands."""
    if not name:
        raise BadUserName(name=name, reason="it is empty")
    if len(name) > LONGEST:
        raise BadUserName(name=name[:LONGEST] + "...", reason="it is too long")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise BadUserName(
            name=name.encode("unicode_escape").decode(), reason="it has a character that names can't have"
        )


def add(
    db: Database, name: str, os_name: str | None = None, admin: bool = False, actor: str = "", *, invited: bool = True
) -> User:
    """A new user, who may enter whatever the rule says if `invited`."""
    check_name(name)
    try:
        with db.session() as session:
            user = insert(session, name, os_name or name, admin=admin, invited=invited)
            audit.record(session, actor, "user.add", name, admin=admin, os_name=user.os_name)
    except IntegrityError as error:
        raise UserExists(name=name) from error
    return user


def insert(session: DatabaseSession, name: str, os_name: str, *, admin: bool, invited: bool) -> User:
    """Add the row and that of the usual server within a transaction; IntegrityError if it is there."""
    user = User(name=name, name_key=key(name), os_name=os_name, admin=admin, invited=invited, servers=[Server()])
    session.add(user)
    session.flush()
    return user


def get(db: Database, name: str) -> User:
    """The user of this name in any spelling; NoSuchUser."""
    with db.reading() as session:
        return fetch(session, name)


def by_id(db: Database, user_id: int) -> User:
    with db.reading() as session:
        user = session.get(User, user_id)
    if user is None:
        raise NoSuchUser(name=user_id)
    return user


def lookup(session: DatabaseSession, name: str) -> User | None:
    """The user of this name within a transaction, or None."""
    if len(name) > LONGEST or not name.isprintable():  # no such name was ever let in, and databases take no NUL
        return None
    return session.scalar(select(User).where(User.name_key == key(name)))


def fetch(session: DatabaseSession, name: str, *, locked: bool = False) -> User:
    """The user of this name within a transaction; NoSuchUser."""
    user = lookup(session, name)
    if user is None:
        raise NoSuchUser(name=name)
    if locked:
        session.refresh(user, with_for_update=True)
    return user


def disable(db: Database, name: str, actor: str = "") -> User:
    """Keep a user out: sessions end now, servers are wished to stop, tokens rest until the user is enabled."""
    with db.session() as session:
        user = fetch(session, name, locked=True)
        if user.disabled_at is None:
            _keep_an_administrator(session, user)
            user.disabled_at = time.time()
            session.execute(delete(Session).where(Session.user_id == user.id))
            session.execute(update(Server).where(Server.user_id == user.id).values(wish="stopped"))
            audit.record(session, actor, "user.disable", user.name)
    return user


def enable(db: Database, name: str, actor: str = "") -> User:
    with db.session() as session:
        user = fetch(session, name, locked=True)
        if user.disabled_at is not None:
            user.disabled_at = None
            audit.record(session, actor, "user.enable", user.name)
    return user


def set_admin(db: Database, name: str, admin: bool, actor: str = "") -> User:
    with db.session() as session:
        user = fetch(session, name, locked=True)
        if user.admin != admin:
            if not admin:
                _keep_an_administrator(session, user)
            user.admin = admin
            audit.record(session, actor, "user.admin", user.name, admin=admin)
    return user


def remove(db: Database, name: str, actor: str = "") -> None:
    """Forget a user with sessions, tokens and server rows. Files and the account of the machine stay."""
    with db.session() as session:
        user = fetch(session, name, locked=True)
        _keep_an_administrator(session, user)
        session.execute(delete(User).where(User.id == user.id))
        audit.record(session, actor, "user.remove", user.name)


def set_preference(db: Database, user_id: int, key: str, value: Any) -> None:
    with db.session() as session:
        user = session.get(User, user_id, with_for_update=True)
        if user is None:
            raise NoSuchUser(name=user_id)
        user.preferences = {**user.preferences, key: value}


def _keep_an_administrator(session: DatabaseSession, user: User) -> None:
    """LastAdministrator if nobody else could administer. The rows are locked, so that two can't leave at once."""
    if not user.admin or user.disabled_at is not None:
        return
    able = select(User.id).where(User.admin, User.disabled_at.is_(None)).order_by(User.id).with_for_update()
    if set(session.scalars(able)) <= {user.id}:
        raise LastAdministrator(name=user.name)
