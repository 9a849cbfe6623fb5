"""`terakoya up` for real: all processes, PAM, JupyterLab; each part dies and comes back, servers outlive everything."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.osusers import OsUser, OsUsers, module_os_users  # noqa: F401 a fixture
from tests.running import PARTS, House, answers, house, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make accounts")


@pytest.fixture(scope="module")
def alice(module_os_users: OsUsers) -> OsUser:  # noqa: F811
    return module_os_users.make("alice")


@pytest.fixture(scope="module")
def school(alice: OsUser) -> Iterator[House]:
    """Root's terakoya, with alice as its administrator."""
    with house() as made:
        made.up()
        with made.client() as browser:
            code = made.link.partition("code=")[2]
            page = browser.post("/hub/welcome", data={"code": code})
            assert page.status_code == 200, page.text
            code = page.text.partition('name="code" value="')[2].partition('"')[0]
            answer = {"code": code, "admin": alice.name, "who": "everybody"}
            assert browser.post("/hub/welcome/finish", data=answer).status_code == 200
        yield made


@pytest.fixture
def browser(school: House, alice: OsUser) -> Iterator[httpx.Client]:
    """Alice, signed in, with her server running."""
    with school.client() as client:
        data = {"username": alice.name, "password": alice.password}
        assert client.post("/hub/login", data=data).status_code == 200  # which starts her server, too
        until(lambda: answers(client, alice.name), "her server answers")
        yield client


def server_pid(school: House, name: str) -> int:
    """The process of the only server of an account."""
    records = [
        json.loads(path.read_text(encoding="utf-8")) for path in (school.place / "run/servers").glob("*/keeper.json")
    ]
    found = [int(record["server"]["pid"]) for record in records if record["os_name"] == name]
    assert len(found) == 1
    return found[0]


def test_a_user_signs_in_and_works(school: House, browser: httpx.Client, alice: OsUser) -> None:
    page = browser.get(f"/user/{alice.name}/lab")
    assert "JupyterLab" in page.text
    assert Path(f"/proc/{server_pid(school, alice.name)}").stat().st_uid == alice.uid
    assert school.json("status")["servers"] == 1
    assert [server["user"] for server in school.json("server", "list")] == [alice.name]


def test_only_the_launcher_is_root(school: House) -> None:
    owners = {name: Path(f"/proc/{school.pid(name)}").owner() for name in PARTS}
    assert owners == {"launcher": "root", "gate": "terakoya", "hub": "terakoya", "edge": "terakoya"}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_comes_back(school: House, browser: httpx.Client, alice: OsUser, name: str) -> None:
    before, server = school.pid(name), server_pid(school, alice.name)
    assert before
    os.kill(before, signal.SIGKILL)
    until(lambda: school.pid(name) not in {before, None}, f"the {name} is started again", 10)
    until(school.healthy, "everything answers again", 15)
    until(lambda: answers(browser, alice.name), "alice's server answers again", 15)
    assert server_pid(school, alice.name) == server
    assert f"The {name} ended (signal SIGKILL)" in school.console
    assert school.json("status")["servers"] == 1


def test_a_second_one_is_refused(school: House) -> None:
    done = school.run("up")
    assert done.returncode == 1
    assert f"already running here (process {school.runs[-1].pid})" in done.stderr


def test_the_port_is_taken(school: House) -> None:
    with house() as other:
        text = other.settings.read_text(encoding="utf-8")
        other.settings.write_text(text.replace(str(other.port), str(school.port)), encoding="utf-8")
        done = other.run("up")
    assert done.returncode == 1
    assert f"already listens on 127.0.0.1:{school.port}" in done.stderr
    assert "envoy" in done.stderr


