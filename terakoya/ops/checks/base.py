"""What checks are given and what they return."""

from __future__ import annotations

import asyncio
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from terakoya.config import Config
from terakoya.errors import LauncherUnavailable
from terakoya.launcher.client import LauncherClient, LauncherRefusedError
from terakoya.ops import lock


@dataclass(frozen=True)
class Finding:
    """`cause` says what was found; `cure` what to do, empty if nothing needs to be done."""

    state: Literal["ok", "warn", "fail"]
    cause: str
    cure: str = ""


def ok(cause: str) -> Finding:
    return Finding("ok", cause)


def warn(cause: str, cure: str) -> Finding:
    return Finding("warn", cause, cure)


def fail(cause: str, cure: str) -> Finding:
    return Finding("fail", cause, cure)


@dataclass(frozen=True)
class Facts:
    """What several checks need, asked once."""

    config: Config
    root: bool
    account: pwd.struct_passwd | None
    supervisor: int | None
    """Its pid, or None if nothing runs here."""
    ping: dict[str, Any] | None
    """The launcher's answer, or None if there was none."""

    @classmethod
    def gather(cls, config: Config) -> Facts:
        running = lock.holder(config.storage.runtime)
        return cls(config, os.geteuid() == 0, _account(config), running, _ping(config) if running else None)


def _account(config: Config) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(os.geteuid()) if config.personal else pwd.getpwnam(config.processes.account)
    except KeyError:
        return None


def _ping(config: Config) -> dict[str, Any] | None:
    with suppress(LauncherUnavailable, LauncherRefusedError, TimeoutError):
        return asyncio.run(asyncio.wait_for(LauncherClient(config.socket("launcher")).ping(), 5))
    return None
