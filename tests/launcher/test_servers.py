"""Starting and stopping real servers of real users, and what happens when parts are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from terakoya.errors import LauncherUnavailable
from terakoya.launcher.client import LauncherRefusedError
from tests.launcher.stage import SECRET, Stage, alive, of_user, until, until_async
from tests.osusers import OsUser, OsUsers

pytestmark = pytest.mark.anyio


async def status(server: dict[str, Any], user: OsUser) -> int:
    url = f"http://{server['address']}/user/{user.name}/api/status"
    async with httpx.AsyncClient() as http:
        return (await http.get(url, headers={"Authorization": f"token {SECRET}"})).status_code


def configure(user: OsUser, text: str) -> None:
    """What the user's own Jupyter configuration does while the server starts."""
    folder = user.home / ".jupyter"
    folder.mkdir(exist_ok=True)
    (folder / "jupyter_server_config.py").write_text(text)
    os.chown(folder, user.uid, user.gid)


async def ready_fork_server(stage: Stage) -> None:
    async def ready() -> bool:
        return (await stage.client.ping())["fork_server"] == "ready"

    await until_async(ready)


async def fork_server_pid(stage: Stage) -> int:
    await ready_fork_server(stage)
    return int(json.loads((stage.folder / "forkserver.json").read_text())["pid"])


async def test_start_use_stop(stage: Stage, alice: OsUser) -> None:
    bound, ready = await stage.start("start-use-stop", alice)
    assert bound["event"] == "bound"
    assert bound["address"] == f"127.0.0.1:{bound['port']}"
    assert ready == {"event": "ready"}
    server = await stage.one("start-use-stop")
    assert (server["os_name"], server["pid"], server["status"]) == (alice.name, bound["pid"], "running")
    assert await status(server, alice) == 200
    assert server["pid"] in of_user(alice.uid)
    usage = (await stage.one("start-use-stop"))["usage"]
    assert 0 < usage["cpu_seconds"] < 60
    assert 1_000_000 < usage["memory_bytes"] < 500_000_000
    assert usage["processes"] >= 1
    log = stage.folder / "logs" / f"{alice.name}-default.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    keeper = stage.folder / "servers/start-use-stop/keeper.json"
    assert stat.S_IMODE(keeper.stat().st_mode) == 0o600
    assert SECRET not in keeper.read_text() + stage.log + log.read_text()
    await stage.client.stop("start-use-stop", 10)
    assert await stage.client.list() == []
    assert of_user(alice.uid) == []
    assert not keeper.parent.exists()
    assert await stage.client.stop("start-use-stop", 10) == {"event": "stopped", "code": None}


async def test_a_named_server_has_its_own_log_and_one_earlier_is_kept(stage: Stage, alice: OsUser) -> None:
    for key in ("named-1", "named-2"):
        await stage.start(key, alice, base_url=f"/user/{alice.name}/second/")
        await stage.client.stop(key, 10)
    logs = stage.folder / "logs"
    assert {path.name for path in logs.glob(f"{alice.name}-second*")} == {
        f"{alice.name}-second.log",
        f"{alice.name}-second.log.1",
    }


async def test_a_key_is_started_once(stage: Stage, alice: OsUser, bob: OsUser) -> None:
    starts = await asyncio.gather(*(stage.start("once", alice) for _ in range(5)))
    assert all(events == starts[0] for events in starts)
    assert len(await stage.client.list()) == 1
    assert await stage.start("once", alice) == starts[0]
    with pytest.raises(LauncherRefusedError, match="key_taken"):
        await stage.start("once", bob)
    stops = await asyncio.gather(*(stage.client.stop("once", 10) for _ in range(5)))
    assert all(answer == stops[0] for answer in stops)
    assert of_user(alice.uid) == []


@pytest.mark.parametrize("name", ["root", "daemon", "nobody", "nosuchuser", "../root", ""])
async def test_accounts_that_get_no_server(stage: Stage, name: str) -> None:
    user = OsUser(name, "", 0, 0, Path("/"))
    with pytest.raises(LauncherRefusedError, match=r"no_account|bad_request"):
        await stage.start("not-for-you", user, base_url="/user/x/")
    assert await stage.client.list() == []


async def test_the_port_of_a_server_that_ended_is_nobody_elses(stage: Stage, alice: OsUser) -> None:
    """Not before the server was stopped for good: until then requests may still be sent there."""
    bound, _ = await stage.start("port", alice)
    os.kill(bound["pid"], signal.SIGKILL)

    async def exited() -> bool:
        return bool((await stage.one("port"))["status"] == "exited")

    await until_async(exited)
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", bound["port"]))
        await stage.client.stop("port")
        other.bind(("127.0.0.1", bound["port"]))


async def test_a_log_that_grows_without_end(stage: Stage, os_users: OsUsers) -> None:
    user = os_users.make("prints")
    configure(user, "import subprocess\nsubprocess.Popen(['yes'])\n")
    await stage.start("prints", user)
    log = stage.folder / f"logs/{user.name}-default.log"
    sizes = [0]

    async def begun_again() -> bool:
        sizes.append(log.stat().st_size)
        return sizes[-1] < sizes[-2]

    await until_async(begun_again)
    await stage.client.stop("prints", 0)


