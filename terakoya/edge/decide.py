"""May this request pass, and where to? A function of values: no database, no clock, no socket.

`Policy` is fixed for the life of the gate, `Request` what the edge said of the request, `Visitor` who sent it (None:
nobody known), `Owner` whose server the path names (None: nobody).
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple
from urllib.parse import quote, unquote

from terakoya.origins import key, label

LONGEST_NAME = 64

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Policy(NamedTuple):
    """What is the same for all requests."""

    hub_url: str
    """Address of the hub without a slash at the end."""
    user_domain: str = ""
    """`notebooks.example.org` when every user has an origin of their own, else empty."""
    secure: bool = False

    @property
    def cookie(self) -> str:
        return "__Host-terakoya-session" if self.secure else "terakoya-session"


class Request(NamedTuple):
    """What the decision depends on. Missing headers are empty."""

    method: str
    path: str
    """As received, with the query."""
    host: str = ""
    """The Host header, in small letters."""
    accept: str = ""
    origin: str = ""
    site: str = ""
    """Sec-Fetch-Site"""
    mode: str = ""
    """Sec-Fetch-Mode"""
    websocket: bool = False
    token_sent: bool = False

    @property
    def page(self) -> bool:
        """Whether a person looks at the answer."""
        if self.websocket or self.method not in {"GET", "HEAD"}:
            return False
        return self.mode == "navigate" if self.mode else "text/html" in self.accept


class Visitor(NamedTuple):
    """Somebody who proved who they are."""

    user_id: int
    name: str
    admin: bool
    disabled: bool
    expires_at: float | None
    kind: str
    """`session` or `token`"""
    row: int
    """The id of the session or token."""
    host: str = ""
    """Of a session: the origin it is good for; empty means the hub's."""
    scopes: tuple[str, ...] = ()


class Server(NamedTuple):
    """A row of `servers`."""

    row: int
    state: str
    address: str
    secret: str


class Owner(NamedTuple):
    """Whose server the path names."""

    user_id: int
    name: str
    key: str
    disabled: bool
    servers: dict[str, Server]


class Pass(NamedTuple):
    """Let it through to `server`."""

    server: Server
    visitor: Visitor


class Redirect(NamedTuple):
    """Send the browser elsewhere."""

    location: str


class Refuse(NamedTuple):
    """Say no. `code` names one of the texts in `refusals`."""

    status: int
    code: str


Decision = Pass | Redirect | Refuse


class Place(NamedTuple):
    """A path under /user/, taken apart."""

    segment: str
    """The name as it stands in the path."""
    key: str
    """The name as the database compares it."""
    rest: str
    """What follows the name, with its slash, without the query."""
    query: str
    """With its question mark."""


def place(path: str) -> Place | None:
    """None if the path is not under /user/, or names nobody that could exist."""
    if not path.startswith("/user/"):
        return None
    plain, mark, query = path.partition("?")
    segment, slash, rest = plain[6:].partition("/")
    key = key_of(segment)
    if not key or "/" in key or "\0" in key or len(key) > LONGEST_NAME:
        return None
    return Place(segment, key, slash + rest, mark + query)


def key_of(segment: str) -> str:
    """The name in a path segment as the database compares names."""
    if segment.isascii() and segment.isalnum() and segment.islower():
        return segment
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", unquote(segment)).casefold())


def decide(policy: Policy, request: Request, visitor: Visitor | None, owner: Owner | None, now: float) -> Decision:
    """The one place that says who may reach which server."""
    known = visitor if visitor and is_known(policy, request, visitor, now) else None
    where = place(request.path)
    if where is None:
        return _elsewhere(policy, request)
    astray = _wrong_origin(policy, request, known, where)
    if astray:
        return astray
    if known is None:
        return _unknown(policy, request)
    if known.kind == "session" and _is_forged(request):
        return Refuse(403, "cross_site")
    if owner is None or not _may_reach(policy, request, known, owner):
        return Refuse(404, "not_yours")
    return _to_server(policy, request, known, owner, where)


def _to_server(policy: Policy, request: Request, visitor: Visitor, owner: Owner, where: Place) -> Decision:
    name, server = _server(owner, where.rest)
    if visitor.kind == "token" and not _in_scope(visitor, owner, name):
        return Refuse(403, "out_of_scope")
    misspelled = _misspelled(request, owner, where, name)
    if misspelled:
        return misspelled
    if server and server.address and server.state in {"starting", "running"}:
        return Pass(server, visitor)
    if not request.page:
        return Refuse(503, "not_running")
    which = f"{quote(owner.name)}/{quote(name)}" if name else quote(owner.name)
    return Redirect(f"{policy.hub_url}/hub/spawn/{which}?next={_next(request)}")


