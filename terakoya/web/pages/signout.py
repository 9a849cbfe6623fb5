"""Signing out: at once by a form, after a question by a link, such as the one in JupyterLab's menu."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from terakoya.accounts import sessions
from terakoya.web.render import page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import cookie_values, drop_cookie, visitor

router = APIRouter()


@router.get("/hub/logout")
def ask(request: Request) -> Response:
    return page(request, "logout.html") if visitor(request) else redirect("/hub/login", 302)


@router.post("/hub/logout")
def sign_out(request: Request) -> Response:
    here = hub(request)
    for value in cookie_values(request):
        sessions.close(here.db, value)
    response = redirect("/hub/login")
    drop_cookie(response, here.config)
    return response
