"""Who asks, and whether they may: fetching and authorising are one call.

Whoever may not even know that a user exists gets the 404 of one who does not; whoever may see but not do, a 403.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import Request

from terakoya.accounts import users
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Token, User
from terakoya.errors import NoSuchUser, NotAllowed, NotIdentified
from terakoya.web.api.models import Addresses
from terakoya.web.api.scopes import SCOPES, Grants, held
from terakoya.web.state import Hub
from terakoya.web.state import hub as hub_of
from terakoya.web.visitor import address, visitor


@dataclass(frozen=True)
class Caller:
    """Somebody known, and what they hold."""

    user: User
    grants: Grants
    token: Token | None
    address: str = ""

    def demand(self, *scopes: str) -> None:
        """NotAllowed unless one of `scopes` is held for somebody at least."""
        if not any(scope in self.grants.reaches for scope in scopes):
            raise refusal(*scopes)

    def demand_for(self, name: str, *scopes: str) -> None:
        """NotAllowed unless one of `scopes` is held for the user `name`, who need not exist yet."""
        if not any(self.grants.covers(scope, users.key(name)) for scope in scopes):
            raise refusal(*scopes)


@dataclass(frozen=True)
class Target:
    """The user that a request is about, whom its caller may treat so."""

    caller: Caller
    user: User


def refusal(*scopes: str) -> NotAllowed:
    """In the words of the table of scopes."""
    about = SCOPES[scopes[0]][0]
    return NotAllowed(action=f"{about[0].lower()}{about[1:]} here; that takes the scope {' or '.join(scopes)}")


TheHub = Annotated[Hub, Depends(hub_of)]


def addresses(hub: TheHub) -> Addresses:
    """Where servers are, for the answers."""
    return Addresses(hub.config)


def as_caller(who: Visitor, client: str = "") -> Caller:
    """A visitor with what they hold."""
    token_scopes = None if who.token is None else who.token.scopes
    grants = held(who.user.name_key, admin=who.user.admin, token_scopes=token_scopes)
    return Caller(who.user, grants, who.token, client)


def maybe_caller(request: Request, who: Annotated[Visitor | None, Depends(visitor)]) -> Caller | None:
    """A dependency: who asks, or None."""
    return None if who is None else as_caller(who, address(request))


def caller(known: Annotated[Caller | None, Depends(maybe_caller)]) -> Caller:
    """A dependency: who asks; NotIdentified if nobody known."""
    if known is None:
        raise NotIdentified
    return known


def fetch(hub: Hub, who: Caller, name: str, *scopes: str, server: str | None = None) -> Target:
    """The user `name`, if one of `scopes` is held for them (or for their server, where one is named)."""
    found = users.get(hub.db, name)
    if any(who.grants.covers(scope, found.name_key, server) for scope in scopes):
        return Target(who, found)
    if who.user.id == found.id or who.grants.touches("read:users:name", found.name_key):
        raise refusal(*scopes)
    raise NoSuchUser(name=name)


def target(*scopes: str) -> Callable[..., Target]:
    """A dependency: the user named in the path, if one of `scopes` is held for them."""

    def fetched(
        hub: TheHub,
        who: Annotated[Caller, Depends(caller)],
        user: Annotated[str, Path(description="a user's name")],
    ) -> Target:
        return fetch(hub, who, user, *scopes)

    return fetched


AnyCaller = Annotated[Caller, Depends(caller)]
Where = Annotated[Addresses, Depends(addresses)]
