"""The same people in every test: taro teaches, hanako assists, alice and bob study, mallory is nobody's student."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.accounts import users
from terakoya.db.engine import Database
from terakoya.db.models import User

NAMES = ("taro", "hanako", "alice", "bob", "mallory")


@dataclass(frozen=True)
class Cast:
    """Their accounts. taro is the administrator."""

    taro: User
    hanako: User
    alice: User
    bob: User
    mallory: User

    @classmethod
    def enrol(cls, db: Database) -> Cast:
        return cls(**{name: users.add(db, name, admin=name == "taro") for name in NAMES})
