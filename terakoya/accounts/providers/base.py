"""What a way of checking passwords must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Answer:
    """What became of a name and a password."""

    result: Literal["ok", "denied", "must_change", "refused_new_password", "unavailable"]
    os_name: str = ""
    """The account of the machine, as it spells itself."""
    groups: Sequence[str] = ()
    message: str = ""
    """For `refused_new_password` and `unavailable`: why."""


class Authenticator(Protocol):
    """Checks passwords. Every kind of failure is the same `denied`."""

    async def authenticate(self, name: str, password: str, address: str, new_password: str | None = None) -> Answer: ...
