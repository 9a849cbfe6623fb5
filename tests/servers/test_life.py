import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import update

from terakoya.accounts import users
from terakoya.db.models import Server
from terakoya.errors import BadServerName, NoSuchServer, NotAllowed, ServerBusy, TooManyServers
from terakoya.servers import life


@pytest.fixture
def hers(db, cast):
    return life.get(db, cast.alice.id)


def _state(db, server):
    return life.by_id(db, server.id).state


def _force(db, server, state):
    with db.session() as session:
        session.execute(update(Server).where(Server.id == server.id).values(state=state, key="k"))


STATES = ("stopped", "starting", "running", "stopping", "failed")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_only_the_listed_transitions_are_made(db, hers, before, after):
    _force(db, hers, before)
    with db.session() as session:
        made = life.move(session, hers.id, after)
    assert made is (before in life.BEFORE[after])
    assert _state(db, hers) == (after if made else before)


def test_a_whole_life(db, hers):
    server, begun = life.begin(db, hers.id)
    assert begun
    assert (server.state, server.wish, len(server.secret), server.address) == ("starting", "running", 43, "")
    assert life.bound(db, server.id, server.key, "127.0.0.1:1")
    assert life.by_id(db, server.id).address == "127.0.0.1:1"
    assert life.ready(db, server.id, server.key, "127.0.0.1:1")
    assert life.begin_stop(db, server.id)[1]
    assert life.by_id(db, server.id).wish == "stopped"
    assert life.stopped(db, server.id, server.key)
    ended = life.by_id(db, server.id)
    assert (ended.state, ended.address, ended.secret) == ("stopped", "", "")


def test_every_start_has_a_key_and_a_secret_of_its_own(db, hers):
    first, _ = life.begin(db, hers.id)
    life.fail(db, hers.id, first.key, "it broke", "log")
    failed = life.by_id(db, hers.id)
    assert (failed.state, failed.wish, failed.reason, failed.detail) == ("failed", "stopped", "it broke", "log")
    second, begun = life.begin(db, hers.id)
    assert begun
    assert second.key != first.key
    assert second.secret != first.secret
    assert second.reason == ""


def test_what_is_heard_late_of_an_earlier_start_changes_nothing(db, hers):
    old, _ = life.begin(db, hers.id)
    life.fail(db, hers.id, old.key, "x")
    new, _ = life.begin(db, hers.id)
    assert not life.bound(db, hers.id, old.key, "127.0.0.1:1")
    assert not life.ready(db, hers.id, old.key, "127.0.0.1:1")
    assert not life.fail(db, hers.id, old.key, "late")
    assert life.by_id(db, hers.id).key == new.key
    assert _state(db, hers) == "starting"


def test_of_many_starts_at_once_one_begins(db, hers):
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: life.begin(db, hers.id), range(16)))
    assert [begun for _, begun in told].count(True) == 1
    assert len({server.key for server, _ in told}) == 1


def test_of_many_stops_at_once_one_begins(db, hers):
    life.begin(db, hers.id)
    with ThreadPoolExecutor(8) as pool:
        assert [begun for _, begun in pool.map(lambda _: life.begin_stop(db, hers.id), range(16))].count(True) == 1


def test_a_start_and_a_disabling_at_once_never_leave_a_server_that_is_wanted(db, cast, hers):
    def start():
        with suppress(NotAllowed):
            life.begin(db, hers.id)

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            for work in [pool.submit(start), pool.submit(users.disable, db, "alice")]:
                work.result()
        assert life.by_id(db, hers.id).wish == "stopped"
        users.enable(db, "alice")
        _force(db, hers, "stopped")


def test_a_disabled_users_server_does_not_start(db, hers):
    users.disable(db, "alice")
    with pytest.raises(NotAllowed):
        life.begin(db, hers.id)
    with pytest.raises(NotAllowed):
        life.want(db, hers.id, "running")
    assert _state(db, hers) == "stopped"


def test_a_claim_is_one_mans_until_it_runs_out(db, hers):
    server, _ = life.begin(db, hers.id)
    assert not life.take_over(db, server)
    with db.session() as session:
        session.execute(update(Server).values(claim_until=1.0))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: life.take_over(db, server), range(8))).count(True) == 1
    life.free(db, server.id, server.key)
    assert life.take_over(db, server)
    life.free(db, server.id, server.key)
    life.hold(db, [server.key])
    assert not life.take_over(db, server)


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", "x" * 33, "é", "a\0", "a%2f", ".", "lab", "Files"])
def test_bad_names(db, cast, name):
    with pytest.raises(BadServerName):
        life.ensure(db, cast.alice.id, name)


def test_named_servers(db, cast):
    gpu = life.ensure(db, cast.alice.id, "gpu", limit=2)
    assert life.ensure(db, cast.alice.id, "gpu", limit=2).id == gpu.id
    assert life.ensure(db, cast.alice.id, "gpu", {"default_url": "/tree"}).options == {"default_url": "/tree"}
    life.ensure(db, cast.alice.id, "two", limit=2)
    with pytest.raises(TooManyServers):
        life.ensure(db, cast.alice.id, "three", limit=2)
    life.ensure(db, cast.alice.id, "", limit=0)
    assert [server.name for server in life.of_users(db, [cast.alice.id])[cast.alice.id]] == ["", "gpu", "two"]
    life.remove(db, gpu.id)
    with pytest.raises(NoSuchServer):
        life.get(db, cast.alice.id, "gpu")
    life.begin(db, life.get(db, cast.alice.id, "two").id)
    with pytest.raises(ServerBusy):
        life.remove(db, life.get(db, cast.alice.id, "two").id)


def test_rows_made_at_the_same_moment(db, cast):
    with ThreadPoolExecutor(8) as pool:
        assert len({server.id for server in pool.map(lambda _: life.ensure(db, cast.bob.id, "gpu"), range(8))}) == 1


def test_the_limit_holds_also_for_many_at_once(db, cast):
    def make(number):
        try:
            life.ensure(db, cast.bob.id, f"lab{number}", limit=3)
        except TooManyServers:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make, range(8))).count(True) == 3


def test_finding(db, cast):
    life.begin(db, life.get(db, cast.bob.id).id)
    found, total = life.find(db, states=["starting"])
    assert ([server.user.name for server in found], total) == (["bob"], 1)
    assert life.find(db, limit=2)[1] == 5
    assert [server.user.name for server in life.unsettled(db)] == ["bob"]