async def test_a_server_that_ignores_sigterm(stage: Stage, alice: OsUser) -> None:
    bound, _ = await stage.start("deaf", alice)
    os.kill(bound["pid"], signal.SIGSTOP)
    started = time.monotonic()
    await stage.client.stop("deaf", 0.5)
    assert 0.5 <= time.monotonic() - started < 6
    assert of_user(alice.uid) == []


async def test_what_a_server_left_behind_ends_with_it(stage: Stage, os_users: OsUsers) -> None:
    user = os_users.make("leaves")
    left = "import os, subprocess\nsubprocess.Popen(['setsid', '-f', 'sleep', '1000'])\n"
    configure(user, left)
    bound, _ = await stage.start("leaves", user)
    assert len(until(lambda: of_user(user.uid))) >= 2
    os.kill(bound["pid"], signal.SIGKILL)

    async def exited() -> bool:
        return bool((await stage.one("leaves"))["status"] == "exited")

    await until_async(exited)
    server = await stage.one("leaves")
    assert server["reason"] == "It was ended by SIGKILL."
    assert server["detail"]
    assert of_user(user.uid) == []
    await stage.client.stop("leaves")
    assert await stage.client.list() == []


async def test_a_server_that_exits_at_once(stage: Stage, os_users: OsUsers) -> None:
    user = os_users.make("exits")
    configure(user, "import os\nprint('cannot go on', flush=True)\nos._exit(3)\n")
    failed = (await stage.start("exits", user))[-1]
    assert failed["event"] == "failed"
    assert "cannot go on" in failed["detail"]
    assert (await stage.one("exits"))["reason"] == failed["reason"]
    assert of_user(user.uid) == []
    await stage.client.stop("exits")


async def test_a_server_that_hangs_in_its_start(stage: Stage, os_users: OsUsers) -> None:
    user = os_users.make("hangs")
    configure(user, "import time\ntime.sleep(1000)\n")
    failed = (await stage.start("hangs", user, timeout=1.5))[-1]
    assert failed["event"] == "failed"
    assert failed["reason"] == "It was not ready after 1.5 seconds."
    assert of_user(user.uid) == []
    await stage.client.stop("hangs")


async def test_a_start_that_is_stopped(stage: Stage, os_users: OsUsers) -> None:
    user = os_users.make("stops")
    configure(user, "import time\ntime.sleep(1000)\n")
    events = stage.client.start(key="stops", os_name=user.name, user_name="u", base_url="/user/u/", secret=SECRET)
    assert (await anext(events))["event"] == "bound"
    await stage.client.stop("stops", 1)
    assert (await anext(events))["event"] == "failed"
    assert of_user(user.uid) == []
    assert await stage.client.list() == []


async def test_who_asked_for_a_start_may_go_away(stage: Stage, alice: OsUser) -> None:
    events = stage.client.start(
        key="away", os_name=alice.name, user_name="u", base_url=f"/user/{alice.name}/", secret=SECRET
    )
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]

    async def running() -> bool:
        return bool((await stage.one("away"))["status"] == "running")

    await until_async(running)
    await stage.client.stop("away")


async def test_a_killed_launcher_finds_servers_again(own_stage: Stage, os_users: OsUsers) -> None:
    stage, user, other = own_stage, os_users.make("found"), os_users.make("ended")
    bound, _ = await stage.start("found", user)
    ended, _ = await stage.start("ended", other)
    before = await stage.one("found")
    stage.kill()
    assert await status(before, user) == 200
    os.kill(ended["pid"], signal.SIGKILL)
    until(lambda: not of_user(other.uid))
    await asyncio.to_thread(stage.up)
    after = await stage.one("found")
    assert {**after, "usage": 0} == {**before, "usage": 0}
    assert await status(after, user) == 200
    assert after["usage"]["processes"] >= 1

    async def exited() -> bool:
        return bool((await stage.one("ended"))["status"] == "exited")

    await until_async(exited)
    assert (await stage.one("ended"))["reason"] == "It was ended by SIGKILL."
    await stage.client.stop("found", 10)
    assert not alive(bound["pid"])
    assert of_user(user.uid) == []


async def test_a_launcher_killed_during_a_start(own_stage: Stage, os_users: OsUsers) -> None:
    """Whatever it had come to: the next launcher knows it and it becomes ready, or nothing of it is left.

    In either case the same start can be asked for again.
    """
    stage, users = own_stage, [os_users.make(f"cut{number}") for number in range(4)]
    await ready_fork_server(stage)
    for number, user in enumerate(users):
        start = asyncio.create_task(stage.start(f"cut-{number}", user))
        record = stage.folder / f"servers/cut-{number}/keeper.json"
        await until_async(lambda record=record: asyncio.sleep(0, record.exists()))
        await asyncio.sleep(0.01 * number**2)  # four places to be cut at, not a wait for something
        stage.kill()
        await asyncio.gather(start, return_exceptions=True)
        await asyncio.to_thread(stage.up)

        if not await stage.client.list():
            assert of_user(user.uid) == []
        assert (await stage.start(f"cut-{number}", user))[-1] == {"event": "ready"}
        assert await status(await stage.one(f"cut-{number}"), user) == 200
        await stage.client.stop(f"cut-{number}", 5)
        assert of_user(user.uid) == []


