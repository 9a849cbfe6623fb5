"""What a keeper tells about a start, and what is told to the user about an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from terakoya.launcher.processes import Process


class StartError(Exception):
    """`reason` is for the user, `detail` for whoever mends it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason)


class Events:
    """The pipe on which a keeper and its server tell how the start goes."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport

    @classmethod
    async def of(cls, descriptor: int) -> Events:
        """Takes the descriptor over."""
        reader = asyncio.StreamReader(limit=1024 * 1024)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        return cls(reader, transport)

    async def next(self) -> dict[str, Any] | None:
        """None when nobody can tell anything any more."""
        try:
            event = json.loads(await self._reader.readuntil(b"\n"))
        except asyncio.IncompleteReadError:
            return None
        except (asyncio.LimitOverrunError, ValueError):
            return {"event": "failed", "reason": "It told something that can't be understood.", "detail": ""}
        return event if isinstance(event, dict) else {}

    def close(self) -> None:
        self._transport.close()


def process(pid: Any) -> Process | None:
    return Process.now(pid) if isinstance(pid, int) and pid > 1 else None


def told(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event.get("reason") or "It could not be started.")[:500], str(event.get("detail") or "")[-20_000:]


def ended(code: int | None, when: str) -> str:
    """A sentence for the user."""
    if code is None:
        return f"It ended {when}."
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"It was ended by {signal.Signals(-code).name} {when}.".replace(" by itself", "")
    return f"It ended {when} (exit code {code})."
