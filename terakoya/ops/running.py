"""What runs now: the supervisor's own notes, and what its launcher says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from terakoya.config import Config
from terakoya.errors import LauncherUnavailable, NotRunning
from terakoya.ops import lock

ALIVE = ("starting", "running")


def state_path(config: Config) -> Path:
    return config.storage.runtime / "supervisor.json"


def state(config: Config) -> dict[str, Any]:
    """`{"pid", "address", "processes": {name: {"pid", "since", "restarts"}}}` as the supervisor wrote it, or {}."""
    try:
        made: dict[str, Any] = json.loads(state_path(config).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made


def supervisor(config: Config) -> int:
    """The pid of the supervisor; NotRunning if there is none."""
    pid = lock.holder(config.storage.runtime)
    if not pid:
        raise NotRunning
    return pid


def server_keys(config: Config, seconds: float = 3.0) -> list[str] | None:
    """The keys of the users' servers that run, or None if the launcher does not answer within `seconds`.

    One that was just started again is waited for: it listens within a moment.
    """
    from terakoya.launcher.client import LauncherClient

    async def ask() -> list[str]:
        while True:
            try:
                listed = await LauncherClient(config.socket("launcher")).list()
            except LauncherUnavailable:
                await asyncio.sleep(0.05)
            else:
                return [server["key"] for server in listed if server["status"] in ALIVE]

    try:
        return asyncio.run(asyncio.wait_for(ask(), seconds))
    except TimeoutError:
        return None


def server_count(config: Config) -> int | None:
    """How many users' servers run, or None if that can't be known."""
    keys = server_keys(config)
    return None if keys is None else len(keys)
