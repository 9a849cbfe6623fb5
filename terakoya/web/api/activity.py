"""/hub/api/users/{user}/activity: programs report that somebody is at work."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import or_, select, update
from starlette.responses import Response

from terakoya.db.models import Server, User
from terakoya.errors import BadApiRequest, NoSuchServer
from terakoya.web.api.bodies import Activity, body, documented
from terakoya.web.api.caller import Target, TheHub, target
from terakoya.web.api.route import ApiRoute

routes = APIRouter(route_class=ApiRoute, tags=["users"])

AHEAD = 3600.0
"""Seconds that the clock of a caller may be ahead of ours."""


def moment(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; one without a zone is UTC. BadApiRequest."""
    try:
        parsed = datetime.fromisoformat(text)
        seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadApiRequest(reason="last_activity is not a time such as 2026-01-31T12:00:00Z") from None
    if seconds > time.time() + AHEAD:
        raise BadApiRequest(reason="last_activity is in the future")
    return max(seconds, 0.0)


@routes.post("/users/{user}/activity", openapi_extra=documented(Activity))
def note(
    hub: TheHub,
    to: Annotated[Target, Depends(target("users:activity"))],
    wanted: Annotated[Activity, Depends(body(Activity))],
) -> Response:
    """Report activity of a user and of servers by name. Times earlier than those known change nothing."""
    if not wanted.last_activity and not wanted.servers:
        raise BadApiRequest(reason='it needs "last_activity" or "servers"')
    user_at = moment(wanted.last_activity) if wanted.last_activity else None
    servers_at = {name: moment(server.last_activity) for name, server in (wanted.servers or {}).items()}
    with hub.db.session() as session:
        known = set(session.scalars(select(Server.name).where(Server.user_id == to.user.id)))
        for name in servers_at.keys() - known:
            raise NoSuchServer(user=to.user.name, server=name)
        for name, at in servers_at.items():
            later = or_(Server.last_activity.is_(None), Server.last_activity < at)
            mine = (Server.user_id == to.user.id, Server.name == name)
            session.execute(update(Server).where(*mine, later).values(last_activity=at))
        if user_at is not None:
            later = or_(User.last_activity.is_(None), User.last_activity < user_at)
            session.execute(update(User).where(User.id == to.user.id, later).values(last_activity=user_at))
    return Response(status_code=200)
