"""Passwords of the machine's own accounts, checked by PAM in the launcher."""

from __future__ import annotations

from typing import Any, Protocol

from terakoya.accounts.providers.base import Answer
from terakoya.errors import LauncherUnavailable
from terakoya.launcher.client import LauncherRefusedError


class Client(Protocol):
    """The part of the launcher's client that is used here."""

    async def authenticate(
        self, name: str, password: str, address: str, new_password: str | None = None
    ) -> dict[str, Any]: ...


class PamAuthenticator:
    """An Authenticator over the launcher's socket."""

    def __init__(self, launcher: Client) -> None:
        self.launcher = launcher

    async def authenticate(self, name: str, password: str, address: str, new_password: str | None = None) -> Answer:
        try:
            told = await self.launcher.authenticate(name, password, address, new_password)
        except LauncherUnavailable:
            return Answer("unavailable", message="the part of terakoya that checks them does not answer")
        except LauncherRefusedError as error:  # no word about the password
            return Answer("unavailable", message=str(error))
        return Answer(
            told["result"],
            os_name=told.get("os_name") or "",
            groups=tuple(told.get("groups") or ()),
            message=told.get("message") or "",
        )
