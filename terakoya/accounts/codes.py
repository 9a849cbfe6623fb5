"""What opens a door once: sign-in links, the hand-over of a session to a user's own origin."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import delete

from terakoya.accounts.digests import digest, fresh
from terakoya.db.engine import Database
from terakoya.db.models import Code
from terakoya.errors import CodeUsedUp


def make(db: Database, purpose: str, data: dict[str, Any], seconds: float) -> str:
    """A code good once for `purpose` within `seconds`; `data` is given to whoever uses it."""
    value = fresh()
    with db.session() as session:
        session.add(Code(hash=digest(value), purpose=purpose, data=data, expires_at=time.time() + seconds))
    return value


def use(db: Database, purpose: str, code: str) -> dict[str, Any]:
    """The data of the code, which is used up by this; CodeUsedUp. Of two at once one succeeds."""
    hashed = digest(code)
    if hashed is None:
        raise CodeUsedUp
    taken = delete(Code).where(Code.hash == hashed, Code.purpose == purpose, Code.expires_at > time.time())
    with db.session() as session:
        data: dict[str, Any] | None = session.scalar(taken.returning(Code.data))
    if data is None:
        raise CodeUsedUp
    return data


def sweep(db: Database) -> None:
    """Remove what has ended."""
    with db.session() as session:
        session.execute(delete(Code).where(Code.expires_at <= time.time()))
