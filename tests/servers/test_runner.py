import asyncio
import dataclasses
import functools

import pytest
from sqlalchemy import event, update

from terakoya import configfile
from terakoya.accounts import users
from terakoya.config import Duration
from terakoya.db.models import Server
from terakoya.errors import DatabaseUnavailable, LauncherUnavailable, NotAllowed, StartFailed
from terakoya.servers import attempt, life, requests
from terakoya.servers.runner import Runner
from tests.servers.stage import GatedBackend, until

CONFIG = configfile.load(personal=True)


class Desk:
    """A hub's runner, a backend, and alice's server."""

    def __init__(self, db, cast, backend=None, **settings):
        self.db, self.cast = db, cast
        self.backend = backend or GatedBackend()
        self.config = dataclasses.replace(CONFIG, servers=dataclasses.replace(CONFIG.servers, **settings))
        self.runner = Runner(db, self.backend, self.config)
        self.id = life.get(db, cast.alice.id).id

    @property
    def row(self):
        return life.by_id(self.db, self.id)

    async def running(self):
        await self.runner.start(self.id)
        return await self.runner.wait_ready(self.id)

    async def round(self):
        await self.runner.reconcile()
        await self.runner.settle()

    def lapse(self):
        """As if every claim had run out."""
        with self.db.session() as session:
            session.execute(update(Server).where(Server.claim_until.is_not(None)).values(claim_until=1.0))


def played(test):
    """Run an `async def` test in a loop of its own, whose tasks it must have ended."""

    @functools.wraps(test)
    def play(db, cast):
        async def scene():
            before = asyncio.all_tasks()
            await test(db, cast)
            await until(lambda: asyncio.all_tasks() == before)

        asyncio.run(scene())

    del play.__wrapped__  # pytest would read its arguments
    return play


# -- starting ---------------------------------------------------------------------------------------------------------


@played
async def test_start_returns_when_bound_and_goes_on_until_ready(db, cast):
    desk = Desk(db, cast)
    desk.backend.answer.clear()
    server = await desk.runner.start(desk.id)
    assert server.address.startswith("127.0.0.1:")
    assert (desk.row.state, desk.row.address) == ("starting", server.address)
    waiting = asyncio.create_task(desk.runner.wait_ready(desk.id))
    desk.backend.answer.set()
    assert (await waiting).state == "running"
    assert (desk.row.state, desk.row.claim_until) == ("running", None)
    assert desk.runner.attempts == {}


@played
async def test_what_the_backend_is_told(db, cast):
    desk = Desk(db, cast, environment={"COURSE": "stats"})
    server = await desk.running()
    spec = desk.backend.spec(server.key)
    assert (spec.os_name, spec.user_name, spec.base_url) == ("alice", "alice", "/user/alice/")
    assert spec.secret == desk.row.secret
    assert spec.environment["COURSE"] == "stats"
    assert spec.secret not in spec.environment.values()
    assert spec.page_config["hubPrefix"] == "/hub/"
    trees = await requests.request_start(db, desk.runner, cast.alice, "trees", {"default_url": "/tree"})
    assert desk.backend.spec(trees.key).base_url == "/user/alice/trees/"
    assert desk.backend.spec(trees.key).default_url == "/tree"
    await desk.runner.settle()


@played
async def test_three_writing_transactions_for_a_start(db, cast):
    desk = Desk(db, cast)
    writing = []
    event.listen(
        db.engine, "begin", lambda c: writing.append(1) if not c.get_execution_options().get("terakoya_reads") else None
    )
    desk.backend.answer.clear()
    await requests.request_start(db, desk.runner, cast.alice)
    assert len(writing) == 2  # starting, bound: what a user waits for
    desk.backend.answer.set()
    await desk.runner.settle()
    assert len(writing) == 3


@played
async def test_clicking_start_many_times(db, cast):
    desk = Desk(db, cast)
    desk.backend.bind.clear()
    clicks = [asyncio.create_task(desk.runner.start(desk.id)) for _ in range(10)]
    await until(lambda: desk.backend.calls)
    desk.backend.bind.set()
    assert len({server.address for server in await asyncio.gather(*clicks)}) == 1
    await desk.runner.settle()
    assert (await desk.runner.start(desk.id)).state == "running"
    await desk.runner.settle()
    assert len(desk.backend.calls) == 1


