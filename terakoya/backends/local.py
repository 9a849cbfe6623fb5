"""Servers on this machine, started by the launcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from terakoya.backends.base import Report, ServerSpec, Usage
from terakoya.errors import LauncherUnavailable, NoSystemAccount, StartFailed
from terakoya.launcher.client import LauncherClient, LauncherRefusedError

_HINT = "Try again; if it stays so, the administrator finds the cause in the server's log."


class LocalBackend:
    """Backend by way of the launcher of this machine."""

    def __init__(self, launcher: LauncherClient) -> None:
        self._launcher = launcher

    async def start(self, spec: ServerSpec, on_bound: Callable[[str], Awaitable[None]]) -> Report:
        address = ""
        try:
            async for event in self._launcher.start(**asdict(spec)):
                if event["event"] == "bound":
                    address = event["address"]
                    await on_bound(address)
                elif event["event"] == "ready":
                    return Report(key=spec.key, status="running", address=address)
                else:
                    await self._launcher.stop(spec.key, 0)  # it does not run; so that it is not listed either
                    raise StartFailed(reason=_clause(event["reason"]), hint=_HINT, detail=event["detail"])
        except LauncherRefusedError as error:
            if error.code == "no_account":
                raise NoSystemAccount(name=spec.os_name, minimum_uid=await self._minimum_uid()) from None
            raise
        raise LauncherUnavailable

    async def stop(self, key: str, grace: float) -> None:
        await self._launcher.stop(key, grace)

    async def list(self) -> list[Report]:
        return [_report(server) for server in await self._launcher.list()]

    async def status(self, key: str) -> Report | None:
        return next((report for report in await self.list() if report.key == key), None)

    async def _minimum_uid(self) -> int:
        return int((await self._launcher.ping())["minimum_uid"])


def _report(server: dict[str, Any]) -> Report:
    return Report(
        key=server["key"],
        status=server["status"],
        address=server["address"],
        reason=_clause(server["reason"]),
        detail=server["detail"],
        usage=Usage(**server["usage"]),
    )


def _clause(sentence: str) -> str:
    """So that it can follow a colon: "It ended." becomes "it ended"; names keep their capital."""
    first, rest = sentence.partition(" ")[::2]
    if first in {"It", "The", "Notebook", "This", "There"}:
        first = first.lower()
    return f"{first} {rest}".strip().removesuffix(".")