async def test_a_launcher_that_is_told_to_end_leaves_servers(own_stage: Stage, os_users: OsUsers) -> None:
    stage, user, slow = own_stage, os_users.make("leave"), os_users.make("slow")
    configure(slow, "import time\ntime.sleep(1.5)\n")
    await stage.start("leave", user)
    before = await stage.one("leave")
    start = stage.client.start(
        key="slow", os_name=slow.name, user_name="u", base_url=f"/user/{slow.name}/", secret=SECRET
    )
    await anext(start)
    stage.kill(signal.SIGTERM)
    with pytest.raises(LauncherUnavailable):
        await anext(start)
    assert await status(before, user) == 200
    await asyncio.to_thread(stage.up)
    assert (await stage.one("leave"))["pid"] == before["pid"]
    assert (await stage.start("slow", slow))[-1] == {"event": "ready"}
    assert await status(await stage.one("slow"), slow) == 200


async def test_a_killed_fork_server_comes_back(own_stage: Stage, os_users: OsUsers) -> None:
    stage, user, other = own_stage, os_users.make("stays"), os_users.make("waits")
    await stage.start("stays", user)
    pid = await fork_server_pid(stage)
    os.kill(pid, signal.SIGKILL)
    assert (await stage.start("waits", other))[-1] == {"event": "ready"}
    assert await fork_server_pid(stage) != pid
    assert await status(await stage.one("stays"), user) == 200


async def test_a_fork_server_killed_during_starts(own_stage: Stage, os_users: OsUsers) -> None:
    stage, users = own_stage, [os_users.make(f"mid{number}") for number in range(3)]
    pid = await fork_server_pid(stage)
    starts = [asyncio.create_task(stage.start(f"mid-{user.name}", user)) for user in users]
    await until_async(lambda: asyncio.sleep(0, any((stage.folder / "servers").iterdir())))
    os.kill(pid, signal.SIGKILL)
    for events in await asyncio.gather(*starts):
        assert events[-1] == {"event": "ready"}


async def test_a_killed_keeper_does_not_end_its_server(own_stage: Stage, os_users: OsUsers) -> None:
    stage, user = own_stage, os_users.make("kept")
    assert (await stage.start("kept", user))[-1] == {"event": "ready"}
    keeper = json.loads((stage.folder / "servers/kept/keeper.json").read_text())["keeper"]["pid"]
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not alive(keeper))
    assert (await stage.one("kept"))["status"] == "running"
    assert await status(await stage.one("kept"), user) == 200
    await stage.client.stop("kept", 10)
    assert of_user(user.uid) == []


async def test_a_broken_environment_is_told(os_users: OsUsers, open_folder: Path) -> None:
    broken = open_folder / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    stage = Stage(open_folder, python=str(broken))
    try:
        await asyncio.to_thread(stage.up)

        async def failed() -> bool:
            return str((await stage.client.ping())["fork_server"]).startswith("failed: ")

        await until_async(failed)
        events = await stage.start("broken", os_users.make("broken"))
        assert [event["event"] for event in events] == ["failed"]
        assert events[0]["reason"] == "Notebook servers can't be started here."
    finally:
        await asyncio.to_thread(stage.down)


async def test_without_cgroups_everything_still_ends(own_stage: Stage, os_users: OsUsers) -> None:
    """As on a machine where none can be written: the record is made to say so."""
    stage, user = own_stage, os_users.make("bare")
    left = "import os, subprocess\nsubprocess.Popen(['setsid', '-f', 'sleep', '1000'])\n"
    configure(user, left)
    await stage.start("bare", user)
    stage.kill()
    path = stage.folder / "servers/bare/keeper.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"group": []}))
    os.kill(record["keeper"]["pid"], signal.SIGKILL)
    await asyncio.to_thread(stage.up)
    usage = (await stage.one("bare"))["usage"]
    assert usage["memory_bytes"] > 1_000_000
    assert usage["cpu_seconds"] > 0
    await stage.client.stop("bare", 5)
    assert of_user(user.uid) == []
    for folder in record["group"]:
        os.rmdir(folder)  # noqa: PTH106 nothing waits


async def test_as_oneself(personal_stage: tuple[Stage, OsUser], os_users: OsUsers) -> None:
    """Without root: servers run as whoever runs the launcher, and as nobody else."""
    (stage, alice), bob = personal_stage, os_users.make("bob")
    assert (await stage.start("mine", alice))[-1] == {"event": "ready"}
    assert await status(await stage.one("mine"), alice) == 200
    assert (await stage.one("mine"))["usage"]["memory_bytes"] > 1_000_000
    for name in (bob.name, "root"):
        with pytest.raises(LauncherRefusedError, match="no_account"):
            await stage.start("not-mine", OsUser(name, "", 0, 0, Path("/")))
    await stage.client.stop("mine", 10)
