"""Who may enter: a rule that the first administrator chooses on the welcome page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field

from sqlalchemy.orm import Session as DatabaseSession

from terakoya.accounts import audit, users
from terakoya.db.engine import Database
from terakoya.db.models import Setting, User
from terakoya.errors import NotAllowed


@dataclass(frozen=True)
class Rule:
    """Accounts of this machine that may enter: all, or the members of one of the groups."""

    everybody: bool = False
    groups: list[str] = field(default_factory=list)


def rule(db: Database) -> Rule:
    """The rule in force; before anybody chose one, nobody but invited users enters."""
    with db.reading() as session:
        return read(session)


def read(session: DatabaseSession) -> Rule:
    row = session.get(Setting, "entry")
    return Rule(**row.value) if row else Rule()


def set_rule(db: Database, rule: Rule, actor: str = "") -> None:
    with db.session() as session:
        _write(session, rule, actor)


def _write(session: DatabaseSession, rule: Rule, actor: str) -> None:
    session.merge(Setting(key="entry", value=asdict(rule)))
    audit.record(session, actor, "entry.rule", "", **asdict(rule))


def may_enter(rule: Rule, user: User | None, os_groups: Collection[str]) -> bool:
    """Whether the account, known already as `user` or not, may enter."""
    if user is not None and user.disabled_at is not None:
        return False
    if user is not None and (user.admin or user.invited):
        return True
    return rule.everybody or not set(rule.groups).isdisjoint(os_groups)


def is_set_up(db: Database) -> bool:
    """Whether the welcome page was completed."""
    with db.reading() as session:
        return session.get(Setting, "entry") is not None


def set_up(db: Database, admin_name: str, rule: Rule, os_name: str | None = None) -> User:
    """Make the first administrator and the rule in one transaction. NotAllowed the second time."""
    users.check_name(admin_name)
    with db.session() as session:
        if session.get(Setting, "entry") is not None:
            raise NotAllowed(action="set up this place a second time")
        user = users.lookup(session, admin_name)
        if user is None:
            user = users.insert(session, admin_name, os_name or admin_name, admin=True, invited=True)
        user.admin, user.disabled_at = True, None
        session.add(Setting(key="entry", value=asdict(rule)))
        audit.record(session, user.name, "set-up", user.name, **asdict(rule))
    return user
