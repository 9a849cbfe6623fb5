"""Who may do what, in one table.

A user may do what the table says for themselves, an administrator also what it says for others. A token does at most
what its user may, narrowed by its scopes; the names of scopes are the ecosystem's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Server, Token, User


class Right(NamedTuple):
    """One row: may users do it to what is theirs, administrators to what is others', and which scopes contain it."""

    own: bool
    admin: bool
    scopes: frozenset[str] = frozenset()


def _row(own: bool, admin: bool, *scopes: str) -> Right:
    return Right(own, admin, frozenset(scopes))


#                            own  admin  scopes of a token, beside "inherit" (all) and "self" (all that is one's own)
RIGHTS: dict[str, Right] = {
    "read user": _row(True, True, "read:users", "read:users:name", "list:users", "users", "admin:users"),
    "list users": _row(False, True, "read:users", "list:users", "users", "admin:users"),
    "add user": _row(False, True, "admin:users"),
    "change user": _row(False, True, "users", "admin:users"),
    "disable user": _row(False, True, "admin:users"),
    "remove user": _row(False, True, "delete:users", "admin:users"),
    "make administrator": _row(False, True, "admin:users"),
    "make sign-in link": _row(False, True, "admin:users"),
    "set preferences": _row(True, False),
    "see groups": _row(True, True, "read:users:groups", "read:users", "users", "admin:users"),
    "see activity": _row(True, True, "read:users:activity", "users:activity", "read:users", "users", "admin:users"),
    "note activity": _row(True, True, "users:activity", "users", "admin:users"),
    "read server": _row(True, True, "read:servers", "servers", "admin:servers", "users", "admin:users"),
    "start server": _row(True, True, "start:servers", "servers", "admin:servers"),
    "stop server": _row(True, True, "servers", "delete:servers", "admin:servers"),
    "remove server": _row(True, True, "delete:servers", "admin:servers"),
    "read log": _row(True, True, "admin:servers"),
    "open server": _row(True, False, "access:servers"),
    "visit server": _row(False, True),
    "read tokens": _row(True, True, "read:tokens", "tokens"),
    "make token": _row(True, False, "tokens"),
    "remove token": _row(True, True, "tokens"),
    "read sessions": _row(True, True),
    "end sessions": _row(True, True, "admin:users"),
    "read audit": _row(False, True),
    "change settings": _row(False, True),
    "read site": _row(False, True, "read:hub"),
}

SCOPES = {"inherit", "self"}.union(*(right.scopes for right in RIGHTS.values()))


def may(who: User | Visitor, action: str, thing: User | Server | Token | None = None) -> bool:
    """Whether `who` may do `action` to `thing`: a user, or what belongs to one. An unknown action is a bug."""
    right = RIGHTS[action]
    user = who.user if isinstance(who, Visitor) else who
    if user.disabled_at is not None:
        return False
    own = thing is not None and _owner(thing) == user.id
    if not (right.own if own else right.admin and user.admin):
        return False
    token = who.token if isinstance(who, Visitor) else None
    return token is None or any(_grants(scope, right, user, thing, own=own) for scope in token.scopes)


def _owner(thing: User | Server | Token) -> int:
    return thing.id if isinstance(thing, User) else thing.user_id


def is_scope(scope: str) -> bool:
    """Whether a token can be made with it: a known name, perhaps with !user, !user=NAME or !server=NAME/SERVER."""
    name, _, limit = scope.partition("!")
    return name in SCOPES and (
        "!" not in scope or bool(re.fullmatch(r"user|user=[\w.-]+|server=[\w.-]+/[\w.-]*", limit))
    )


def _grants(scope: str, right: Right, user: User, thing: User | Server | Token | None, *, own: bool) -> bool:
    name, _, limit = scope.partition("!")
    if name == "inherit":
        return True
    if name == "self":
        return own
    return name in right.scopes and _within(limit, user, thing, own=own)


def _within(limit: str, user: User, thing: User | Server | Token | None, *, own: bool) -> bool:
    """Whether a limit such as "user=alice" or "server=alice/" contains the thing."""
    if not limit:
        return True
    kind, _, wanted = limit.partition("=")
    if not own:
        # The names of others are compared only where they were read with the thing.
        return kind == "user" and isinstance(thing, User) and wanted == thing.name
    owner, _, server = wanted.partition("/")
    if kind == "server":
        return owner == user.name and isinstance(thing, Server) and server == thing.name
    return wanted in {"", user.name}
