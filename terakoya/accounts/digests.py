"""Secrets are shown once and kept only as their SHA-256; looking one up by its digest needs no comparing in time."""

from __future__ import annotations

import hashlib
import secrets

LONGEST = 256
"""No secret of ours is longer; longer ones are not even hashed."""


def fresh() -> str:
    """43 characters that nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(value: str) -> bytes | None:
    """What the database keeps of `value`; None for what can't be one of our secrets."""
    if not value or len(value) > LONGEST or not value.isascii():
        return None
    return hashlib.sha256(value.encode("ascii")).digest()
