"""What pages, API and command line ask for. Whether somebody may ask is decided before, by `permissions.may`.

Without a runner (the command line) only the wish is written down, and the hub's loop fulfils it within seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from terakoya.accounts import audit, users
from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.errors import NotAllowed
from terakoya.servers import life
from terakoya.servers.runner import Runner
from terakoya.servers.spec import check_options


async def request_start(
    db: Database,
    runner: Runner | None,
    user: User,
    name: str = "",
    options: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
) -> Server:
    """Start a user's server, whose row is made if missing, and return when requests may be sent to it.

    What `Runner.start` raises, and BadServerName, BadServerOptions, TooManyServers. `limit`: how many named servers a
    user may have; None: what the runner's settings say.
    """
    if user.disabled_at is not None:
        raise NotAllowed(action="start a server while the user is disabled")
    if limit is None and runner is not None:
        limit = runner.config.servers.named
    chosen = None if options is None else check_options(options)
    server = await asyncio.to_thread(life.ensure, db, user.id, name, chosen, limit)
    if runner is None:
        await asyncio.to_thread(life.want, db, server.id, "running")
        return server
    return await runner.start(server.id)


async def request_stop(db: Database, runner: Runner | None, user: User, name: str = "") -> Server:
    """Stop a user's server and return when it has stopped; NoSuchServer."""
    server = await asyncio.to_thread(life.get, db, user.id, name)
    if runner is None:
        await asyncio.to_thread(life.want, db, server.id, "stopped")
        return server
    return await runner.stop(server.id)


async def request_remove(db: Database, runner: Runner | None, user: User, name: str) -> None:
    """Stop and forget a named server; the usual one is only stopped."""
    server = await request_stop(db, runner, user, name)
    if name:
        await asyncio.to_thread(life.remove, db, server.id)


async def request_disable(db: Database, runner: Runner | None, name: str, actor: str = "") -> User:
    """Disable a user: sessions end at once, and the loop stops the servers now."""
    user = await asyncio.to_thread(users.disable, db, name, actor)
    if runner is not None:
        runner.wake()
    return user


async def request_remove_user(db: Database, runner: Runner | None, name: str, actor: str = "") -> None:
    """Remove a user; the loop ends servers that have no row any more."""
    await asyncio.to_thread(users.remove, db, name, actor)
    if runner is not None:
        runner.wake()


async def request_visit(db: Database, visitor: User, server: Server, address: str) -> None:
    """Note that an administrator goes to somebody else's server; the owner sees it."""
    await asyncio.to_thread(_note_visit, db, visitor, server, address)


def _note_visit(db: Database, visitor: User, server: Server, address: str) -> None:
    with db.session() as session:
        audit.record(session, visitor.name, "server.visit", server.user.name, address, server=server.name)