def test_a_database_of_a_newer_version_is_left_alone() -> None:
    with house() as other:
        assert other.json("user", "list") == []
        with closing(sqlite3.connect(other.place / "state/terakoya.sqlite")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        done = other.run("up")
        assert done.returncode == 1
        assert "from a newer terakoya (revision 9999)" in done.stderr
        assert "is running" not in other.console


def test_a_mistake_in_the_settings_is_told_before_anything_starts() -> None:
    with house() as other:
        right = other.settings.read_text(encoding="utf-8")
        other.settings.write_text(right + "[srevers]\n", encoding="utf-8")
        done = other.run("up")
        assert done.returncode == 1
        assert 'there is no setting "srevers"' in done.stderr
        assert not (other.place / "state").exists()
        other.settings.write_text(right, encoding="utf-8")


def test_servers_are_started_and_stopped_by_command(school: House, browser: httpx.Client, alice: OsUser) -> None:
    assert school.json("server", "stop", alice.name)["state"] == "stopped"
    assert not answers(browser, alice.name)
    assert school.json("server", "start", alice.name)["state"] == "running"
    until(lambda: answers(browser, alice.name), "her server answers")


def test_settings_change_while_running(school: House) -> None:
    before = school.settings.read_text(encoding="utf-8")
    school.settings.write_text(f'[site]\ntitle = "A new name"\n{before}', encoding="utf-8")
    hub = school.pid("hub")
    school.runs[-1].send_signal(signal.SIGHUP)
    try:
        with school.client() as client:
            until(lambda: "A new name" in client.get("/hub/login").text, "the new title shows", 15)
        assert school.pid("hub") == hub
        school.settings.write_text(before + "[sites]\n", encoding="utf-8")
        school.runs[-1].send_signal(signal.SIGHUP)
        until(lambda: "Settings not changed" in school.console, "the mistake is told", 15)
        assert school.healthy()
    finally:
        school.settings.write_text(before, encoding="utf-8")
        school.runs[-1].send_signal(signal.SIGHUP)


def test_doctor_is_content(school: House, browser: httpx.Client) -> None:
    findings = {row["check"]: row for row in school.json("doctor")}
    wrong = {name: row for name, row in findings.items() if row["state"] == "fail"}
    assert not wrong
    assert findings["Hub"]["cause"] == f"it answers at {school.url}"
    assert findings["Gate"]["cause"] == "it answers"
    assert findings["Servers"]["cause"] == "1 running, as the database says"
    assert findings["Launcher"]["cause"].startswith("root; ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_servers_outlive_terakoya(school: House, browser: httpx.Client, alice: OsUser, number: int) -> None:
    server, parts = server_pid(school, alice.name), [school.pid(name) for name in PARTS]
    code = school.end(number)
    assert code == (0 if number == signal.SIGINT else -signal.SIGKILL)
    for pid in parts:
        assert pid
        until(lambda pid=pid: ended(pid), "the parts end with the supervisor", 15)
    if number == signal.SIGINT:
        assert "1 user's notebook server still runs" in school.console
    assert not ended(server)
    school.up()
    until(lambda: answers(browser, alice.name), "her server answers again")
    assert server_pid(school, alice.name) == server


def ended(pid: int) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(fd)


def test_down_stops_servers_with_and_without_a_supervisor(school: House, browser: httpx.Client, alice: OsUser) -> None:
    first = server_pid(school, alice.name)
    assert school.json("down") == {"supervisor": True, "servers": 1, "left": 0}
    assert school.runs[-1].wait(30) == 0
    assert ended(first)
    school.up()
    assert school.json("server", "list") == []
    assert school.json("server", "start", alice.name)["state"] == "running"
    second = server_pid(school, alice.name)
    assert school.json("down", "--keep-servers") == {"supervisor": True, "servers": 0, "left": 0}
    assert not ended(second)
    assert school.json("down") == {"supervisor": False, "servers": 1, "left": 0}
    assert ended(second)
    school.up()
    assert school.json("server", "list") == []


def test_an_ordinary_user_has_one_for_herself(alice: OsUser) -> None:
    with house(alice) as desk:
        desk.up()
        with desk.client() as client:
            assert client.post("/hub/welcome", data={"code": desk.link.partition("code=")[2]}).status_code == 200
            assert desk.json("server", "start", alice.name)["state"] == "running"
            until(lambda: answers(client, alice.name), "her server answers")
            assert "JupyterLab" in client.get(f"/user/{alice.name}/lab").text
            assert {Path(f"/proc/{desk.pid(name)}").stat().st_uid for name in PARTS} == {alice.uid}
            os.kill(desk.pid("launcher") or 0, signal.SIGKILL)
            until(lambda: "The launcher is back" in desk.console, "the launcher is started again")
            until(lambda: answers(client, alice.name), "her server still answers")
        assert desk.end() == 0
        assert "1 user's notebook server still runs" in desk.console
