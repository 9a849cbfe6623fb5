"""The rows of servers: making, reading, wishing, forgetting. What changes their state is in `terakoya.servers.life`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DatabaseSession
from sqlalchemy.orm import joinedload

from terakoya.accounts import users
from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.errors import BadServerName, NoSuchServer, NotAllowed, ServerBusy, TooManyServers

State = Literal["stopped", "starting", "running", "stopping", "failed"]
Wish = Literal["running", "stopped"]

ACTIVE: tuple[State, ...] = ("starting", "running", "stopping")


def made(session: DatabaseSession, change: Any) -> bool:
    """Execute a conditional UPDATE or DELETE; whether it found its row."""
    done = session.execute(change.execution_options(synchronize_session=False))
    return bool(done.rowcount)  # type: ignore[attr-defined]


# fmt: off
RESERVED = frozenset({
    "api", "config", "consoles", "custom", "doc", "edit", "files", "hub", "kernelspecs", "lab", "labextensions",
    "login", "logout", "lsp", "metrics", "nbconvert", "nbextensions", "notebooks", "proxy", "schemas", "static",
    "terakoya", "terminals", "tree", "user", "view", "voila",
})
# fmt: on
"""First parts of paths of a Jupyter server: a named server of that name would hide them in the usual one."""


def check_name(name: str) -> None:
    """BadServerName unless it is "" (the usual server) or a name that can stand in an address."""
    if name and (not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}", name) or name.lower() in RESERVED):
        raise BadServerName(name=name[:64].encode("unicode_escape").decode())


def ensure(
    db: Database, user_id: int, name: str = "", options: dict[str, Any] | None = None, limit: int | None = None
) -> Server:
    """The row of this server, made if missing. `limit`: how many named ones a user may have (TooManyServers)."""
    check_name(name)
    with db.reading() as session:
        found = _by_name(session, user_id, name)
    if found is not None and options in (None, found.options):
        return found
    try:
        return _insert_or_set(db, user_id, name, options, limit)
    except IntegrityError:  # somebody else made it at this moment
        return _insert_or_set(db, user_id, name, options, limit)


def _insert_or_set(db: Database, user_id: int, name: str, options: dict[str, Any] | None, limit: int | None) -> Server:
    with db.session() as session:
        server = _by_name(session, user_id, name)
        if server is None:
            _keep_within(session, user_id, name, limit)
            session.add(Server(user_id=user_id, name=name, options=options or {}))
            session.flush()
            server = _by_name(session, user_id, name)
        elif options is not None:
            server.options = options
    if server is None:
        raise NoSuchServer(user=user_id, server=name)
    return server


def _keep_within(session: DatabaseSession, user_id: int, name: str, limit: int | None) -> None:
    if not name or limit is None:
        return
    user = session.get(User, user_id, with_for_update=True)
    count = select(func.count()).select_from(Server).where(Server.user_id == user_id, Server.name != "")
    if (session.scalar(count) or 0) >= limit:
        raise TooManyServers(user=user.name if user else user_id, limit=limit)


def _by_name(session: DatabaseSession, user_id: int, name: str) -> Server | None:
    query = select(Server).where(Server.user_id == user_id, Server.name == name)
    return session.scalar(query.options(joinedload(Server.user)))


def with_user(session: DatabaseSession, server_id: int) -> Server:
    server = session.get(Server, server_id, options=[joinedload(Server.user)])
    if server is None:
        raise NoSuchServer(user="nobody", server=server_id)
    return server


def by_id(db: Database, server_id: int) -> Server:
    """The row with its user loaded; NoSuchServer."""
    with db.reading() as session:
        return with_user(session, server_id)


def get(db: Database, user_id: int, name: str = "") -> Server:
    """The row with its user loaded; NoSuchServer."""
    with db.reading() as session:
        server = _by_name(session, user_id, name)
    if server is None:
        raise NoSuchServer(user=users.by_id(db, user_id).name, server=name)
    return server


def of_users(db: Database, user_ids: Sequence[int]) -> dict[int, list[Server]]:
    """The servers of a page of users, the usual one first. One query."""
    query = select(Server).where(Server.user_id.in_(user_ids)).order_by(Server.user_id, Server.name)
    found: dict[int, list[Server]] = {user_id: [] for user_id in user_ids}
    with db.reading() as session:
        for server in session.scalars(query):
            found[server.user_id].append(server)
    return found


def find(
    db: Database,
    *,
    user_id: int | None = None,
    states: Sequence[str] = (),
    offset: int = 0,
    limit: int = 100,
) -> tuple[list[Server], int]:
    """Servers with their users loaded, by user and name, and how many there are in all."""
    conditions = [Server.user_id == user_id] if user_id is not None else []
    if states:
        conditions.append(Server.state.in_(states))
    query = select(Server).join(User).where(*conditions).options(joinedload(Server.user))
    query = query.order_by(User.name_key, Server.name).offset(offset).limit(limit)
    with db.reading() as session:
        total = session.scalar(select(func.count()).select_from(Server).where(*conditions)) or 0
        return list(session.scalars(query)), total


def want(db: Database, server_id: int, wish: Wish) -> None:
    """Write down a wish; the hub's loop fulfils it within seconds."""
    with db.session() as session:
        server = with_user(session, server_id)
        if wish == "running" and server.user.disabled_at is not None:
            raise NotAllowed(action="start a server while the user is disabled")
        server.wish = wish


def remove(db: Database, server_id: int) -> None:
    """Forget a server that does not run; ServerBusy if it does."""
    with db.session() as session:
        server = with_user(session, server_id)
        idle = delete(Server).where(Server.id == server_id, Server.state.in_(("stopped", "failed")))
        if not made(session, idle):
            raise ServerBusy(user=server.user.name)


def unsettled(db: Database) -> list[Server]:
    """Every server that runs, is on its way, or should run, with its user loaded: what the loop looks at."""
    with db.reading() as session:
        return list(session.scalars(unsettled_query().options(joinedload(Server.user))))


def unsettled_query() -> Select[Server]:
    """The query for it: both halves have an index, and the many that rest are not read."""
    return select(Server).where(or_(Server.state.in_(ACTIVE), Server.wish == "running"))
