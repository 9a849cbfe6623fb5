"""Who asks: the session cookie or the token of a request, and whether the request may change anything."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from terakoya.accounts import sessions, tokens
from terakoya.accounts.permissions import may
from terakoya.accounts.visitor import Visitor
from terakoya.config import Config
from terakoya.errors import AdministratorsOnly, CrossSite, SignInNeeded
from terakoya.web.state import hub

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
COOKIES_TRIED = 4


def cookie_name(config: Config) -> str:
    """With https the name itself makes browsers insist on `Secure`, `Path=/` and no `Domain`."""
    return "__Host-terakoya-session" if config.secure else "terakoya-session"


def set_cookie(response: Response, config: Config, value: str) -> None:
    response.set_cookie(
        cookie_name(config),
        value,
        max_age=int(config.accounts.session_lifetime),
        path="/",
        secure=config.secure,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(response: Response, config: Config) -> None:
    response.delete_cookie(cookie_name(config), path="/", secure=config.secure, httponly=True, samesite="lax")


def visitor(request: HTTPConnection) -> Visitor | None:
    """Who asks, or None. A token in the `Authorization` header counts before the cookie."""
    if not hasattr(request.state, "visitor"):
        request.state.visitor = _find(request)
    found: Visitor | None = request.state.visitor
    return found


def _find(request: HTTPConnection) -> Visitor | None:
    here = hub(request)
    token = bearer(request.headers.get("authorization", ""))
    if token is not None:
        return tokens.find(here.db, token)
    found = (sessions.find(here.db, value) for value in cookie_values(request))
    return next(filter(None, found), None)


def cookie_values(request: HTTPConnection) -> list[str]:
    """What was sent as our session cookie: a page may have planted others beside the real one. As the gate does."""
    pairs = (part.strip().partition("=") for part in ";".join(request.headers.getlist("cookie")).split(";"))
    name = cookie_name(hub(request).config)
    return [value for sent, _, value in pairs if sent == name and value][:COOKIES_TRIED]


def bearer(header: str) -> str | None:
    """The token of an `Authorization` header; both words that the ecosystem's clients use are known."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() in {"token", "bearer"} else None


def signed_in(request: Request) -> Visitor:
    """Dependency of pages for whoever has signed in; others are sent to the sign-in page and back."""
    found = visitor(request)
    if found is None or found.session is None:
        raise SignInNeeded
    return found


def administrator(request: Request) -> Visitor:
    """Dependency of the administrators' pages."""
    found = signed_in(request)
    if not may(found, "list users"):
        raise AdministratorsOnly
    return found


SignedIn = Annotated[Visitor, Depends(signed_in)]
Administrator = Annotated[Visitor, Depends(administrator)]


def check_same_origin(request: HTTPConnection, method: str) -> None:
    """CrossSite if the request would change something and another site's page may have made it.

    Browsers say where a request comes from; a program that is no browser says nothing and has no cookie of ours.
    """
    headers = request.headers
    if method in SAFE or bearer(headers.get("authorization", "")) is not None:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site in {"same-origin", "none"}
    elif origin is not None:
        ours = urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    else:
        ours = not request.cookies
    if not ours:
        raise CrossSite


def address(request: HTTPConnection) -> str:
    """The address of the browser. The edge writes X-Forwarded-For anew, from what it knows itself."""
    last = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return request.client.host if request.client else ""
