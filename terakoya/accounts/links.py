"""Links that let somebody in once, within fifteen minutes, without a password: the welcome page, and signing in."""

from __future__ import annotations

from terakoya.accounts import audit, codes, entry, sessions, users
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.db.models import User
from terakoya.errors import CodeUsedUp, NotAllowed

SECONDS = 15 * 60


def welcome(db: Database, config: Config) -> str:
    """To the page that makes the first administrator."""
    return f"{config.public_url}/hub/welcome?code={codes.make(db, 'welcome', {}, SECONDS)}"


def sign_in(db: Database, config: Config, name: str) -> str:
    """Signs the user in. NoSuchUser; NotAllowed for one who is disabled."""
    user = users.get(db, name)
    if user.disabled_at is not None:
        raise NotAllowed(action=f"make a link for {user.name}, who is disabled")
    return f"{config.public_url}/hub/enter-link?code={codes.make(db, 'sign-in', {'user_id': user.id}, SECONDS)}"


def first(db: Database, config: Config, own_name: str) -> str:
    """What is printed at the start: the welcome page until it was completed, then in personal mode one's sign-in."""
    if not entry.is_set_up(db):
        return welcome(db, config)
    return sign_in(db, config, own_name) if config.personal else ""


def follow(db: Database, config: Config, code: str, user_agent: str, address: str) -> tuple[str, User]:
    """Use up a sign-in link: the value of a new session's cookie, and its user. CodeUsedUp."""
    user = users.by_id(db, codes.use(db, "sign-in", code)["user_id"])
    if user.disabled_at is not None:
        raise CodeUsedUp
    return enter(db, config, user, user_agent, address), user


def enter(db: Database, config: Config, user: User, user_agent: str, address: str) -> str:
    """A session for somebody who came by a link; the value of its cookie."""
    limits = config.accounts
    with db.session() as session:
        cookie, _ = sessions.begin(session, user.id, limits.session_lifetime, limits.session_idle, user_agent, address)
        audit.record(session, user.name, "sign-in.link", user.name_key, address)
    return cookie
