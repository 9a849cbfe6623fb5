"""The machine's accounts and groups, as the pages about who may enter show them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from terakoya.accounts.entry import Rule
from terakoya.errors import LauncherUnavailable, NobodyWouldEnter
from terakoya.web.state import Hub


@dataclass(frozen=True)
class Account:
    """An account of the machine that a person uses."""

    name: str
    full_name: str = ""
    groups: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class People:
    """Everybody who could enter; `known` is False while the launcher does not answer."""

    accounts: list[Account]
    known: bool = True

    def groups(self) -> list[tuple[str, int]]:
        """Groups with their number of members, without those that belong to one account as its own."""
        counted = Counter(group for account in self.accounts for group in account.groups if group != account.name)
        return sorted(counted.items())


async def people(hub: Hub) -> People:
    try:
        found = await hub.launcher.accounts()
    except LauncherUnavailable:
        return People([], known=False)
    accounts = [Account(a["name"], a.get("full_name") or "", list(a.get("groups") or [])) for a in found]
    return People(sorted(accounts, key=lambda account: account.name))


def rule_from_form(who: str, groups: list[str]) -> Rule:
    """The rule that a form speaks of; NobodyWouldEnter if it names no group."""
    if who == "everybody":
        return Rule(everybody=True, groups=[])
    wanted = sorted({group.strip() for group in groups if group.strip() and "\0" not in group})
    if not wanted:
        raise NobodyWouldEnter
    return Rule(everybody=False, groups=wanted)
