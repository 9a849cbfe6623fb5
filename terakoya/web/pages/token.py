"""Tokens: keys for scripts, each shown once."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from terakoya.accounts import tokens
from terakoya.accounts.visitor import Visitor
from terakoya.errors import BadTokenRequest
from terakoya.web.render import page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import SignedIn

router = APIRouter()

HOUR, DAY = 3600, 86400
LIVES = (HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY)
"""What the form offers, as far as the settings allow."""


@router.get("/hub/token")
def show(request: Request, who: SignedIn) -> Response:
    return _page(request, who)


@router.post("/hub/token")
def make(
    request: Request, who: SignedIn, note: Annotated[str, Form()] = "", life: Annotated[int, Form()] = 30 * DAY
) -> Response:
    here = hub(request)
    if life not in LIVES:
        raise BadTokenRequest(reason="its life must be one of those that the page offers")
    longest = here.config.accounts.token_lifetime
    value, _ = tokens.make(here.db, who.user.id, note, min(life, longest), ("inherit",), longest)
    return _page(request, who, fresh=value)


@router.post("/hub/token/{token_id}/remove")
def remove(request: Request, who: SignedIn, token_id: int) -> Response:
    tokens.remove(hub(request).db, who.user.id, token_id)
    return redirect("/hub/token")


def _page(request: Request, who: Visitor, fresh: str = "") -> Response:
    here = hub(request)
    longest = here.config.accounts.token_lifetime
    return page(
        request,
        "token.html",
        tokens=tokens.listed(here.db, who.user.id),
        lives=[life for life in LIVES if life <= longest] or [int(longest)],
        fresh=fresh,
        now=time.time(),
    )
