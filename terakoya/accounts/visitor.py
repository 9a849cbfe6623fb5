"""Who makes a request."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.db.models import Session, Token, User


@dataclass(frozen=True)
class Visitor:
    """A user, and what they showed: the cookie of a session or a token."""

    user: User
    session: Session | None = None
    token: Token | None = None