def is_valid(visitor: Visitor, now: float) -> bool:
    return not visitor.disabled and (visitor.expires_at is None or now < visitor.expires_at)


def is_known(policy: Policy, request: Request, visitor: Visitor, now: float) -> bool:
    """Whether this proof counts here and now: a session is good for one origin only."""
    return is_valid(visitor, now) and (visitor.kind == "token" or visitor.host == origin_of(policy, request))


def _bare(host: str) -> str:
    """A host without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def origin_of(policy: Policy, request: Request) -> str:
    """The user's origin that the request was sent to, or empty for the hub's."""
    if not policy.user_domain:
        return ""
    host = _bare(request.host)
    return host if host.endswith("." + policy.user_domain) else ""


def _own_host(policy: Policy, name: str) -> str:
    """The host of a user's own origin; empty for a name that can't stand in one."""
    return f"{label(name)}.{policy.user_domain}" if label(name) else ""


def _elsewhere(policy: Policy, request: Request) -> Decision:
    """A path that is no server's. On a user's own origin its root leads to the server."""
    origin = origin_of(policy, request)
    plain, mark, query = request.path.partition("?")
    if origin and plain == "/" and request.page:
        name = key(origin.removesuffix("." + policy.user_domain))
        return Redirect(f"/user/{quote(name)}/{mark}{query}")
    return Refuse(404, "no_such_page")


def _wrong_origin(policy: Policy, request: Request, visitor: Visitor | None, where: Place) -> Decision | None:
    """With an origin for each user, cookies count only where they belong; tokens count everywhere."""
    if not policy.user_domain or (visitor and visitor.kind == "token"):
        return None
    origin = origin_of(policy, request)
    own = _own_host(policy, where.key)
    if own and origin == own:
        return None
    if origin or not own:
        return Refuse(404, "not_yours")
    if not request.page:
        return None if visitor is None else Refuse(403, "wrong_origin")
    scheme, _, hub = policy.hub_url.partition("://")
    port = hub[len(_bare(hub)) :]
    return Redirect(f"{scheme}://{own}{port}{request.path}")


def _unknown(policy: Policy, request: Request) -> Decision:
    if not request.page:
        return Refuse(403, "bad_token" if request.token_sent else "signed_out")
    origin = origin_of(policy, request)
    if origin:
        return Redirect(f"{policy.hub_url}/hub/enter-origin?host={quote(origin)}&next={_next(request)}")
    return Redirect(f"{policy.hub_url}/hub/login?next={_next(request)}")


def _next(request: Request) -> str:
    return quote(request.path.encode("latin-1"), safe="")


def _is_forged(request: Request) -> bool:
    """Whether another site may have made the browser send this. Opening a page from elsewhere is fine."""
    changes = request.websocket or request.method not in SAFE_METHODS
    if request.site:
        if request.site in {"same-origin", "none"}:
            return False
        return changes or request.mode != "navigate"
    if request.origin:
        return not _same_host(request.origin, request.host)
    return changes


def _same_host(origin: str, host: str) -> bool:
    scheme, _, there = origin.lower().partition("://")
    usual = {"http": ":80", "https": ":443"}.get(scheme)
    return usual is not None and there.removesuffix(usual) == host.removesuffix(usual)


def _may_reach(policy: Policy, request: Request, visitor: Visitor, owner: Owner) -> bool:
    """Everybody their own; administrators others' by a session made for a visit to that very origin."""
    if owner.disabled:
        return False
    if visitor.user_id == owner.user_id:
        return True
    here = origin_of(policy, request)
    return bool(visitor.kind == "session" and visitor.admin and here and here == _own_host(policy, owner.key))


def _server(owner: Owner, rest: str) -> tuple[str, Server | None]:
    """`/user/alice/x/...` is the server x if alice has one, else a path of her usual server."""
    name = rest[1:].partition("/")[0]
    if name and name in owner.servers:
        return name, owner.servers[name]
    return "", owner.servers.get("")


def _in_scope(visitor: Visitor, owner: Owner, name: str) -> bool:
    """Scopes narrow what a user may, they never widen it."""
    wide = {"inherit", "self", "access:servers", "access:servers!user", f"access:servers!user={owner.name}"}
    return not wide.isdisjoint(visitor.scopes) or f"access:servers!server={owner.name}/{name}" in visitor.scopes


def _misspelled(request: Request, owner: Owner, where: Place, name: str) -> Decision | None:
    """The server knows itself under one spelling only."""
    rest = where.rest
    if not rest or (name and rest == f"/{name}"):
        rest += "/"
    if rest == where.rest and where.segment == owner.name:
        return None
    if request.page:
        return Redirect(f"/user/{quote(owner.name)}{rest}{where.query}")
    return Refuse(404, "misspelled")
