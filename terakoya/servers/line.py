"""A line in which starts wait for their turn, so that a class does not start all at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """Lets `width` through at once, the others in the order they came."""

    def __init__(self, width: int) -> None:
        self._turns = asyncio.Semaphore(width)
        self._waiting: dict[object, None] = {}

    @asynccontextmanager
    async def turn(self, who: object) -> AsyncIterator[None]:
        """Wait for one's turn and keep it for the block."""
        self._waiting[who] = None
        try:
            await self._turns.acquire()
        finally:
            del self._waiting[who]
        try:
            yield
        finally:
            self._turns.release()

    def place(self, who: object) -> int:
        """How many turns come before and with this one's: 1 is the next; 0 for who does not wait."""
        return list(self._waiting).index(who) + 1 if who in self._waiting else 0
