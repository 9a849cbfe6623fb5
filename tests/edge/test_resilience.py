"""Processes die while requests are under way."""

import json
import threading

import httpx
import pytest

from tests.edge.conftest import Cast
from tests.edge.stage import wait_for
from tests.edge.wire import WebSocket


@pytest.fixture
def people(stage):
    made = Cast(stage().up())
    yield made
    made.http.close()


def revive(people, name, start):
    """Kills and starts again after requests have begun to wait."""
    people.stage.kill(name)
    later = threading.Timer(0.7, start)
    later.start()
    return later


def test_a_restarting_gate_is_not_seen(people):
    later = revive(people, "gate", people.stage.start_gate)
    for method in ("GET", "PUT"):
        answer = people.http.request(method, "/user/alice/api", headers=people.as_alice(), content=b"x" * 50_000)
        assert answer.status_code == 200
    later.join()


def test_a_restarting_hub_is_not_seen(people):
    path = str(people.stage.config.socket("hub"))
    later = revive(people, "hub", lambda: people.stage.start_upstream("hub", path))
    assert people.http.get("/hub/home").status_code == 200
    later.join()
    later = revive(people, "hub", lambda: people.stage.start_upstream("hub", path))
    assert people.http.post("/hub/login", content=b"name=alice").json()["body"] == "name=alice"
    later.join()


def test_the_gate_killed_in_the_middle_of_many_requests(people):
    """Not one of them fails."""
    stop = threading.Event()
    statuses = []

    def ask():
        with httpx.Client(base_url=people.http.base_url, timeout=30) as client:
            while not stop.is_set():
                statuses.append(client.get("/user/alice/api", headers=people.as_alice()).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        count = len(statuses)
        wait_for(lambda count=count: len(statuses) > count + 100, what="requests under way")
        people.stage.kill("gate")
        people.stage.start_gate()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}


def test_websockets_outlive_gate_and_hub(people):
    one = WebSocket(people.stage.port, "/user/alice/ws", people.as_alice())
    assert json.loads(one.receive())
    for name in ("gate", "hub"):
        people.stage.kill(name)
        assert one.ask("still here") == "still here"
    one.close()


def test_without_a_gate_nothing_passes_and_the_page_says_why(people):
    people.stage.kill("gate")
    page = people.http.get("/user/alice/lab", headers=people.as_alice(accept="text/html"), timeout=40)
    assert page.status_code == 503
    assert "checks who you are is not answering" in page.text
    assert "数秒で自動的に再起動" in page.text
    answer = people.http.get("/user/alice/api", headers=people.as_alice(), timeout=40)
    assert answer.status_code == 503
    assert answer.json()["status"] == 503


def test_without_a_hub_the_page_says_why(people):
    people.stage.kill("hub")
    page = people.http.get("/hub/home", headers={"accept": "text/html"}, timeout=40)
    assert page.status_code == 503
    assert "not answering" in page.text


def test_the_gate_outlives_its_database(people):
    path = people.stage.config.storage.state / "terakoya.sqlite"
    assert people.http.get("/user/alice/api", headers=people.as_alice()).status_code == 200
    aside = path.rename(path.with_name("aside"))
    refused = wait_for(
        lambda: (answer := people.http.get("/user/alice/api", headers=people.as_alice())).status_code == 503 and answer
    )
    assert refused.json()["code"] == "no_database"
    assert "unable to open" in refused.json()["message"]
    aside.rename(path)
    wait_for(lambda: people.http.get("/user/alice/api", headers=people.as_alice()).status_code == 200)


def test_the_gate_starts_before_the_database_exists(stage):
    one = stage()
    (one.config.storage.state / "terakoya.sqlite").unlink()
    one.up()
    with httpx.Client(base_url=f"http://127.0.0.1:{one.port}") as http:
        assert http.get("/user/alice/api").json()["code"] == "no_database"


def test_a_stale_socket_is_replaced(people):
    people.stage.kill("gate")
    assert people.stage.config.socket("gate").exists()
    people.stage.start_gate()
    assert people.http.get("/user/alice/api", headers=people.as_alice()).status_code == 200
