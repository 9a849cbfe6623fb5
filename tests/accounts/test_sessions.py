import time

import pytest
from sqlalchemy import update

from terakoya.accounts import sessions, users
from terakoya.db.models import Session, User

DAY = 86400.0


def _open(db, user, **options):
    given = {"lifetime": 14 * DAY, "idle": 7 * DAY, "user_agent": "Firefox", "address": "192.0.2.1"} | options
    return sessions.open(db, user.id, **given)


def _set(db, row, **values):
    with db.session() as session:
        session.execute(update(Session).where(Session.id == row.id).values(**values))


def test_found_by_its_cookie_only(db, cast):
    cookie, row = _open(db, cast.alice)
    assert len(cookie) == 43
    visitor = sessions.find(db, cookie)
    assert (visitor.user.name, visitor.session.id, visitor.token) == ("alice", row.id, None)
    assert cookie.encode() not in row.hash


@pytest.mark.parametrize(
    "forge",
    [
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + "A",
        lambda cookie: cookie.swapcase(),
        lambda cookie: cookie + "\0",
        lambda cookie: "A" * len(cookie),
        lambda cookie: "é" * len(cookie),
        lambda cookie: cookie * 200,
        lambda cookie: cookie[:0],
    ],
)
def test_a_forged_cookie_is_nobodys(db, cast, forge):
    cookie, _ = _open(db, cast.alice)
    assert sessions.find(db, forge(cookie)) is None


def test_an_old_cookie_is_nobodys(db, cast):
    cookie, row = _open(db, cast.alice)
    _set(db, row, expires_at=time.time() - 1)
    assert sessions.find(db, cookie) is None
    assert sessions.sweep(db) == 1


def test_good_for_its_host_only(db, cast):
    hub, parent = _open(db, cast.alice)
    own, _ = _open(db, cast.alice, parent_id=parent.id, host="Alice.notebooks.example.org")
    assert sessions.find(db, own) is None
    assert sessions.find(db, hub, "alice.notebooks.example.org") is None
    assert sessions.find(db, own, "alice.notebooks.example.org").user.name == "alice"


def test_signing_out_ends_the_sessions_that_came_from_it(db, cast):
    hub, parent = _open(db, cast.alice)
    own, _ = _open(db, cast.alice, parent_id=parent.id, host="alice.example.org")
    other, _ = _open(db, cast.alice)
    sessions.close(db, hub)
    assert sessions.find(db, hub) is None
    assert sessions.find(db, own, "alice.example.org") is None
    assert sessions.find(db, other)


def test_signing_out_everywhere(db, cast):
    cookies = [_open(db, cast.alice)[0] for _ in range(3)]
    stays, _ = _open(db, cast.bob)
    sessions.close_all(db, cast.alice.id)
    assert [sessions.find(db, cookie) for cookie in cookies] == [None] * 3
    assert sessions.find(db, stays)


def test_ending_one_of_ones_own(db, cast):
    cookie, row = _open(db, cast.alice)
    sessions.close_one(db, cast.bob.id, row.id)
    assert sessions.find(db, cookie)
    sessions.close_one(db, cast.alice.id, row.id)
    assert sessions.find(db, cookie) is None


def test_the_end_moves_with_use_up_to_the_lifetime(db, cast):
    now = time.time()
    _, used = _open(db, cast.alice)
    _, unused = _open(db, cast.alice)
    _, old = _open(db, cast.alice)
    _set(db, used, created_at=now - 5 * DAY, last_seen=now)
    _set(db, unused, created_at=now - 5 * DAY, last_seen=now - 5 * DAY)
    _set(db, old, created_at=now - 13 * DAY, last_seen=now)
    sessions.extend(db, 7 * DAY, 14 * DAY)
    ends = {row.id: row.expires_at for row in sessions.listed(db, cast.alice.id)}
    assert ends[used.id] == pytest.approx(now + 7 * DAY, abs=5)
    assert ends[unused.id] == pytest.approx(now + 2 * DAY, abs=5)
    assert ends[old.id] == pytest.approx(now + 1 * DAY, abs=5)


def test_an_ended_one_does_not_come_back_with_more_generous_settings(db, cast):
    cookie, row = _open(db, cast.alice)
    _set(db, row, expires_at=time.time() - 1)
    sessions.extend(db, 70 * DAY, 140 * DAY)
    assert sessions.find(db, cookie) is None


def test_working_on_ones_own_origin_keeps_the_hubs_session(db, cast):
    now = time.time()
    hub, parent = _open(db, cast.alice)
    _, child = _open(db, cast.alice, parent_id=parent.id, host="alice.example.org")
    _set(db, parent, last_seen=now - 6 * DAY, expires_at=now + 1 * DAY)
    _set(db, child, last_seen=now)
    sessions.extend(db, 7 * DAY, 14 * DAY)
    assert sessions.find(db, hub).session.expires_at == pytest.approx(now + 7 * DAY, abs=5)


def test_one_for_an_origin_lives_no_longer_than_the_hubs(db, cast):
    _, parent = _open(db, cast.alice)
    _set(db, parent, created_at=time.time() - 13 * DAY)
    _, child = _open(db, cast.alice, parent_id=parent.id, host="alice.example.org")
    assert child.expires_at == pytest.approx(time.time() + DAY, abs=5)


def test_use_is_noted_now_and_then(db, cast):
    cookie, row = _open(db, cast.alice)
    _set(db, row, last_seen=time.time() - 400)
    sessions.find(db, cookie)
    assert sessions.listed(db, cast.alice.id)[0].last_seen == pytest.approx(time.time(), abs=5)
    assert users.get(db, "alice").last_activity == pytest.approx(time.time(), abs=5)


def test_a_disabled_user_is_out_even_if_a_row_were_left(db, cast):
    cookie, _ = _open(db, cast.alice)
    with db.session() as session:
        session.execute(update(User).where(User.id == cast.alice.id).values(disabled_at=1.0))
    assert sessions.find(db, cookie) is None


def test_strange_browsers_are_stored_readably(db, cast):
    _, row = _open(db, cast.alice, user_agent="\0evil\n" + "x" * 500)
    assert row.user_agent == "evil" + "x" * 251
