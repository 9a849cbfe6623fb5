"""Sign-in links: the address shows a button, the button uses the link up. A mail scanner only sees the button."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from terakoya.accounts import codes, sessions, users
from terakoya.db.models import User
from terakoya.errors import CodeUsedUp
from terakoya.web.hosts import safe_next
from terakoya.web.render import page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import address, set_cookie

router = APIRouter()


@router.get("/hub/enter-link")
def show(request: Request, code: str = "") -> Response:
    return page(request, "continue.html", code=code, action="/hub/enter-link")


@router.post("/hub/enter-link")
def enter(request: Request, code: Annotated[str, Form()] = "") -> Response:
    here = hub(request)
    data = codes.use(here.db, "sign-in", code)
    user = users.by_id(here.db, data["user_id"])
    if user.disabled_at is not None:
        raise CodeUsedUp
    return signed_in_response(request, user, safe_next(here.config, data.get("next", "")) or "/hub/home")


def signed_in_response(request: Request, user: User, to: str) -> Response:
    """A redirect that carries a new session of `user`."""
    here = hub(request)
    limits = here.config.accounts
    cookie, _ = sessions.open(
        here.db,
        user.id,
        lifetime=limits.session_lifetime,
        idle=limits.session_idle,
        user_agent=request.headers.get("user-agent", ""),
        address=address(request),
    )
    response = redirect(to)
    set_cookie(response, here.config, cookie)
    return response
