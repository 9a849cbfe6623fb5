"""The list of users as administrators see it: filtered, sorted, a page at a time."""

from __future__ import annotations

import unicodedata

from sqlalchemy import ColumnElement, Select, exists, func, select

from terakoya.db.engine import Database
from terakoya.db.models import Server, User

ACTIVE = ("starting", "running", "stopping")

STATES: dict[str, tuple[str, ...]] = {
    "active": ACTIVE,
    "ready": ("running",),
    "running": ("running",),
    "starting": ("starting",),
    "stopping": ("stopping",),
    "failed": ("failed",),
}
"""What `state` may be, and the states of servers that it means. Beside these: inactive, disabled, enabled."""

SORTS = {"name": User.name_key, "created": User.created_at, "last_activity": User.last_activity, "id": User.id}
"""What `sort` may be; with "-" before it the order is turned round."""


def find(
    db: Database,
    *,
    search: str = "",
    state: str = "",
    admin: bool | None = None,
    sort: str = "name",
    offset: int = 0,
    limit: int = 100,
) -> tuple[list[User], int]:
    """A page of users and how many there are in all. Two queries, whatever their number."""
    chosen = conditions(search, state, admin)
    with db.reading() as session:
        total = session.scalar(select(func.count()).select_from(User).where(*chosen)) or 0
        return list(session.scalars(page(chosen, sort, offset, limit))), total


def page(chosen: list[ColumnElement[bool]], sort: str, offset: int, limit: int) -> Select[User]:
    """The query for one page."""
    column = SORTS.get(sort.lstrip("-"), User.name_key)
    order = column.desc() if sort.startswith("-") else column.asc()
    if column is User.last_activity:
        order = order.nulls_last()
    query = select(User).where(*chosen).order_by(order)
    if column is not User.name_key:
        query = query.order_by(User.id)
    return query.offset(offset).limit(limit)


def conditions(search: str, state: str, admin: bool | None) -> list[ColumnElement[bool]]:
    """What the parts of a search mean."""
    made: list[ColumnElement[bool]] = []
    if search:
        folded = unicodedata.normalize("NFKC", search).casefold().replace("\0", "")
        made.append(User.name_key.contains(folded, autoescape=True))
    if admin is not None:
        made.append(User.admin == admin)
    if state in STATES:
        made.append(User.id.in_(select(Server.user_id).where(Server.state.in_(STATES[state]))))
    elif state == "inactive":
        made.append(~exists().where(Server.user_id == User.id, Server.state.in_(ACTIVE)))
    elif state == "disabled":
        made.append(User.disabled_at.is_not(None))
    elif state == "enabled":
        made.append(User.disabled_at.is_(None))
    return made
