"""A user's own page: their servers as they are at this moment."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import audit
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Server
from terakoya.servers import life, requests
from terakoya.web import opening
from terakoya.web.render import page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import SignedIn

router = APIRouter()

VISITS_SHOWN = 5


def _servers(request: Request, who: Visitor) -> list[Server]:
    """The usual server first, also when it was never started."""
    found = life.of_users(hub(request).db, [who.user.id])[who.user.id]
    usual = [server for server in found if not server.name]
    return (usual or [Server(name="", state="stopped", reason="", kernels=0, kernels_busy=0, cpu=0.0, memory=0)]) + [
        server for server in found if server.name
    ]


@router.get("/hub/home")
def show(request: Request, who: SignedIn) -> Response:
    here = hub(request)
    visits = audit.search(here.db, action="server.visit", target=who.user.name, limit=VISITS_SHOWN)
    servers = _servers(request, who)
    room = here.config.servers.named - len(servers) + 1
    return page(request, "home.html", servers=servers, visits=visits, room=room)


@router.get("/hub/home/servers")
def servers(request: Request, who: SignedIn) -> Response:
    """The part of the page that is asked for again and again."""
    return page(request, "home_servers.html", servers=_servers(request, who))


@router.post("/hub/home/open")
def open_named(who: SignedIn, server: Annotated[str, Form()] = "") -> Response:
    """The form for a named server: made, started and opened."""
    life.check_name(server)
    return redirect(f"/hub/spawn/{quote(who.user.name)}/{quote(server)}" if server else "/hub/spawn", 303)


@router.get("/hub/open")
@router.get("/hub/open/{server}")
async def open_server(request: Request, who: SignedIn, server: str = "") -> Response:
    """To the server if it runs, else to the page that starts it."""
    here = hub(request)
    found = (await run_in_threadpool(life.of_users, here.db, [who.user.id]))[who.user.id]
    wanted = opening.first_page(here.config, who.user, server)
    if opening.reachable(next((row for row in found if row.name == server), None)):
        return redirect(await opening.entrance(here, who, who.user, wanted))
    return redirect(opening.spawn_address(who.user, server, ""))


@router.post("/hub/home/stop")
async def stop(request: Request, who: SignedIn, server: Annotated[str, Form()] = "") -> Response:
    here = hub(request)
    await requests.request_stop(here.db, here.runner, who.user, server)
    return redirect("/hub/home")


@router.post("/hub/home/remove")
def remove(request: Request, who: SignedIn, server: Annotated[str, Form()] = "") -> Response:
    """Forget a named server that does not run."""
    here = hub(request)
    life.remove(here.db, life.get(here.db, who.user.id, server).id)
    return redirect("/hub/home")