@played
async def test_two_hubs_race(db, cast):
    desk = Desk(db, cast)
    other = Runner(db, desk.backend, desk.config)
    for _ in range(5):
        both = await asyncio.gather(*(runner.start(desk.id) for runner in (desk.runner, other) for _ in range(3)))
        assert len({server.address for server in both}) == 1
        assert (await other.wait_ready(desk.id)).state == "running"
        await asyncio.gather(desk.runner.stop(desk.id), other.stop(desk.id))
        assert desk.row.state == "stopped"
        await desk.runner.settle()
        await other.settle()
    assert len(desk.backend.calls) == 5
    assert desk.backend.reports == {}


@played
async def test_a_start_that_fails_says_why(db, cast):
    desk = Desk(db, cast)
    desk.backend.failing["alice"] = "your home folder is full"
    await desk.runner.start(desk.id)
    with pytest.raises(StartFailed, match="home folder is full"):
        await desk.runner.wait_ready(desk.id)
    await desk.runner.settle()
    row = desk.row
    assert (row.state, row.wish, row.reason) == ("failed", "stopped", "your home folder is full")
    await desk.round()
    assert len(desk.backend.calls) == 1
    with pytest.raises(StartFailed):
        await desk.runner.wait_ready(desk.id)
    desk.backend.failing.clear()
    assert (await desk.running()).state == "running"


@played
async def test_a_backend_with_a_bug_leaves_nothing_half_started(db, cast):
    desk = Desk(db, cast)

    async def broken(*_):
        raise ValueError("a bug")

    desk.backend.start = desk.backend.stop = broken
    with pytest.raises(ValueError, match="a bug"):
        await desk.runner.start(desk.id)
    await desk.runner.settle()
    assert (desk.row.state, desk.row.reason) == ("failed", "something in terakoya went wrong")


@played
async def test_a_start_that_hangs(db, cast):
    desk = Desk(db, cast, start_timeout=Duration(0.05))
    attempt_margin, attempt.MARGIN = attempt.MARGIN, 0.05
    try:
        desk.backend.bind.clear()
        with pytest.raises(StartFailed, match="not ready"):
            await desk.runner.start(desk.id)
    finally:
        attempt.MARGIN = attempt_margin
    assert desk.row.state == "failed"
    assert desk.backend.stops == desk.backend.calls


@played
async def test_a_caller_who_goes_away_does_not_end_the_start(db, cast):
    desk = Desk(db, cast)
    desk.backend.bind.clear()
    caller = asyncio.create_task(desk.runner.start(desk.id))
    await until(lambda: desk.backend.calls)
    caller.cancel()
    desk.backend.bind.set()
    await desk.runner.settle()
    assert desk.row.state == "running"


@played
async def test_the_line(db, cast):
    desk = Desk(db, cast, starts_at_once=1)
    desk.backend.bind.clear()
    ids = [life.get(db, user.id).id for user in (cast.alice, cast.bob, cast.hanako)]
    starts = []
    for place, server_id in enumerate(ids):
        starts.append(asyncio.create_task(desk.runner.start(server_id)))
        await until(
            lambda place=place, server_id=server_id: (
                desk.runner.place(server_id) == place and (place or desk.backend.calls)
            )
        )
    assert [desk.runner.place(server_id) for server_id in ids] == [0, 1, 2]
    events = desk.runner.progress(ids[2])
    assert (await anext(events))["message"] == "Waiting in line, place 2"
    desk.backend.bind.set()
    await asyncio.gather(*starts)
    told = [event async for event in events]
    assert told[-1]["ready"]
    assert told[-1]["url"] == "/user/hanako/"
    assert [event["progress"] for event in told] == sorted(event["progress"] for event in told)
    await desk.runner.settle()


@played
async def test_progress_of_a_failure(db, cast):
    desk = Desk(db, cast)
    desk.backend.failing["alice"] = "JupyterLab is broken"
    await desk.runner.start(desk.id)
    told = [event async for event in desk.runner.progress(desk.id)]
    assert told[-1] == {"progress": 100, "failed": True, "message": "JupyterLab is broken"}
    await desk.runner.settle()
    resting = [event async for event in desk.runner.progress(life.get(db, cast.bob.id).id)]
    assert resting == [{"progress": 100, "failed": True, "message": "The server is not running."}]


@played
async def test_a_disabled_user_starts_nothing(db, cast):
    desk = Desk(db, cast)
    users.disable(db, "alice")
    with pytest.raises(NotAllowed):
        await desk.runner.start(desk.id)
    with pytest.raises(NotAllowed):
        await requests.request_start(db, desk.runner, users.get(db, "alice"))
    assert desk.backend.calls == []
    await desk.runner.settle()


