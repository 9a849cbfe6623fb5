"""Asking the launcher, from the hub's side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from terakoya.errors import LauncherUnavailable
from terakoya.launcher import protocol

Answer = dict[str, Any]
_LONGEST_ANSWER = 64 * 1024 * 1024
PATIENCE = 20.0
"""Seconds after which a launcher that is there but does not answer is taken as away."""
SIGN_IN_PATIENCE = 45.0
"""A password may be asked for elsewhere, and others may be in line before it."""


class LauncherRefusedError(Exception):
    """The launcher did not do it. `code` says why: `no_account`, `key_taken`; others are bugs of who asks."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


class LauncherClient:
    """One connection for each question; nothing is kept open. Every method raises LauncherUnavailable."""

    def __init__(self, socket_path: str | Path) -> None:
        self._path = str(socket_path)

    async def authenticate(
        self, name: str, password: str, address: str = "", new_password: str | None = None
    ) -> Answer:
        """`result`, and for all but `denied` and `unavailable` also `os_name`, `uid`, `groups`, `message`."""
        fields = {"name": name, "password": password, "address": address, "new_password": new_password}
        return await self._one("authenticate", fields, SIGN_IN_PATIENCE)

    async def account(self, name: str) -> Answer:
        """`exists`, `uid`, `home`, `groups`."""
        return await self._one("account", {"name": name})

    async def accounts(self) -> list[Answer]:
        """Human accounts of the machine: `name`, `uid`, `full_name`, `groups`."""
        return list((await self._one("accounts", {}))["accounts"])

    async def start(
        self,
        *,
        key: str,
        os_name: str,
        user_name: str,
        base_url: str,
        secret: str,
        default_url: str = "/lab",
        page_config: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        timeout: float = 60.0,  # noqa: ASYNC109 the server's, not this call's
    ) -> AsyncIterator[Answer]:
        """Events: `bound` with `pid`, `port`, `address`; then `ready`, or `failed` with `reason`, `detail`.

        A start that failed stays listed as exited until it is stopped.
        """
        fields = {
            "key": key,
            "os_name": os_name,
            "user_name": user_name,
            "base_url": base_url,
            "secret": secret,
            "default_url": default_url,
            "page_config": page_config or {},
            "environment": environment or {},
            "timeout": timeout,
        }
        async with aclosing(self._ask("start", fields)) as answers:
            async for answer in answers:
                yield answer
                if answer["event"] in {"ready", "failed"}:
                    return
        raise LauncherUnavailable

    async def stop(self, key: str, grace: float = 10.0) -> Answer:
        """`code`: the exit code, minus the signal, or None."""
        return await self._one("stop", {"key": key, "grace": grace}, grace + PATIENCE)

    async def list(self) -> list[Answer]:
        """Every server that was started and not stopped, with `status` and `usage`."""
        return [dict(server) for server in (await self._one("list", {}))["servers"]]

    async def ping(self) -> Answer:
        """What it is and has: see the protocol."""
        return await self._one("ping", {})

    async def _one(self, verb: str, fields: Answer, patience: float = 0.0) -> Answer:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience or PATIENCE), aclosing(self._ask(verb, fields)) as answers:
                async for answer in answers:
                    return answer
        raise LauncherUnavailable

    async def _ask(self, verb: str, fields: Answer) -> AsyncGenerator[Answer, None]:
        async with self._connection() as (reader, writer):
            writer.write(protocol.encode({"verb": verb} | fields))
            while line := await reader.readline():
                answer = json.loads(line)
                if "error" in answer:
                    raise LauncherRefusedError(answer["error"], answer.get("message", ""))
                yield answer

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_ANSWER)
        except OSError as error:
            raise LauncherUnavailable from error
        try:
            yield reader, writer
        except (OSError, ValueError) as error:  # cut off, or half a line
            raise LauncherUnavailable from error
        finally:
            writer.close()
