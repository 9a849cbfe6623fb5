"""/hub/api/users/{user}/tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from terakoya.accounts import permissions, sessions, signin, tokens
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Token, User
from terakoya.errors import BadTokenRequest, NoSuchToken, NotAllowed, NotIdentified
from terakoya.web.api.bodies import NewToken, Password, body, documented
from terakoya.web.api.caller import Caller, Target, TheHub, as_caller, fetch, maybe_caller, target
from terakoya.web.api.models import token_model
from terakoya.web.api.route import ApiRoute
from terakoya.web.api.scopes import held
from terakoya.web.state import Hub
from terakoya.web.visitor import address

routes = APIRouter(route_class=ApiRoute, tags=["tokens"])

LONGEST_ID = 18
"""Digits of the largest number that fits every database."""


@routes.get("/users/{user}/tokens")
def listed(hub: TheHub, to: Annotated[Target, Depends(target("read:tokens"))]) -> dict[str, list[dict[str, Any]]]:
    """A user's tokens, without their values."""
    return {"api_tokens": [_shown(to.user, token) for token in tokens.listed(hub.db, to.user.id)]}


@routes.post("/users/{user}/tokens", status_code=201, openapi_extra=documented(NewToken))
async def make(
    request: Request,
    hub: TheHub,
    user: str,
    known: Annotated[Caller | None, Depends(maybe_caller)],
    wanted: Annotated[NewToken, Depends(body(NewToken))],
) -> dict[str, Any]:
    """Make a token; this answer is the only one that has its value (`token`).

    Users make tokens for themselves, signed in, with a token that has the scope `tokens`, or with
    `"auth": {"username", "password"}`. A token is never good for more than whoever makes it.
    """
    who = known or await _by_password(request, hub, wanted.auth)
    return await run_in_threadpool(_make, hub, who, user, wanted)


async def _by_password(request: Request, hub: Hub, auth: Password | None) -> Caller:
    if auth is None:
        raise NotIdentified
    where, agent = address(request), request.headers.get("user-agent", "")
    cookie, user = await signin.sign_in(
        hub.db, hub.authenticator, hub.config, auth.username, auth.password, where, agent
    )
    # A program wants a token and keeps no cookies: the session that comes with every sign-in ends here.
    await run_in_threadpool(sessions.close, hub.db, cookie)
    return as_caller(Visitor(user), where)


def _make(hub: Hub, who: Caller, name: str, wanted: NewToken) -> dict[str, Any]:
    user = fetch(hub, who, name, "tokens").user
    if not permissions.may(who.user, "make token", user):
        raise NotAllowed(action="make tokens for others: they would open what is theirs")
    if wanted.roles:
        raise BadTokenRequest(reason='there are no roles; name "scopes"')
    scopes = _scopes(who, wanted.scopes)
    if not held(user.name_key, admin=user.admin, token_scopes=scopes) <= who.grants:
        raise NotAllowed(action="make a token that is good for more than the one you made it with")
    note = wanted.note or "Requested via api"
    lifetime = None if wanted.expires_in is None else _seconds(wanted.expires_in)
    value, token = tokens.make(hub.db, user.id, note, lifetime, scopes, hub.config.accounts.token_lifetime)
    return _shown(user, token) | {"token": value}


def _scopes(who: Caller, wanted: list[str] | None) -> list[str]:
    """What is asked for, or else as much as the maker has."""
    if wanted is not None and not wanted:
        raise BadTokenRequest(reason="without any scope it would be good for nothing")
    if wanted is not None:
        return wanted
    return ["inherit"] if who.token is None else list(who.token.scopes)


def _seconds(wanted: int) -> float:
    try:
        return float(wanted)
    except OverflowError:
        raise BadTokenRequest(reason="its life is longer than anything lasts") from None


@routes.get("/users/{user}/tokens/{token_id}")
def show(
    hub: TheHub, to: Annotated[Target, Depends(target("read:tokens"))], token_id: Annotated[str, Path()]
) -> dict[str, Any]:
    """One token, without its value."""
    return _shown(to.user, tokens.get(hub.db, to.user.id, _number(token_id)))


@routes.delete("/users/{user}/tokens/{token_id}", status_code=204)
def remove(hub: TheHub, to: Annotated[Target, Depends(target("tokens"))], token_id: Annotated[str, Path()]) -> Response:
    """Remove a token; it is good for nothing from the next request on."""
    tokens.remove(hub.db, to.user.id, _number(token_id))
    return Response(status_code=204)


def _number(token_id: str) -> int:
    """Ids are written a1, a2 and so on."""
    digits = token_id[1:]
    if token_id[:1] != "a" or not (digits.isascii() and digits.isdecimal()) or len(digits) > LONGEST_ID:
        raise NoSuchToken
    return int(digits)


def _shown(user: User, token: Token) -> dict[str, Any]:
    return token_model(user, token, held(user.name_key, admin=user.admin, token_scopes=token.scopes))
