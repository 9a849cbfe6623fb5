"""/hub/api/users/{user}/server and /servers/{name}: looking at, starting and stopping servers."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.db.models import Server, User
from terakoya.errors import BadApiRequest, ServerAlreadyRunning
from terakoya.servers import requests, rows
from terakoya.web.api.bodies import StartOptions, StopOptions, body, documented
from terakoya.web.api.caller import AnyCaller, TheHub, Where, fetch
from terakoya.web.api.models import server_model
from terakoya.web.api.route import ApiRoute
from terakoya.web.state import Hub

routes = APIRouter(route_class=ApiRoute, tags=["servers"])

PATIENCE = 10.0
"""Seconds to wait for a start or a stop before the answer is 202, "on its way"."""

Options = Annotated[StartOptions, Depends(body(StartOptions))]
Stop = Annotated[StopOptions, Depends(body(StopOptions))]


@routes.get("/users/{user}/server")
@routes.get("/users/{user}/servers/", include_in_schema=False)
@routes.get("/users/{user}/servers/{name}")
def show(hub: TheHub, who: AnyCaller, where: Where, user: str, name: str = "") -> dict[str, Any]:
    """One server. Takes the scope `read:servers`."""
    owner = fetch(hub, who, user, "read:servers", server=name).user
    return server_model(owner, rows.get(hub.db, owner.id, name), where)


@routes.post("/users/{user}/server", status_code=201, openapi_extra=documented(StartOptions))
@routes.post("/users/{user}/servers/", status_code=201, include_in_schema=False)
@routes.post("/users/{user}/servers/{name}", status_code=201, openapi_extra=documented(StartOptions))
async def start(hub: TheHub, who: AnyCaller, wanted: Options, user: str, name: str = "") -> Response:
    """Start a server: 201 once it is ready, 202 if it is still on its way, 400 if it runs already."""
    to = await run_in_threadpool(fetch, hub, who, user, "start:servers", server=name)
    server = await _begin(hub, to.user, name, wanted.options())
    if server.state == "running":
        return Response(status_code=201)
    ready = await _within(hub.runner.wait_ready(server.id))
    return Response(status_code=201 if ready else 202)


async def _begin(hub: Hub, owner: User, name: str, options: dict[str, Any]) -> Server:
    known = await run_in_threadpool(_known, hub, owner, name)
    if known is not None and known.state == "running":
        raise ServerAlreadyRunning(user=owner.name)
    return await requests.request_start(hub.db, hub.runner, owner, name, options or None)


def _known(hub: Hub, owner: User, name: str) -> Server | None:
    return next((server for server in rows.of_users(hub.db, [owner.id])[owner.id] if server.name == name), None)


async def _within(work: Any) -> bool:
    """Whether `work` was done while we waited; if not, it goes on."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    for one in done:
        one.result()
    return bool(done)


@routes.delete("/users/{user}/server", status_code=204, openapi_extra=documented(StopOptions))
@routes.delete("/users/{user}/servers/", status_code=204, include_in_schema=False)
@routes.delete("/users/{user}/servers/{name}", status_code=204, openapi_extra=documented(StopOptions))
async def stop(hub: TheHub, who: AnyCaller, wanted: Stop, user: str, name: str = "") -> Response:
    """Stop a server: 204 once it has stopped or if it did not run, 202 if it is still on its way.

    With `"remove": true` a named server is forgotten too.
    """
    to = await run_in_threadpool(fetch, hub, who, user, "delete:servers", server=name)
    if wanted.remove and not name:
        raise BadApiRequest(reason="only named servers can be removed")
    server = await run_in_threadpool(_known, hub, to.user, name)
    if server is None:
        if name:
            await run_in_threadpool(rows.get, hub.db, to.user.id, name)
        return Response(status_code=204)
    stopped = await _within(_stop(hub, to.user, server, remove=wanted.remove))
    return Response(status_code=204 if stopped else 202)


async def _stop(hub: Hub, owner: User, server: Server, *, remove: bool) -> None:
    await requests.request_stop(hub.db, hub.runner, owner, server.name)
    if remove:
        await run_in_threadpool(rows.remove, hub.db, server.id)
