"""With an origin for every user: the hub's session gives rise to one of that origin, by a code that works once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from terakoya.accounts import codes, sessions
from terakoya.errors import CodeUsedUp
from terakoya.web import opening
from terakoya.web.hosts import own_path, safe_next, server_path, user_host
from terakoya.web.render import page, redirect
from terakoya.web.state import Hub, hub
from terakoya.web.visitor import SignedIn, address, set_cookie

router = APIRouter()


@router.get("/hub/enter-origin")
async def from_hub(request: Request, who: SignedIn, host: str = "", next: str = "") -> Response:  # noqa: A002
    """The gate sends whoever comes to an origin without a session of it here."""
    here = hub(request)
    if host.lower() != user_host(here.config, who.user.name_key) or not host:
        name = host.partition(".")[0]
        return page(request, "not_yours.html", 404, name=name if here.config.site.user_domain else "")
    path = own_path(safe_next(here.config, next), who.user.name_key) or server_path(who.user.name)
    return redirect(await opening.entrance(here, who, who.user, path), 302)


@router.get("/hub/enter")
def at_origin(request: Request, code: str = "", next: str = "") -> Response:  # noqa: A002
    """On the user's origin: the code becomes its cookie, which no other origin sees."""
    here = hub(request)
    host = (request.url.hostname or "").lower()
    data = codes.use(here.db, "enter", code)
    if data["host"] != host or not _still_signed_in(here, data):
        raise CodeUsedUp
    limits = here.config.accounts
    try:
        cookie, _ = sessions.open(
            here.db,
            data["user_id"],
            lifetime=limits.session_lifetime,
            idle=limits.session_idle,
            user_agent=request.headers.get("user-agent", ""),
            address=address(request),
            parent_id=data["session_id"],
            host=host,
        )
    except IntegrityError as error:  # signed out at this very moment
        raise CodeUsedUp from error
    key = host.partition(".")[0]
    response = redirect(own_path(safe_next(here.config, next), key) or server_path(key), 302)
    set_cookie(response, here.config, cookie)
    return response


def _still_signed_in(here: Hub, data: dict[str, Any]) -> bool:
    """Whether the hub's session is there yet. Its number alone does not tell: numbers are given again."""
    found = sessions.listed(here.db, data["user_id"])
    return any(row.id == data["session_id"] and row.hash.hex() == data["session"] for row in found)
