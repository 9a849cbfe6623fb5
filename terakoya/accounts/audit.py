"""Who did what to whom, when and from where."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.db.engine import Database
from terakoya.db.models import Audit


def record(
    session: DatabaseSession, actor: str, action: str, target: str = "", address: str = "", **detail: Any
) -> None:
    """Add a row within the transaction of what it tells about, so that neither is there without the other."""
    session.add(Audit(actor=actor[:64], action=action[:32], target=target[:64], address=address[:64], detail=detail))


def search(
    db: Database,
    *,
    actor: str = "",
    action: str = "",
    target: str = "",
    since: float | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Audit]:
    """The newest rows first; `before` is the id of the last row seen, for the next page."""
    query = select(Audit).order_by(Audit.id.desc()).limit(limit)
    for column, wanted in ((Audit.actor, actor), (Audit.action, action), (Audit.target, target)):
        if wanted:
            query = query.where(column == wanted)
    if since is not None:
        query = query.where(Audit.at >= since)
    if before is not None:
        query = query.where(Audit.id < before)
    with db.reading() as session:
        return list(session.scalars(query))
