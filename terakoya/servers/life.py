"""The life of a server: its states, who may change them into what, and the conditional UPDATEs that do.

    stopped ──► starting ──► running ──► stopping ──► stopped
    failed  ──► starting ──► stopping
                starting ──► failed
                             running ──► failed

`wish` says what should be: running or stopped. Every start has a `key` of its own, so that what is heard late about
an earlier start changes nothing. Whoever works on a start or stop holds a claim on the row, which runs out by itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.accounts.digests import fresh
from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.errors import NotAllowed
from terakoya.servers.rows import (
    ACTIVE,
    State,
    Wish,
    by_id,
    check_name,
    ensure,
    find,
    get,
    made,
    of_users,
    remove,
    unsettled,
    want,
    with_user,
)

__all__ = [
    "ACTIVE",
    "BEFORE",
    "CLAIM",
    "State",
    "Wish",
    "begin",
    "begin_stop",
    "bound",
    "by_id",
    "check_name",
    "ensure",
    "fail",
    "find",
    "free",
    "get",
    "hold",
    "live_keys",
    "move",
    "of_users",
    "ready",
    "remove",
    "stopped",
    "take_over",
    "unsettled",
    "want",
]

BEFORE: dict[State, tuple[State, ...]] = {
    "starting": ("stopped", "failed"),
    "running": ("starting",),
    "stopping": ("starting", "running"),
    "stopped": ("stopping",),
    "failed": ("starting", "running"),
}
"""For each state, the states from which it is reached. There are no others."""

CLAIM = 8.0
"""Seconds that a claim holds; whoever is at work renews it, and after a crash another takes over."""

NOTHING_RUNS: dict[str, Any] = {
    "address": "",
    "secret": "",
    "claim_until": None,
    "kernels": 0,
    "kernels_busy": 0,
    "cpu": 0.0,
    "memory": 0,
}


# -- transitions ------------------------------------------------------------------------------------------------------


def move(session: DatabaseSession, server_id: int, to: State, of: str | None = None, **values: Any) -> bool:
    """Make a transition if the row is in a state that leads to `to` (and its key is `of`); whether it was made."""
    change = update(Server).where(Server.id == server_id, Server.state.in_(BEFORE[to]))
    if of is not None:
        change = change.where(Server.key == of)
    return made(session, change.values(state=to, changed_at=time.time(), **values))


def begin(db: Database, server_id: int) -> tuple[Server, bool]:
    """Start: `starting` under a new key and secret, claimed. The row as it is now, and whether this call began it."""
    with db.session() as session:
        server = with_user(session, server_id)
        return begin_in(session, server)


def begin_in(session: DatabaseSession, server: Server) -> tuple[Server, bool]:
    """The same within a transaction."""
    # The lock makes a disabling at the same moment come wholly before or wholly after.
    user = session.get(User, server.user_id, with_for_update={"read": True}, populate_existing=True)
    if user is None or user.disabled_at is not None:
        raise NotAllowed(action="start a server while the user is disabled")
    now = time.time()
    begun = move(
        session,
        server.id,
        "starting",
        **NOTHING_RUNS
        | {
            "wish": "running",
            "key": new_key(server),
            "secret": fresh(),
            "reason": "",
            "detail": "",
            "started_at": now,
            "last_activity": now,
            "claim_until": now + CLAIM,
        },
    )
    session.refresh(server)
    return server, begun


def new_key(server: Server) -> str:
    return f"{server.user_id}-{server.id}-{secrets.token_hex(8)}"


def bound(db: Database, server_id: int, key: str, address: str) -> bool:
    """Requests may be sent to `address` from now. False if this start is not wanted any more."""
    with db.session() as session:
        change = update(Server).where(Server.id == server_id, Server.key == key, Server.state == "starting")
        return made(session, change.values(address=address, claim_until=time.time() + CLAIM))


def ready(db: Database, server_id: int, key: str, address: str) -> bool:
    with db.session() as session:
        return move(session, server_id, "running", of=key, address=address, claim_until=None)


def fail(db: Database, server_id: int, key: str, reason: str, detail: str = "") -> bool:
    """It did not start, or ended by itself; it is not started again until somebody asks for it."""
    with db.session() as session:
        return move(
            session, server_id, "failed", of=key, **NOTHING_RUNS, wish="stopped", reason=reason, detail=detail[-20_000:]
        )


def begin_stop(db: Database, server_id: int) -> tuple[Server, bool]:
    """Stop: `stopping`, claimed. The row as it is now, and whether this call began it."""
    with db.session() as session:
        server = with_user(session, server_id)
        begun = move(session, server_id, "stopping", wish="stopped", claim_until=time.time() + CLAIM)
        if not begun:
            made(session, update(Server).where(Server.id == server_id, Server.wish != "stopped").values(wish="stopped"))
        session.refresh(server)
        return server, begun


def stopped(db: Database, server_id: int, key: str) -> bool:
    with db.session() as session:
        return move(session, server_id, "stopped", of=key, **NOTHING_RUNS, reason="", detail="")


def live_keys(db: Database, keys: Collection[str]) -> set[str]:
    """Those of the keys that belong to a server that runs or is on its way."""
    if not keys:
        return set()
    query = select(Server.key).where(Server.key.in_(keys), Server.state.in_(ACTIVE))
    with db.reading() as session:
        return set(session.scalars(query))


# -- claims -----------------------------------------------------------------------------------------------------------


def take_over(db: Database, server: Server) -> bool:
    """Claim a start or stop whose worker is gone; whether it is ours now."""
    now = time.time()
    free = or_(Server.claim_until.is_(None), Server.claim_until < now)
    change = update(Server).where(Server.id == server.id, Server.key == server.key, Server.state == server.state, free)
    with db.session() as session:
        return made(session, change.values(claim_until=now + CLAIM))


def hold(db: Database, keys: Collection[str]) -> None:
    """Renew the claims of the starts and stops of these keys."""
    if not keys:
        return
    change = update(Server).where(Server.key.in_(keys), Server.state.in_(("starting", "stopping")))
    with db.session() as session:
        made(session, change.values(claim_until=time.time() + CLAIM))


def free(db: Database, server_id: int, key: str) -> None:
    """Give a claim back, for whoever comes next."""
    with db.session() as session:
        made(session, update(Server).where(Server.id == server_id, Server.key == key).values(claim_until=None))
