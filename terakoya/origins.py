"""The label that stands for a user in a host name, such as `alice` in alice.notebooks.example.org.

A dot would begin another label, so it is written as two hyphens; names that could be confused with that have no label.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"(?!.*(--|\.-|-\.|\.\.))[a-z0-9_-][a-z0-9._-]{0,62}")
LONGEST = 63


def label(key: str) -> str:
    """The label of a user's case-folded name; "" for one that can't stand in a host name."""
    made = key.replace(".", "--") if _NAME.fullmatch(key) else ""
    return made if len(made) <= LONGEST else ""


def key(label: str) -> str:
    """The case-folded name that a label stands for."""
    return label.replace("--", ".")
