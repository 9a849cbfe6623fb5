"""GET /hub/api/users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from starlette.requests import Request

from terakoya.accounts import users
from terakoya.accounts.listing import ACTIVE
from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.servers import rows
from terakoya.web.api.caller import AnyCaller, TheHub, Where
from terakoya.web.api.models import user_model
from terakoya.web.api.paging import Page, page
from terakoya.web.api.route import ApiRoute
from terakoya.web.api.users import Stopped

routes = APIRouter(route_class=ApiRoute, tags=["users"])

State = Literal["active", "inactive", "ready"]
Order = Literal["id", "-id", "name", "-name", "last_activity", "-last_activity"]


@dataclass(frozen=True)
class Wanted:
    """Which users, in which order."""

    state: State | None
    name_filter: str
    sort: Order
    part: Page
    stopped: bool


def wanted(
    part: Annotated[Page, Depends(page)],
    stopped: Stopped,
    state: Annotated[State | None, Query(description="whether a server runs, or answers")] = None,
    name_filter: Annotated[str, Query(max_length=200, description="a part of the name")] = "",
    sort: Annotated[Order, Query(description='with "-" before it the other way round')] = "id",
) -> Wanted:
    """A dependency: the query."""
    return Wanted(state, name_filter, sort, part, stopped)


@routes.get("/users")
def listed(
    request: Request,
    hub: TheHub,
    who: AnyCaller,
    where: Where,
    which: Annotated[Wanted, Depends(wanted)],
) -> Any:
    """List users, those only that the scope `list:users` covers."""
    who.demand("list:users")
    reach = who.grants.reaches["list:users"]
    found, total = _all(hub.db, which) if reach is None else _few(hub.db, reach, which)
    servers = rows.of_users(hub.db, [user.id for user in found])
    models = [user_model(user, servers[user.id], where, who.grants, include_stopped=which.stopped) for user in found]
    return which.part.answer(request, [model for model in models if model], total)


def _all(db: Database, which: Wanted) -> tuple[list[User], int]:
    offset, limit = which.part.offset, which.part.limit
    return users.find(
        db, search=which.name_filter, state=which.state or "", sort=which.sort, offset=offset, limit=limit
    )


def _few(db: Database, names: frozenset[str], which: Wanted) -> tuple[list[User], int]:
    """The same for the handful of users that a token names."""
    part, text = users.key(which.name_filter), which.sort.lstrip("-")
    with db.reading() as session:
        found = list(session.scalars(select(User).where(User.name_key.in_(names))))
    servers = rows.of_users(db, [user.id for user in found])
    found = [user for user in found if part in user.name_key and _in_state(servers[user.id], which.state)]
    found.sort(key=lambda user: (getattr(user, text) or 0, user.id), reverse=which.sort.startswith("-"))
    return found[which.part.offset : which.part.offset + which.part.limit], len(found)


def _in_state(servers: list[Server], state: State | None) -> bool:
    states = {server.state for server in servers}
    active = bool(states & set(ACTIVE))
    return {None: True, "active": active, "inactive": not active, "ready": "running" in states}[state]
