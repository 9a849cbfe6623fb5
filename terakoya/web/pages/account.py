"""One's own account: signed-in browsers, language and colours."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from terakoya.accounts import sessions
from terakoya.web import i18n
from terakoya.web.render import THEME_COOKIE, THEMES, YEAR, page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import SignedIn, drop_cookie

router = APIRouter()

BROWSERS = (
    (r"Edg/", "Edge"),
    (r"OPR/", "Opera"),
    (r"Firefox/", "Firefox"),
    (r"Chrom(e|ium)/", "Chrome"),
    (r"Safari/", "Safari"),
)
SYSTEMS = (
    (r"Android", "Android"),
    (r"iPhone|iPad", "iOS"),
    (r"CrOS", "ChromeOS"),
    (r"Windows", "Windows"),
    (r"Mac OS X", "macOS"),
    (r"Linux", "Linux"),
)


def device(user_agent: str) -> str:
    """What a browser says of itself, such as "Firefox, Linux"; for recognising only."""
    found = [
        next((name for pattern, name in table if re.search(pattern, user_agent)), "") for table in (BROWSERS, SYSTEMS)
    ]
    return ", ".join(part for part in found if part) or user_agent[:40]


@router.get("/hub/account")
def show(request: Request, who: SignedIn) -> Response:
    found = sessions.listed(hub(request).db, who.user.id)
    this = who.session.id if who.session else None
    return page(request, "account.html", sessions=found, this=this, device=device)


@router.post("/hub/account/sessions/{session_id}/end")
def end_one(request: Request, who: SignedIn, session_id: int) -> Response:
    sessions.close_one(hub(request).db, who.user.id, session_id)
    return redirect("/hub/account")


@router.post("/hub/account/end-all")
def end_all(request: Request, who: SignedIn) -> Response:
    here = hub(request)
    sessions.close_all(here.db, who.user.id)
    response = redirect("/hub/login")
    drop_cookie(response, here.config)
    return response


@router.post("/hub/account/look")
def look(
    request: Request, _who: SignedIn, language: Annotated[str, Form()] = "", theme: Annotated[str, Form()] = "auto"
) -> Response:
    """Kept in this browser, so that the sign-in page knows them too."""
    response = redirect("/hub/account")
    secure = hub(request).config.secure
    if language in i18n.NAMES:
        response.set_cookie(i18n.COOKIE, language, max_age=YEAR, path="/", samesite="lax", secure=secure)
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, max_age=YEAR, path="/", samesite="lax", secure=secure)
    return response
