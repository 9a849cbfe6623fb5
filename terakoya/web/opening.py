"""From "open my server" to the address that the browser goes to."""

from __future__ import annotations

import asyncio
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool

from terakoya.accounts import codes
from terakoya.accounts.visitor import Visitor
from terakoya.config import Config
from terakoya.db.models import Server, User
from terakoya.errors import NotAllowed, ServerAlreadyRunning
from terakoya.servers import life, requests
from terakoya.web.hosts import own_path, server_path, user_host, user_origin
from terakoya.web.state import Hub

PATIENCE = 3.0
"""Seconds that a form waits for a server to get its address before the page with its progress is shown instead."""
HANDOVER_SECONDS = 60.0
_starts: set[asyncio.Task[Server]] = set()
"""Starts go on when the browser that asked for them is gone; asyncio itself would forget them."""


def first_page(config: Config, user: User, server: str = "") -> str:
    """What opens when nothing else was asked for, such as /user/alice/lab."""
    return server_path(user.name, server) + config.servers.default_url.lstrip("/")


def spawn_address(user: User, server: str, wanted: str, page: str = "spawn") -> str:
    """The hub's page that starts a server and then leads to `wanted`."""
    path = f"/hub/{page}/{quote(user.name)}" + (f"/{quote(server)}" if server else "")
    return path + (f"?{urlencode({'next': wanted})}" if wanted else "")


async def start(hub: Hub, user: User, server: str) -> bool:
    """Start a server; True once requests reach it, False if that takes longer than `PATIENCE`. StartFailed."""
    task = asyncio.create_task(requests.request_start(hub.db, hub.runner, user, server))
    _starts.add(task)
    task.add_done_callback(_forget)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    if not done:
        return False
    try:
        return bool(task.result().address)
    except ServerAlreadyRunning:
        return True


def _forget(task: asyncio.Task[Server]) -> None:
    _starts.discard(task)
    if not task.cancelled():
        task.exception()  # told to whoever waits; the row has it for those who don't


def reachable(server: Server | None) -> bool:
    return server is not None and server.state in {"starting", "running"} and bool(server.address)


async def entrance(hub: Hub, who: Visitor, owner: User, wanted: str) -> str:
    """The address that opens `wanted`, a page of the server of `owner`.

    With an origin for every user it carries a code that becomes a session of that origin.
    """
    if not hub.config.site.user_domain:
        return wanted
    host, origin = user_host(hub.config, owner.name_key), user_origin(hub.config, owner.name_key)
    if not origin or who.session is None:
        raise NotAllowed(action=f'open a server of "{owner.name}", a name that no web address can have')
    path = own_path(wanted, owner.name_key) or server_path(owner.name)
    session = who.session
    data = {"user_id": who.user.id, "session_id": session.id, "session": session.hash.hex(), "host": host}
    code = await run_in_threadpool(codes.make, hub.db, "enter", data, HANDOVER_SECONDS)
    return f"{origin}/hub/enter?{urlencode({'code': code, 'next': path})}"


def server_of(hub: Hub, user: User, wanted: str) -> str:
    """Which of the user's servers a path below /user/<name>/ belongs to; the gate has the same rule."""
    name = own_path(wanted, user.name_key).partition("?")[0].split("/")[3:4]
    servers = life.of_users(hub.db, [user.id])[user.id] if name and name[0] else []
    return name[0] if any(server.name == name[0] for server in servers) else ""