@played
async def test_a_database_that_fails_while_starting(db, cast):
    """Nothing runs without a row that knows it, and the wish is fulfilled when the database is back."""
    desk = Desk(db, cast)
    real = life.bound
    broken = [True]

    def bound(*arguments):
        if broken[0]:
            raise DatabaseUnavailable(reason="disk full")
        return real(*arguments)

    life.bound = bound
    try:
        with pytest.raises(DatabaseUnavailable):
            await desk.runner.start(desk.id)
        await desk.runner.settle()
        assert desk.backend.reports == {}
        assert desk.row.state == "failed"
        broken[0] = False
        assert (await desk.running()).state == "running"
    finally:
        life.bound = real


# -- stopping ---------------------------------------------------------------------------------------------------------


@played
async def test_stopping(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.end.clear()
    clicks = [asyncio.create_task(desk.runner.stop(desk.id)) for _ in range(5)]
    await until(lambda: desk.row.state == "stopping")
    desk.backend.end.set()
    assert {server.state for server in await asyncio.gather(*clicks)} == {"stopped"}
    assert len(desk.backend.stops) == 1
    assert (await desk.runner.stop(desk.id)).state == "stopped"
    await desk.round()
    assert (desk.row.state, desk.row.address, desk.row.secret) == ("stopped", "", "")


@pytest.mark.parametrize("gate", ["bind", "answer"])
def test_stopping_while_starting(db, cast, gate):
    @played
    async def scene(db, cast):
        desk = Desk(db, cast)
        getattr(desk.backend, gate).clear()
        starting = asyncio.create_task(desk.runner.start(desk.id))
        await until(lambda: desk.backend.calls and (gate == "bind" or desk.row.address))
        assert (await desk.runner.stop(desk.id)).state == "stopped"
        if gate == "bind":
            with pytest.raises(StartFailed, match="stopped meanwhile"):
                await starting
        else:
            await starting
        assert desk.backend.reports == {}
        getattr(desk.backend, gate).set()
        await desk.round()
        assert desk.row.state == "stopped"
        assert (await desk.running()).state == "running"

    scene(db, cast)


@played
async def test_stopping_one_that_waits_in_line(db, cast):
    desk = Desk(db, cast, starts_at_once=1)
    desk.backend.bind.clear()
    first = asyncio.create_task(desk.runner.start(life.get(db, cast.bob.id).id))
    await until(lambda: desk.backend.calls)
    waiting = asyncio.create_task(desk.runner.start(desk.id))
    await until(lambda: desk.runner.place(desk.id) == 1)
    await desk.runner.stop(desk.id)
    with pytest.raises(StartFailed):
        await waiting
    desk.backend.bind.set()
    await first
    await desk.runner.settle()
    assert len(desk.backend.calls) == 1


@played
async def test_starting_while_stopping_waits_for_its_end(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.end.clear()
    stopping = asyncio.create_task(desk.runner.stop(desk.id))
    await until(lambda: desk.row.state == "stopping")
    starting = asyncio.create_task(desk.runner.start(desk.id))
    desk.backend.end.set()
    await stopping
    assert (await starting).address
    await desk.runner.settle()
    assert desk.row.state == "running"
    assert len(desk.backend.calls) == 2


@played
async def test_the_last_click_counts(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.end.clear()
    clicks = [asyncio.create_task(desk.runner.stop(desk.id))]
    await until(lambda: desk.row.state == "stopping")
    again = asyncio.create_task(desk.runner.start(desk.id))
    await until(lambda: desk.runner.attempts)
    attempt = desk.runner.attempts[desk.id]
    clicks.append(asyncio.create_task(desk.runner.stop(desk.id)))
    await until(lambda: attempt.unwanted)
    desk.backend.end.set()
    await asyncio.gather(*clicks)
    with pytest.raises(StartFailed):
        await again
    await desk.round()
    assert (desk.row.state, desk.row.wish) == ("stopped", "stopped")
    assert desk.backend.reports == {}


@played
async def test_a_stop_without_a_launcher_is_done_later(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.away = True
    with pytest.raises(LauncherUnavailable):
        await desk.runner.stop(desk.id)
    assert desk.row.state == "stopping"
    desk.backend.away = False
    await desk.round()
    assert desk.row.state == "stopped"
    assert desk.backend.reports == {}


# -- the loop ---------------------------------------------------------------------------------------------------------


@played
async def test_without_a_launcher_nothing_changes(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.away = True
    for _ in range(3):
        with pytest.raises(LauncherUnavailable):
            await desk.runner.reconcile()
    assert desk.row.state == "running"
    desk.backend.away = False
    await desk.round()
    assert desk.row.state == "running"


@played
async def test_a_launcher_that_hangs_is_away(db, cast):
    from terakoya.servers import reconcile

    desk = Desk(db, cast)
    await desk.running()

    async def never():
        await asyncio.Event().wait()

    desk.backend.list = never
    reconcile.LIST_SECONDS, usual = 0.05, reconcile.LIST_SECONDS
    try:
        with pytest.raises(LauncherUnavailable):
            await desk.runner.reconcile()
    finally:
        reconcile.LIST_SECONDS = usual
    assert desk.row.state == "running"


@played
async def test_a_launcher_that_dies_during_a_start(db, cast):
    desk = Desk(db, cast)
    desk.backend.bind.clear()
    starting = asyncio.create_task(desk.runner.start(desk.id))
    await until(lambda: desk.backend.calls)
    desk.backend.away = True
    desk.backend.bind.set()
    await until(lambda: not desk.backend.reports)
    desk.backend.away = False
    assert (await starting).address
    await desk.runner.settle()
    assert desk.row.state == "running"
    assert len(set(desk.backend.calls)) == 1  # the same key: it can't run twice


@played
async def test_a_launcher_that_stays_away_fails_the_start(db, cast):
    desk = Desk(db, cast)
    desk.backend.away = True
    patience, attempt.LAUNCHER_PATIENCE = attempt.LAUNCHER_PATIENCE, 0.3
    try:
        with pytest.raises(LauncherUnavailable):
            await desk.runner.start(desk.id)
    finally:
        attempt.LAUNCHER_PATIENCE = patience
    assert desk.row.state == "failed"
    assert "does not answer" in desk.row.reason


@played
async def test_one_that_ended_by_itself(db, cast):
    desk = Desk(db, cast)
    server = await desk.running()
    desk.backend.exit(server.key, "it ran out of memory", "Killed")
    await desk.round()
    row = desk.row
    assert (row.state, row.reason, row.detail, row.wish) == ("failed", "it ran out of memory", "Killed", "stopped")
    assert desk.backend.reports == {}


@played
async def test_one_that_is_gone_is_believed_the_second_time(db, cast):
    desk = Desk(db, cast)
    server = await desk.running()
    hidden = desk.backend.reports.pop(server.key)
    await desk.round()
    assert desk.row.state == "running"
    desk.backend.reports[server.key] = hidden
    await desk.round()
    desk.backend.reports.clear()
    await desk.round()
    assert desk.row.state == "running"
    await desk.round()
    assert desk.row.state == "failed"
    assert "restarted" in desk.row.reason


@played
async def test_a_new_hub_takes_over_what_runs(db, cast):
    desk = Desk(db, cast)
    server = await desk.running()
    after = Desk(db, cast, desk.backend)
    await after.round()
    assert (desk.row.state, desk.row.key, desk.row.secret) == ("running", server.key, server.secret)
    assert len(desk.backend.calls) == 1


@pytest.mark.parametrize("gate", ["bind", "answer"])
def test_a_new_hub_carries_on_with_a_start(db, cast, gate):
    @played
    async def scene(db, cast):
        desk = Desk(db, cast)
        getattr(desk.backend, gate).clear()
        asyncio.create_task(desk.runner.start(desk.id)).add_done_callback(lambda task: task.exception())
        await until(lambda: desk.backend.calls and (gate == "bind" or desk.row.address))
        await desk.runner.close()  # the hub is killed
        assert desk.row.state == "starting"
        getattr(desk.backend, gate).set()
        after = Desk(db, cast, desk.backend)
        await after.runner.reconcile()
        assert len(desk.backend.calls) == 1  # the claim still holds
        after.lapse()
        await after.round()
        assert desk.row.state == "running"
        assert len(set(desk.backend.calls)) == 1
        assert [report.status for report in desk.backend.reports.values()] == ["running"]

    scene(db, cast)


@played
async def test_a_click_at_a_new_hub_does_not_keep_a_lost_start_from_going_on(db, cast):
    """Whoever clicks meanwhile looks on at a start that nobody works on: it is taken over all the same."""
    lost = Desk(db, cast)
    lost.backend.bind.clear()
    asyncio.create_task(lost.runner.start(lost.id)).add_done_callback(lambda task: task.exception())
    await until(lambda: lost.backend.calls)
    await lost.runner.close()  # the hub is killed
    lost.backend.bind.set()
    after = Desk(db, cast, lost.backend)
    click = asyncio.create_task(after.runner.start(after.id))
    await until(lambda: after.runner.attempts)
    await after.runner.reconcile()
    assert not click.done()  # the claim still holds
    after.lapse()
    await after.round()
    assert (await click).address
    assert after.row.state == "running"
    assert len(set(after.backend.calls)) == 1


@played
async def test_a_click_at_a_new_hub_does_not_keep_a_lost_stop_from_its_end(db, cast):
    lost = Desk(db, cast)
    await lost.running()
    lost.backend.end.clear()
    asyncio.create_task(lost.runner.stop(lost.id)).add_done_callback(lambda task: task.cancelled())
    await until(lambda: lost.backend.stops)
    await lost.runner.close()
    lost.backend.end.set()
    after = Desk(db, cast, lost.backend)
    click = asyncio.create_task(after.runner.start(after.id))
    await until(lambda: after.runner.attempts)
    after.lapse()
    await after.round()
    assert (await click).address
    assert after.row.state == "running"


@played
async def test_a_new_hub_finishes_a_stop(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    desk.backend.end.clear()
    asyncio.create_task(desk.runner.stop(desk.id)).add_done_callback(lambda task: task.cancelled())
    await until(lambda: desk.backend.stops)
    await desk.runner.close()
    assert desk.row.state == "stopping"
    desk.backend.end.set()
    after = Desk(db, cast, desk.backend)
    after.lapse()
    await after.round()
    assert desk.row.state == "stopped"


@played
async def test_a_wish_written_by_the_command_line(db, cast):
    desk = Desk(db, cast)
    await requests.request_start(db, None, cast.alice)
    await desk.round()
    await desk.round()
    assert desk.row.state == "running"
    await requests.request_stop(db, None, cast.alice)
    await desk.round()
    assert desk.row.state == "stopped"


@played
async def test_disabling_a_user_stops_their_servers(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    await requests.request_disable(db, desk.runner, "alice", "taro")
    await desk.round()
    assert desk.row.state == "stopped"
    users.enable(db, "alice")
    await desk.round()
    assert desk.row.state == "stopped"


@played
async def test_removing_a_user_ends_what_ran(db, cast):
    desk = Desk(db, cast)
    await desk.running()
    await requests.request_remove_user(db, desk.runner, "alice", "taro")
    await desk.round()
    assert desk.backend.reports == {}


@played
async def test_strays_are_ended_but_never_a_start_under_way(db, cast):
    desk = Desk(db, cast)
    server = await desk.running()
    desk.backend.reports["9-9-feed"] = dataclasses.replace(desk.backend.reports[server.key], key="9-9-feed")
    await desk.round()
    assert list(desk.backend.reports) == [server.key]
    desk.backend.answer.clear()
    other = await desk.runner.start(life.get(db, cast.bob.id).id)
    await desk.runner.reconcile()
    desk.backend.answer.set()
    await desk.runner.settle()
    assert set(desk.backend.reports) == {server.key, other.key}


@played
async def test_a_long_start_keeps_its_claim(db, cast):
    desk = Desk(db, cast)
    desk.backend.answer.clear()
    await desk.runner.start(desk.id)
    desk.lapse()
    await desk.runner.reconcile()
    assert not life.take_over(db, desk.row)
    desk.backend.answer.set()
    await desk.runner.settle()


@played
async def test_the_loop_survives_what_goes_wrong(db, cast):
    desk = Desk(db, cast)
    life.want(db, desk.id, "running")
    rounds = []

    async def listed(list_really=desk.backend.list):
        rounds.append(1)
        if len(rounds) == 1:
            raise LauncherUnavailable
        if len(rounds) == 2:
            raise ValueError("a bug")
        return await list_really()

    desk.backend.list = listed
    loop = asyncio.create_task(desk.runner.run())
    for number in range(1, 4):
        desk.runner.wake()
        await until(lambda number=number: len(rounds) >= number)
    await until(lambda: desk.row.state == "running")
    loop.cancel()
    await asyncio.wait([loop])
