"""How a start comes along, as events for a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from terakoya.db.engine import Database
from terakoya.db.models import Server
from terakoya.servers import life
from terakoya.servers.spec import base_url

LOOK = 0.1
"""Seconds between two looks."""


def describe(server: Server, place: int) -> dict[str, Any]:
    """The event for a row and a place in the line; the last of a stream has `ready` or `failed`."""
    if server.state == "running":
        url = base_url(server.user.name, server.name)
        return {"progress": 100, "ready": True, "url": url, "message": f"Server ready at {url}"}
    if server.state == "failed":
        return {"progress": 100, "failed": True, "message": server.reason or "The server failed."}
    if server.state == "stopping" or server.wish != "running":
        return {"progress": 100, "failed": True, "message": "The server is not running."}
    if place:
        return {"progress": 5, "place": place, "message": f"Waiting in line, place {place}"}
    if server.address:
        return {"progress": 60, "message": "Almost there: opening the notebook"}
    return {"progress": 20 if server.state == "starting" else 0, "message": "Starting"}


async def follow(db: Database, server_id: int, place: Callable[[], int]) -> AsyncIterator[dict[str, Any]]:
    """Each event once, until it is ready or has failed."""
    last: dict[str, Any] = {}
    while not (last.get("ready") or last.get("failed")):
        server = await asyncio.to_thread(life.by_id, db, server_id)
        event = describe(server, place())
        if event != last:
            yield event
            last = event
        else:
            await asyncio.sleep(LOOK)
