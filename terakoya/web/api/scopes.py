"""What a caller may do: one table of scopes, and what of it a user or a token holds.

A scope is written `name`, `name!user=alice` or `name!server=alice/lab`. A token never gives more than its user has,
and a new token never more than whoever makes it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from terakoya.accounts.permissions import RIGHTS
from terakoya.accounts.users import key
from terakoya.errors import BadTokenRequest

SCOPES: dict[str, tuple[str, tuple[str, ...]]] = {
    # scope: (what it allows, scopes that come with it)
    "admin:users": ("Make, change and remove users", ("users", "delete:users")),
    "users": ("See users and report their activity", ("read:users", "list:users", "users:activity")),
    "delete:users": ("Remove users", ()),
    "list:users": ("List users", ("read:users:name",)),
    "read:users": (
        "See a user, whether administrator, since when, and the last activity",
        ("read:users:name", "read:users:groups", "read:users:activity"),
    ),
    "read:users:name": ("See a user's name", ()),
    "read:users:groups": ("See a user's groups", ()),
    "read:users:activity": ("See when a user was last active", ()),
    "users:activity": ("Report that a user is active", ("read:users:activity",)),
    "admin:servers": ("Everything about servers, but opening them", ("servers",)),
    "servers": ("See, start, stop and remove servers", ("read:servers", "start:servers", "delete:servers")),
    "read:servers": ("See servers and their state", ("read:users:name",)),
    "start:servers": ("Start servers", ()),
    "delete:servers": ("Stop and remove servers", ()),
    "access:servers": ("Open servers and use everything in them", ()),
    "tokens": ("Make and remove tokens", ("read:tokens",)),
    "read:tokens": ("List tokens, without their values", ()),
    "read:hub": ("See what the hub runs on", ()),
}

ACTIONS = {
    # scope: the row of `terakoya.accounts.permissions` that says who may do this to themselves, who to others
    "admin:users": "add user",
    "users": "change user",
    "delete:users": "remove user",
    "list:users": "list users",
    "read:users": "read user",
    "read:users:name": "read user",
    "read:users:groups": "see groups",
    "read:users:activity": "see activity",
    "users:activity": "note activity",
    "read:servers": "read server",
    "start:servers": "start server",
    "delete:servers": "stop server",
    "access:servers": "open server",
    "tokens": "remove token",
    "read:tokens": "read tokens",
    "read:hub": "read site",
}
"""A scope that is not here is held with all that comes with it."""

EVERYTHING_OWNED = {"inherit": "All that the token's user may do", "self": "All that users may do to themselves"}
"""Scopes that stand for others."""

Reach = frozenset[str] | None
"""Whom a scope covers: keys of users, and `key/server` for single servers; None is everybody."""


@dataclass(frozen=True)
class Grants:
    """For each single scope, whom it covers. A scope that is not in it is not held."""

    reaches: dict[str, Reach]

    def covers(self, scope: str, user_key: str, server: str | None = None) -> bool:
        """Whether `scope` is held for this user, or for this server of theirs."""
        if scope not in self.reaches:
            return False
        reach = self.reaches[scope]
        return reach is None or user_key in reach or (server is not None and f"{user_key}/{server}" in reach)

    def touches(self, scope: str, user_key: str) -> bool:
        """Whether `scope` is held for this user or for at least one of their servers."""
        reach = self.reaches.get(scope, frozenset())
        return reach is None or any(name.partition("/")[0] == user_key for name in reach)

    def knowing(self, user_key: str) -> Grants:
        """With the right to read this user's name."""
        return _widest([*self, ("read:users:name", frozenset({user_key}))])

    def __and__(self, other: Grants) -> Grants:
        """What both hold."""
        shared = {scope: _both(reach, other.reaches[scope]) for scope, reach in self if scope in other.reaches}
        return Grants({scope: reach for scope, reach in shared.items() if reach is None or reach})

    def __le__(self, other: Grants) -> bool:
        """Whether `other` holds all of this."""
        return (self & other).reaches == self.reaches

    def __iter__(self) -> Iterator[tuple[str, Reach]]:
        return iter(self.reaches.items())

    def written(self) -> list[str]:
        """As scopes are written."""
        return sorted(text for scope, reach in self for text in _written(scope, reach))


def _both(one: Reach, other: Reach) -> Reach:
    if one is None or other is None:
        return other if one is None else one
    inner = {name for name in one if name.partition("/")[0] in other}
    return _tidy(one & other | inner | {name for name in other if name.partition("/")[0] in one})


def _tidy(names: frozenset[str]) -> frozenset[str]:
    """Without single servers of users who are covered whole."""
    return frozenset(name for name in names if "/" not in name or name.partition("/")[0] not in names)


def _written(scope: str, reach: Reach) -> list[str]:
    if reach is None:
        return [scope]
    return [f"{scope}!{'server' if '/' in name else 'user'}={name}" for name in reach]


def _widest(grants: Iterable[tuple[str, Reach]]) -> Grants:
    reaches: dict[str, Reach] = {}
    for scope, reach in grants:
        held = reaches.get(scope, frozenset())
        reaches[scope] = None if reach is None or held is None else _tidy(held | reach)
    return Grants(reaches)


def _with_included(scope: str, reach: Reach) -> Iterator[tuple[str, Reach]]:
    if reach is not None and scope.startswith("read:users"):
        # A server has no name or activity of a user: what comes with its scopes is about its owner.
        reach = frozenset(name.partition("/")[0] for name in reach)
    yield scope, reach
    for included in SCOPES[scope][1]:
        yield from _with_included(included, reach)


def held_by(user_key: str, *, admin: bool) -> Grants:
    """All that a user may do, as the table of rights says."""
    reaches: dict[str, Reach] = {}
    for scope, action in ACTIONS.items():
        right = RIGHTS[action]
        if right.admin and admin:
            reaches[scope] = None
        elif right.own:
            reaches[scope] = frozenset({user_key})
    for scope in reversed(SCOPES):
        included = [reaches.get(one, frozenset()) for one in SCOPES[scope][1]]
        if scope not in ACTIONS and all(reach is None or reach for reach in included):
            reaches[scope] = reduce(_both, included)
    return Grants(reaches)


def asked_for(scopes: Iterable[str], user_key: str) -> Grants:
    """What `scopes` would give if their user had everything; BadTokenRequest if one is not a scope."""
    return _widest(grant for scope in scopes for grant in _one(scope, user_key))


def _one(text: str, user_key: str) -> Iterator[tuple[str, Reach]]:
    name, filtered, about = text.partition("!")
    reach = _reach(about, user_key, text) if filtered else None
    if name == "inherit" and not filtered:
        yield from ((scope, None) for scope in SCOPES)
    elif name == "self" and not filtered:
        yield from held_by(user_key, admin=False)
    elif name in SCOPES:
        yield from _with_included(name, reach)
    else:
        raise BadTokenRequest(
            reason=f'there is no scope "{text[:80]}"; there are {", ".join([*EVERYTHING_OWNED, *SCOPES])}'
        )


def _reach(about: str, user_key: str, text: str) -> Reach:
    kind, _, name = about.partition("=")
    if about == "user":
        return frozenset({user_key})
    owner, slash, server = name.partition("/")
    if kind == "user" and name and not slash:
        return frozenset({key(name)})
    if kind == "server" and owner and slash and "/" not in server:
        return frozenset({f"{key(owner)}/{server}"})
    raise BadTokenRequest(reason=f'after "!" of the scope "{text[:80]}" belongs user=NAME or server=NAME/SERVER')


def held(user_key: str, *, admin: bool, token_scopes: Iterable[str] | None) -> Grants:
    """What a signed-in user (`token_scopes` is None) or a token of theirs may do."""
    own = held_by(user_key, admin=admin)
    return own if token_scopes is None else own & asked_for(token_scopes, user_key)
