"""Signing in with a name and a password.

Every failure looks the same and takes the same time, counted from the arrival of the request, so that neither tells
which accounts exist. Waiting holds nobody else up.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as DatabaseSession

from terakoya.accounts import audit, entry, sessions, throttle, users
from terakoya.accounts.providers.base import Answer, Authenticator
from terakoya.config import Config
from terakoya.db.engine import Database
from terakoya.db.models import User
from terakoya.errors import (
    BadUserName,
    NewPasswordRefused,
    PasswordMustChange,
    SignInRefused,
    SignInUnavailable,
    TooManyAttempts,
)

FAILURE_SECONDS = 2.0
"""How long a failing sign-in takes, whatever the cause."""
LONGEST = 1000
"""Longer names and passwords are not even looked at."""


@dataclass(frozen=True)
class Attempt:
    """What somebody typed, and where they sit."""

    name: str
    name_key: str
    address: str
    user_agent: str

    @property
    def where(self) -> str:
        return throttle.place(self.address)


async def sign_in(
    db: Database,
    backend_auth: Authenticator,
    config: Config,
    name: str,
    password: str,
    address: str,
    user_agent: str,
    new_password: str | None = None,
) -> tuple[str, User]:
    """The value of a new session's cookie and its user.

    SignInRefused after two seconds; PasswordMustChange or NewPasswordRefused, which only who has the right password
    can see; TooManyAttempts; SignInUnavailable.
    """
    arrival = time.monotonic()
    name = name.strip()
    attempt = Attempt(name, users.key(name[:LONGEST]), address, user_agent)
    try:
        with throttle.checking(attempt.name_key, attempt.where) as others:
            _check_readable(name, password, new_password or "")
            answer, user = await _check(db, backend_auth, attempt, others, password, new_password)
            return await asyncio.to_thread(_enter, db, config, attempt, answer, user)
    except SignInRefused:
        await asyncio.to_thread(_note_refusal, db, attempt)
        await asyncio.sleep(max(0.0, arrival + FAILURE_SECONDS - time.monotonic()))
        raise


def _check_readable(name: str, password: str, new_password: str) -> None:
    """Refuse what can't be a name and a password; some libraries cut at a NUL and believe what is left."""
    texts = (name, password, new_password)
    if not name or not password or any("\0" in text or len(text) > LONGEST for text in texts):
        raise SignInRefused


async def _check(
    db: Database, auth: Authenticator, attempt: Attempt, others: int, password: str, new_password: str | None
) -> tuple[Answer, User | None]:
    user, left = await asyncio.to_thread(_before, db, attempt, others)
    if left > 0:
        raise TooManyAttempts(seconds=max(1, round(left)))
    os_name = user.os_name if user else attempt.name_key
    answer = await auth.authenticate(os_name, password, attempt.address, new_password)
    if answer.result == "unavailable":
        raise SignInUnavailable(reason=answer.message or "no answer")
    if answer.result == "denied" or (user and user.disabled_at is not None):
        raise SignInRefused
    if answer.result == "must_change":
        raise PasswordMustChange
    if answer.result == "refused_new_password":
        raise NewPasswordRefused(reason=answer.message)
    return answer, user


def _before(db: Database, attempt: Attempt, others: int) -> tuple[User | None, float]:
    """Who is meant, if known, and for how many seconds this place must wait."""
    with db.reading() as session:
        user = users.lookup(session, attempt.name_key)
        target = throttle.target(attempt.name_key, user)
        return user, throttle.seconds_left(session, target, attempt.where, others)


def _enter(db: Database, config: Config, attempt: Attempt, answer: Answer, known: User | None) -> tuple[str, User]:
    try:
        return _enter_once(db, config, attempt, answer, known)
    except IntegrityError:  # the same new user signed in twice at this moment, and the other was first
        return _enter_once(db, config, attempt, answer, known)


def _enter_once(db: Database, config: Config, attempt: Attempt, answer: Answer, known: User | None) -> tuple[str, User]:
    """Everything that a sign-in writes, in one transaction: a disk is waited for once."""
    with db.session() as session:
        user = _user(session, answer.os_name, known)
        if not entry.may_enter(entry.read(session), user, answer.groups):
            raise SignInRefused
        if user is None:
            user = users.insert(session, answer.os_name, answer.os_name, admin=False, invited=False)
            audit.record(session, user.name, "user.add", user.name, at="first sign-in")
        user.last_activity = time.time()
        accounts = config.accounts
        cookie, _ = sessions.begin(
            session, user.id, accounts.session_lifetime, accounts.session_idle, attempt.user_agent, attempt.address
        )
        audit.record(session, user.name, throttle.ENTERED, user.name_key, attempt.where, seen_from=attempt.address)
    return cookie, user


def _user(session: DatabaseSession, os_name: str, known: User | None) -> User | None:
    """The user of this account. A user whose name is the account's, but who is another account, is not."""
    if known is not None:
        return session.get(User, known.id)
    user = session.scalar(select(User).where(User.os_name == os_name).order_by(User.id).limit(1))
    if user is None and (users.lookup(session, os_name) is not None or not _can_be_user(os_name)):
        raise SignInRefused
    return user


def _can_be_user(name: str) -> bool:
    try:
        users.check_name(name)
    except BadUserName:
        return False
    return True


def _note_refusal(db: Database, attempt: Attempt) -> None:
    with db.session() as session:
        user = users.lookup(session, attempt.name_key)
        audit.record(
            session,
            "",
            throttle.REFUSED,
            throttle.target(attempt.name_key, user),
            attempt.where,
            seen_from=attempt.address,
        )
