"""/hub/api/users/{user}/server and /servers/{name}: looking at, starting and stopping servers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
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
    known = await run_in_threadpool(_known, hub, to.user, name)
    if known is not None and known.state == "running":
        raise ServerAlreadyRunning(user=to.user.name)
    if known is not None and known.state == "starting":
        return Response(status_code=202)
    ready = await _within(_start(hub, to.user, name, wanted.options() or None))
    return Response(status_code=201 if ready else 202)


async def _start(hub: Hub, owner: User, name: str, options: dict[str, Any] | None) -> None:
    server = await requests.request_start(hub.db, hub.runner, owner, name, options)
    if server.state != "running":
        await hub.runner.wait_ready(server.id)


def _known(hub: Hub, owner: User, name: str) -> Server | None:
    return next((server for server in rows.of_users(hub.db, [owner.id])[owner.id] if server.name == name), None)


async def _within(work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done while we waited; if not, it goes on, and its row tells what became of it."""
    task = asyncio.create_task(work)
    _going_on.add(task)
    task.add_done_callback(_over)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    for one in done:
        one.result()
    return bool(done)


_going_on: set[asyncio.Task[None]] = set()
"""The event loop itself keeps no task alive."""


def _over(task: asyncio.Task[None]) -> None:
    _going_on.discard(task)
    if not task.cancelled():
        task.exception()


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
    ending = requests.request_remove if remove else requests.request_stop
    await ending(hub.db, hub.runner, owner, server.name)
