"""The page that starts a server and leads to it, and the redirect from `/hub/user-redirect/` to one's own."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import users
from terakoya.accounts.permissions import may
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Server, User
from terakoya.errors import NoSuchUser, StartFailed
from terakoya.servers import life
from terakoya.web import opening
from terakoya.web.hosts import own_path, safe_next, server_path
from terakoya.web.render import move, page, redirect
from terakoya.web.state import Hub, hub
from terakoya.web.visitor import SignedIn

router = APIRouter()


@router.get("/hub/user-redirect/{path:path}")
@router.get("/hub/user-redirect")
async def to_own_server(request: Request, who: SignedIn, path: str = "") -> Response:
    """`/hub/user-redirect/lab/tree/x.ipynb` is everybody's own x.ipynb."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = server_path(who.user.name) + quote(path) + query
    return redirect(await opening.entrance(hub(request), who, who.user, wanted), 302)


def _owner(hub_: Hub, who: Visitor, name: str) -> User:
    """The user whose server it is, if the visitor may start it; a stranger learns nothing."""
    owner = users.get(hub_.db, name) if name else who.user
    if not may(who, "start server", owner):
        raise NoSuchUser(name=name)
    return owner


def _find(hub_: Hub, who: Visitor, name: str, server: str) -> tuple[User, Server | None]:
    owner = _owner(hub_, who, name)
    life.check_name(server)
    rows = life.of_users(hub_.db, [owner.id])[owner.id]
    return owner, next((row for row in rows if row.name == server), None)


def _wanted(hub_: Hub, owner: User, server: str, wanted: str) -> str:
    """The page to open in the end: one of that very server, or its first."""
    checked = own_path(safe_next(hub_.config, wanted, owner.name_key), owner.name_key)
    return checked or opening.first_page(hub_.config, owner, server)


async def _enter(request: Request, who: Visitor, owner: User, wanted: str) -> str:
    """Into the server; whoever starts another's server goes back to the list."""
    return await opening.entrance(hub(request), who, owner, wanted) if owner.id == who.user.id else "/hub/admin"


@router.get("/hub/spawn")
@router.get("/hub/spawn/{name}")
@router.get("/hub/spawn/{name}/{server}")
async def show(request: Request, who: SignedIn, name: str = "", server: str = "", next: str = "") -> Response:  # noqa: A002
    here = hub(request)
    owner, row = await run_in_threadpool(_find, here, who, name, server)
    wanted = _wanted(here, owner, server, next)
    if opening.reachable(row):
        return redirect(await _enter(request, who, owner, wanted), 302)
    if row is not None and row.state == "starting":
        return redirect(opening.spawn_address(owner, server, wanted, "spawn-pending"), 302)
    automatic = owner.id == who.user.id and (row is None or row.state == "stopped")
    action = opening.spawn_address(owner, server, wanted)
    return page(request, "spawn.html", owner=owner, server=server, row=row, action=action, automatic=automatic)


@router.post("/hub/spawn")
@router.post("/hub/spawn/{name}")
@router.post("/hub/spawn/{name}/{server}")
async def start(
    request: Request,
    who: SignedIn,
    name: str = "",
    server: str = "",
    next: str = "",  # noqa: A002
    next_field: Annotated[str, Form(alias="next")] = "",
) -> Response:
    here = hub(request)
    owner, _ = await run_in_threadpool(_find, here, who, name, server)
    wanted = _wanted(here, owner, server, next_field or next)
    try:
        there = await opening.start(here, owner, server)
    except StartFailed:
        return redirect(opening.spawn_address(owner, server, wanted))  # the row has the reason
    if there:
        return redirect(await _enter(request, who, owner, wanted))
    return redirect(opening.spawn_address(owner, server, wanted, "spawn-pending"))


@router.get("/hub/spawn-pending/{name}")
@router.get("/hub/spawn-pending/{name}/{server}")
async def pending(request: Request, who: SignedIn, name: str, server: str = "", next: str = "") -> Response:  # noqa: A002
    """The progress; asks again by itself and goes on when the server is there."""
    here = hub(request)
    owner, row = await run_in_threadpool(_find, here, who, name, server)
    wanted = _wanted(here, owner, server, next)
    if opening.reachable(row):
        return move(request, await _enter(request, who, owner, wanted))
    if row is None or row.state in {"stopped", "failed"}:
        return move(request, opening.spawn_address(owner, server, wanted))
    part = request.headers.get("hx-request") == "true"
    again = opening.spawn_address(owner, server, wanted, "spawn-pending")
    seconds = max(0, round(time.time() - row.changed_at))
    place = here.runner.place(row.id)
    template = "spawn_progress.html" if part else "spawn_pending.html"
    return page(request, template, owner=owner, row=row, again=again, seconds=seconds, place=place)
