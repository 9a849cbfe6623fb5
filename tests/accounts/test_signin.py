import asyncio
import time

import pytest
from sqlalchemy import event, select, update

from terakoya import configfile
from terakoya.accounts import audit, entry, sessions, signin, throttle, users
from terakoya.accounts.entry import Rule
from terakoya.accounts.providers.base import Answer
from terakoya.accounts.providers.pam import PamAuthenticator
from terakoya.db.models import Audit
from terakoya.errors import (
    LauncherUnavailable,
    NewPasswordRefused,
    PasswordMustChange,
    SignInRefused,
    SignInUnavailable,
    TooManyAttempts,
)
from terakoya.launcher.client import LauncherRefusedError

CONFIG = configfile.load(personal=True)
GROUPS = {"alice": ["alice", "students"], "robert": ["staff"], "mallory": ["mallory"]}


class Machine:
    """Stands for the launcher: an account's password is its name."""

    def __init__(self):
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def authenticate(self, name, password, address, new_password=None):
        self.asked.append(name)
        await self.gate.wait()
        if password == "expired":
            if new_password == "short":
                return Answer("refused_new_password", os_name=name, message="too short")
            if not new_password:
                return Answer("must_change", os_name=name)
        elif name not in GROUPS or password != name:
            return Answer("denied")
        return Answer("ok", os_name=name, groups=GROUPS.get(name, ()))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    assert signin.FAILURE_SECONDS >= 2
    monkeypatch.setattr(signin, "FAILURE_SECONDS", 0.2)


@pytest.fixture
def open_db(db):
    entry.set_rule(db, Rule(everybody=True))
    return db


def enter(db, name, password, *, address="192.0.2.1", machine=None, new_password=None):
    return asyncio.run(attempt(db, name, password, address, machine or Machine(), new_password))


async def attempt(db, name, password, address, machine, new_password=None):
    return await signin.sign_in(db, machine, CONFIG, name, password, address, "Firefox", new_password)


def test_the_first_sign_in_makes_the_user(open_db):
    cookie, user = enter(open_db, "alice", "alice")
    assert sessions.find(open_db, cookie).user.name == user.name == "alice"
    assert not user.admin
    assert not user.invited
    again, same = enter(open_db, " Alice ", "alice")
    assert same.id == user.id
    assert again != cookie
    assert len(sessions.listed(open_db, user.id)) == 2
    assert [row.action for row in audit.search(open_db, target="alice")] == ["sign-in", "sign-in", "user.add"]


def test_one_transaction_for_everything_that_a_sign_in_writes(open_db):
    reads = []
    event.listen(
        open_db.engine, "begin", lambda c: reads.append(c.get_execution_options().get("terakoya_reads", False))
    )
    enter(open_db, "alice", "alice")
    assert reads == [True, False]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("alice", ""),
        ("", "alice"),
        ("alice", "alice\0junk"),
        ("alice\0junk", "alice"),
        ("x" * 10_000, "alice"),
        ("alice", "x" * 10_000),
        ("../alice", "alice"),
        ("alice/x", "alice"),
        ("%61lice", "%61lice"),
        ("\ud800", "x"),
        ("ali\u0301ce", "alice"),
    ],
)
def test_every_failure_is_the_same_and_takes_the_same_time(open_db, name, password):
    users.add(open_db, "bob")
    before = time.monotonic()
    with pytest.raises(SignInRefused):
        enter(open_db, name, password)
    assert time.monotonic() - before >= 0.2
    assert users.find(open_db)[1] == 1
    assert audit.search(open_db)[0].action == throttle.REFUSED


def test_the_time_counts_from_the_arrival_and_failures_hold_nobody_up(sqlite_db, monkeypatch):
    monkeypatch.setattr(signin, "FAILURE_SECONDS", 4.0)
    entry.set_rule(sqlite_db, Rule(everybody=True))

    async def many():
        machine = Machine()
        before = time.monotonic()
        wrong = [asyncio.create_task(attempt(sqlite_db, f"user{n}", "x", "192.0.2.1", machine)) for n in range(20)]
        await attempt(sqlite_db, "alice", "alice", "192.0.2.1", machine)
        waiting = [not task.done() for task in wrong]
        outcomes = await asyncio.gather(*wrong, return_exceptions=True)
        return waiting, time.monotonic() - before, outcomes

    waiting, everything, outcomes = asyncio.run(many())
    assert {type(outcome) for outcome in outcomes} == {SignInRefused}
    assert all(waiting)
    assert 4.0 <= everything < 20 * 4.0


def test_what_was_typed_as_an_unknown_name_is_not_kept(open_db):
    with pytest.raises(SignInRefused):
        enter(open_db, "MySecretPassw0rd", "x")
    row = audit.search(open_db)[0]
    assert "secret" not in f"{row.actor} {row.target} {row.detail}".lower()


def test_the_rule_and_invitations_decide(db):
    entry.set_rule(db, Rule(groups=["students"]))
    enter(db, "alice", "alice")
    with pytest.raises(SignInRefused):
        enter(db, "mallory", "mallory")
    assert users.find(db)[1] == 1
    users.add(db, "mallory")
    enter(db, "mallory", "mallory")


def test_a_disabled_user_stays_out(open_db):
    users.add(open_db, "alice")
    users.disable(open_db, "alice")
    for password in ("alice", "expired", "wrong"):
        with pytest.raises(SignInRefused):
            enter(open_db, "alice", password)


