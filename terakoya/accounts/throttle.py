"""Guessing passwords is made slow for one account from one place, so that nobody can be locked out by another.

What happened is read from the audit, so a restart forgets nothing. Attempts still being checked count as failed, or a
hundred at the same moment would all be let through.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.db.models import Audit, User

FREE = 10
"""So many failures in a row cost nothing but the usual two seconds."""
WINDOW = 15 * 60.0
"""Seconds after which a failure is forgotten."""
LONGEST = 60.0
"""Seconds that must pass between two attempts at most."""

REFUSED, ENTERED = "sign-in.refused", "sign-in"

_checking: Counter[tuple[str, str]] = Counter()  # of this process; nothing is lost with it


def place(address: str) -> str:
    """Where somebody is: an address, or for IPv6 its network, of which one person has every address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def target(name_key: str, user: User | None) -> str:
    """Under what an attempt is noted. What is no user's name may be a password in the wrong field: only its hash."""
    return user.name_key if user else "?" + hashlib.sha256(name_key.encode("utf-8", "replace")).hexdigest()[:16]


def wait(failures: int) -> float:
    """Seconds to leave between attempts after so many failures in a row."""
    return 0.0 if failures < FREE else min(2.0 ** min(failures - FREE + 1, 10), LONGEST)


@contextmanager
def checking(name_key: str, where: str) -> Iterator[int]:
    """Counts this attempt while it is checked; gives how many others are."""
    pair = (name_key, where)
    before = _checking[pair]
    _checking[pair] += 1
    try:
        yield before
    finally:
        _checking[pair] -= 1
        if not _checking[pair]:
            del _checking[pair]


def seconds_left(session: DatabaseSession, target: str, where: str, others: int) -> float:
    """How long this pair must wait before the next attempt is checked; 0 if it need not."""
    now = time.time()
    query = select(Audit.action, Audit.at).where(
        Audit.target == target,
        Audit.at > now - WINDOW,
        Audit.address == where,
        Audit.action.in_((REFUSED, ENTERED)),
    )
    failures, last = others, 0.0
    for action, at in session.execute(query.order_by(Audit.at)):
        failures, last = (failures + 1, at) if action == REFUSED else (others, 0.0)
    if failures >= FREE and others:
        return wait(failures)
    return max(0.0, last + wait(failures) - now)
