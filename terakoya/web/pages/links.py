"""Sign-in links: the address shows a button, the button uses the link up. A mail scanner only sees the button."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from terakoya.accounts import links
from terakoya.db.models import User
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
    here = hub(request)
    agent = request.headers.get("user-agent", "")
    cookie, _ = links.follow(here.db, here.config, code, agent, address(request))
    return _home(request, cookie)


def signed_in_response(request: Request, user: User) -> Response:
    """The user's home, with a new session."""
    here = hub(request)
    agent = request.headers.get("user-agent", "")
    return _home(request, links.enter(here.db, here.config, user, agent, address(request)))


def _home(request: Request, cookie: str) -> Response:
    response = redirect("/hub/home")
    set_cookie(response, hub(request).config, cookie)
    return response