def test_a_user_is_the_account_that_they_were_made_for(open_db):
    """bob here is the account robert; the account bob of the machine can't enter as him."""
    users.add(open_db, "bob", os_name="robert")
    machine = Machine()
    assert enter(open_db, "bob", "robert", machine=machine)[1].name == "bob"
    assert enter(open_db, "robert", "robert", machine=machine)[1].name == "bob"
    assert machine.asked == ["robert", "robert"]
    with pytest.raises(SignInRefused):
        enter(open_db, "bob", "bob")


def test_a_name_that_the_account_spells_otherwise(open_db):
    class Renaming(Machine):
        async def authenticate(self, *_):
            return Answer("ok", os_name="bob")

    users.add(open_db, "bob", os_name="robert")
    with pytest.raises(SignInRefused):
        enter(open_db, "CORP-bob", "x", machine=Renaming())


def test_a_password_that_must_be_changed(open_db):
    users.add(open_db, "alice")
    with pytest.raises(PasswordMustChange):
        enter(open_db, "alice", "expired")
    with pytest.raises(NewPasswordRefused, match="too short"):
        enter(open_db, "alice", "expired", new_password="short")
    assert enter(open_db, "alice", "expired", new_password="long enough")[1].name == "alice"


def test_two_first_sign_ins_at_the_same_moment(open_db):
    async def both():
        machine = Machine()
        return await asyncio.gather(*(attempt(open_db, "alice", "alice", "192.0.2.1", machine) for _ in range(5)))

    entered = asyncio.run(both())
    assert len({user.id for _, user in entered}) == 1
    assert users.find(open_db)[1] == 1
    assert all(sessions.find(open_db, cookie) for cookie, _ in entered)


# -- guessing ---------------------------------------------------------------------------------------------------------


def _fail(db, times, name="alice", address="192.0.2.66"):
    with db.session() as session:
        target = throttle.target(name, users.lookup(session, name))
        for _ in range(times):
            audit.record(session, "", throttle.REFUSED, target, throttle.place(address))


def test_guessing_is_slowed_for_that_account_from_that_place_only(open_db):
    for name in ("alice", "mallory"):
        users.add(open_db, name)
    _fail(open_db, throttle.FREE)
    machine = Machine()
    with pytest.raises(TooManyAttempts):
        enter(open_db, "alice", "alice", address="192.0.2.66", machine=machine)
    assert machine.asked == []
    enter(open_db, "alice", "alice", address="192.0.2.1")
    enter(open_db, "mallory", "mallory", address="192.0.2.66")


def test_unknown_names_are_slowed_alike(open_db):
    _fail(open_db, throttle.FREE, "nobody")
    with pytest.raises(TooManyAttempts):
        enter(open_db, "nobody", "x", address="192.0.2.66")


def test_after_the_pause_one_may_try_again_and_success_forgets(open_db):
    users.add(open_db, "alice")
    _fail(open_db, throttle.FREE)
    with open_db.session() as session:
        session.execute(update(Audit).values(at=Audit.at - throttle.wait(throttle.FREE) - 1))
    enter(open_db, "alice", "alice", address="192.0.2.66")
    with pytest.raises(SignInRefused):
        enter(open_db, "alice", "wrong", address="192.0.2.66")
    enter(open_db, "alice", "alice", address="192.0.2.66")


def test_pauses_grow_to_a_minute():
    assert throttle.wait(throttle.FREE - 1) == 0
    assert throttle.wait(throttle.FREE) == 2
    assert throttle.wait(1_000_000) == throttle.LONGEST == 60


def test_many_at_the_same_moment_are_not_let_through(open_db):
    users.add(open_db, "alice")

    async def storm():
        machine = Machine()
        machine.gate.clear()
        guesses = [asyncio.create_task(attempt(open_db, "alice", "guess", "192.0.2.66", machine)) for _ in range(100)]
        refused = 100 - throttle.FREE
        waiting = set(guesses)
        while len(waiting) > 100 - refused:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        machine.gate.set()
        outcomes = await asyncio.gather(*guesses, return_exceptions=True)
        return len(machine.asked), [type(outcome) for outcome in outcomes]

    asked, outcomes = asyncio.run(storm())
    assert asked == throttle.FREE
    assert outcomes.count(TooManyAttempts) == 100 - throttle.FREE
    assert not throttle._checking


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_places(address, place):
    assert throttle.place(address) == place


# -- the launcher -----------------------------------------------------------------------------------------------------


class Client:
    def __init__(self, told):
        self.told = told

    async def authenticate(self, name, password, address, new_password=None):
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


def test_pam_answers(open_db):
    told = {"result": "ok", "os_name": "alice", "uid": 1001, "groups": ["students"], "message": ""}
    cookie, user = enter(open_db, "alice", "x", machine=PamAuthenticator(Client(told)))
    assert (user.os_name, sessions.find(open_db, cookie).user.id) == ("alice", user.id)


@pytest.mark.parametrize(
    "told",
    [
        LauncherUnavailable(),
        LauncherRefusedError("unavailable", "no helper"),
        {"result": "unavailable", "message": "PAM is broken"},
    ],
)
def test_no_launcher_is_no_wrong_password(open_db, told):
    with pytest.raises(SignInUnavailable):
        enter(open_db, "alice", "alice", machine=PamAuthenticator(Client(told)))
    with open_db.reading() as session:
        assert session.scalars(select(Audit).where(Audit.action == throttle.REFUSED)).all() == []
