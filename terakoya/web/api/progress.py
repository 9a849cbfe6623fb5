""".../progress: how a start comes along, as server-sent events that end with `ready` or `failed`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from terakoya.db.models import Server, User
from terakoya.errors import BadApiRequest, TerakoyaError
from terakoya.servers import rows
from terakoya.web.api.caller import AnyCaller, TheHub, Where, fetch
from terakoya.web.api.models import Addresses
from terakoya.web.api.route import ApiRoute
from terakoya.web.state import Hub

routes = APIRouter(route_class=ApiRoute, tags=["servers"])

KEEPALIVE = 8.0
"""Seconds without an event after which an empty line goes out, so that no proxy in between hangs up."""


@routes.get("/users/{user}/server/progress", response_class=StreamingResponse)
@routes.get("/users/{user}/servers//progress", include_in_schema=False)
@routes.get("/users/{user}/servers/{name}/progress", response_class=StreamingResponse)
async def progress(hub: TheHub, who: AnyCaller, where: Where, user: str, name: str = "") -> StreamingResponse:
    """How a start comes along (`text/event-stream`). Takes the scope `read:servers`.

    Each event is `data: {"progress", "message"}`; the last has `"ready": true` with `url`, or `"failed": true`.
    """
    to = await run_in_threadpool(fetch, hub, who, user, "read:servers", server=name)
    server = await run_in_threadpool(rows.get, hub.db, to.user.id, name)
    if server.state in {"stopped", "stopping"}:
        raise BadApiRequest(reason="this server is not starting")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    lines = written(events(hub, to.user, server, where))
    return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


async def events(hub: Hub, owner: User, server: Server, where: Addresses) -> AsyncIterator[dict[str, Any]]:
    """What happens until the start has ended one way or the other."""
    if server.state == "starting":
        try:
            async for event in hub.runner.progress(server.id):
                if not ({"ready", "failed"} & event.keys()):
                    yield {"progress": event.get("progress", 0), "message": event.get("message", "")}
        except TerakoyaError:
            pass  # what became of it stands in the database
        server = await run_in_threadpool(rows.by_id, hub.db, server.id)
    yield ending(owner, server, where)


def ending(owner: User, server: Server, where: Addresses) -> dict[str, Any]:
    """The last event."""
    if server.state == "running":
        url = where.server(owner, server.name)
        link = f'Server ready at <a href="{url}">{url}</a>'
        return {"progress": 100, "ready": True, "message": f"Server ready at {url}", "html_message": link, "url": url}
    reason = server.reason or ("it was stopped" if server.state in {"stopped", "stopping"} else "")
    return {"progress": 100, "failed": True, "message": "Spawn failed" + (f": {reason}" if reason else "")}


async def written(source: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    """Events as lines of text, with an empty line when there is nothing to say for long."""
    coming = asyncio.ensure_future(anext(source, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=KEEPALIVE)
            if not done:
                yield "\n\n"
                continue
            event = coming.result()
            if event is None:
                return
            yield f"data: {json.dumps(event)}\n\n"
            coming = asyncio.ensure_future(anext(source, None))
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming
