"""What the hub does beside answering: keeps servers as they should be, ends old sessions, compresses files once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from terakoya.accounts import codes, sessions, tokens
from terakoya.web.state import Hub

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60
RETRY_SECONDS = 2


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run the loops while the application answers."""
    hub: Hub = app.state.hub
    hub.lab_static.compress_in_background()
    tasks = [
        asyncio.create_task(_for_ever("servers", hub.runner.run)),
        asyncio.create_task(_for_ever("sessions", lambda: _sweep(hub))),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _for_ever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """A loop that broke is begun again: the next round may find the database or the launcher in order."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("the loop over %s broke; it begins again", name)
        await asyncio.sleep(RETRY_SECONDS)


async def _sweep(hub: Hub) -> None:
    while True:
        accounts = hub.config.accounts
        await run_in_threadpool(
            lambda: sessions.extend(hub.db, accounts.session_idle, accounts.session_lifetime)  # noqa: B023 run at once
        )
        for kind in (sessions, tokens, codes):
            await run_in_threadpool(kind.sweep, hub.db)
        await asyncio.sleep(SWEEP_SECONDS)
