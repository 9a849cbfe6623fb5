"""Starting and stopping through the API."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from terakoya.servers import life
from terakoya.web.api import servers as endpoints


def events(answer):
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) for line in lines]


@pytest.fixture
def slow(place, monkeypatch):
    """Starts wait for `go.set()`."""
    go, begun = threading.Event(), threading.Event()
    begin = place.backend.start

    async def start(spec, on_bound):
        import asyncio

        begun.set()
        await asyncio.to_thread(go.wait, 20)
        return await begin(spec, on_bound)

    monkeypatch.setattr(place.backend, "start", start)
    yield go, begun
    go.set()


def test_a_server_from_start_to_stop(place, alice):
    assert place.ask("POST", "/users/alice/server", alice.key).status_code == 201
    user = place.ask("GET", "/users/alice", alice.key).json()
    assert user["server"] == "/user/alice/"
    server = user["servers"][""]
    assert server["ready"]
    assert server["pending"] is None
    assert not server["stopped"]
    assert server["full_url"] == "http://localhost:8000/user/alice/"
    assert server["progress_url"] == "/hub/api/users/alice/server/progress"
    assert server["started"].endswith("Z")
    again = place.ask("POST", "/users/alice/server", alice.key)
    assert again.status_code == 400
    assert again.json()["code"] == "ServerAlreadyRunning"
    ready = events(place.ask("GET", "/users/alice/server/progress", alice.key))
    assert ready[-1]["ready"] is True
    assert ready[-1]["url"] == "/user/alice/"
    assert place.ask("DELETE", "/users/alice/server", alice.key).status_code == 204
    assert place.ask("DELETE", "/users/alice/server", alice.key).status_code == 204
    assert place.ask("GET", "/users/alice", alice.key).json()["servers"] == {}
    stopped = place.ask("GET", "/users/alice?include_stopped_servers=1", alice.key).json()["servers"][""]
    assert stopped["stopped"]
    assert not stopped["ready"]
    assert place.ask("GET", "/users/alice/server/progress", alice.key).status_code == 400


def test_named_servers(place, alice):
    assert place.ask("POST", "/users/alice/servers/gpu", alice.key, json={}).status_code == 201
    assert place.ask("POST", "/users/alice/servers/two", alice.key).status_code == 201
    full = place.ask("POST", "/users/alice/servers/three", alice.key)
    assert (full.status_code, full.json()["code"]) == (400, "TooManyServers")
    servers = place.ask("GET", "/users/alice", alice.key).json()["servers"]
    assert servers["gpu"]["url"] == "/user/alice/gpu/"
    assert servers["gpu"]["full_name"] == "alice/gpu"
    assert place.ask("DELETE", "/users/alice/servers/gpu", alice.key, json={"remove": True}).status_code == 204
    assert place.ask("GET", "/users/alice/servers/gpu", alice.key).status_code == 404
    assert place.ask("DELETE", "/users/alice/server", alice.key, json={"remove": True}).status_code == 400
    assert place.ask("POST", "/users/alice/servers/", alice.key).status_code == 201
    assert place.ask("GET", "/users/alice/servers/", alice.key).json()["name"] == ""


def test_options_are_kept(place, alice):
    tree = {"user_options": {"default_url": "/tree"}}
    assert place.ask("POST", "/users/alice/server", alice.key, json=tree).status_code == 201
    server = place.ask("GET", "/users/alice/server", alice.key).json()
    assert server["user_options"] == {"default_url": "/tree"}
    assert place.ask("POST", "/users/alice/servers/x", alice.key, json={"profile": "gpu"}).status_code == 400


def test_a_second_click_while_it_starts(place, alice, slow):
    go, begun = slow
    with ThreadPoolExecutor(1) as other:
        first = other.submit(place.ask, "POST", "/users/alice/server", alice.key)
        assert begun.wait(10)
        assert place.ask("POST", "/users/alice/server", alice.key).status_code == 202
        assert place.ask("GET", "/users/alice", alice.key).json()["pending"] == "spawn"
        with place.client.stream("GET", "/hub/api/users/alice/server/progress", headers=alice.key) as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert json.loads(next(lines)[6:])["progress"] < 100
            go.set()
            last = [json.loads(line[6:]) for line in lines][-1]
        assert last["ready"] is True
        assert first.result(10).status_code == 201


def test_ten_clicks_at_once_start_one(place, alice):
    with ThreadPoolExecutor(10) as clicks:
        answers = list(clicks.map(lambda _: place.ask("POST", "/users/alice/server", alice.key).status_code, range(10)))
    assert set(answers) <= {201, 202, 400}
    assert 201 in answers
    assert place.ask("GET", "/users/alice", alice.key).json()["servers"][""]["ready"]
    assert len(place.backend.started) == 1


def test_what_takes_long_goes_on(place, alice, slow, monkeypatch):
    monkeypatch.setattr(endpoints, "PATIENCE", 0.1)
    go, _ = slow
    assert place.ask("POST", "/users/alice/server", alice.key).status_code == 202
    go.set()
    assert events(place.ask("GET", "/users/alice/server/progress", alice.key))[-1]["ready"]


def test_a_start_that_is_stopped(place, alice, slow):
    go, begun = slow
    with ThreadPoolExecutor(1) as other:
        first = other.submit(place.ask, "POST", "/users/alice/server", alice.key)
        assert begun.wait(10)
        assert place.ask("DELETE", "/users/alice/server", alice.key).status_code == 204
        go.set()
        assert first.result(20).status_code == 500
    assert life.get(place.db, alice.user.id).state == "stopped"


def test_a_failed_start_says_why(place, alice):
    place.backend.failing["alice"] = "your home is full"
    answer = place.ask("POST", "/users/alice/server", alice.key)
    assert answer.status_code == 500
    assert "your home is full" in answer.json()["message"]
    assert answer.json()["cure"]
    failed = events(place.ask("GET", "/users/alice/server/progress", alice.key))
    assert failed[-1]["failed"] is True
    assert "your home is full" in failed[-1]["message"]
    shown = place.ask("GET", "/users/alice?include_stopped_servers", alice.key)
    assert shown.status_code == 200
    assert shown.json()["servers"][""]["reason"] == "your home is full"


def test_without_a_launcher(place, alice, monkeypatch):
    from terakoya.servers import attempt

    monkeypatch.setattr(attempt, "LAUNCHER_PATIENCE", 0.0)
    place.backend.away = True
    answer = place.ask("POST", "/users/alice/server", alice.key)
    assert (answer.status_code, answer.json()["code"]) == (503, "LauncherUnavailable")


def test_a_removed_users_servers_are_stopped(place, alice):
    assert place.ask("POST", "/users/alice/server", alice.key).status_code == 201
    taro = place.key("taro")
    assert place.ask("DELETE", "/users/alice", taro).status_code == 204
    assert place.ask("GET", "/users/alice", taro).status_code == 404
    assert place.ask("GET", "/user", alice.key).status_code == 403
