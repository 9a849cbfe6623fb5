"""An origin for every user, and proxies that are believed."""

import httpx
import pytest

from tests.edge.conftest import Cast
from tests.edge.wire import WebSocket

DOMAIN = '[site]\nuser_domain = "*.nb.localhost"\n'
PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    from tests.edge.stage import Stage

    one = Stage(tmp_path_factory.mktemp("e"), DOMAIN).up()
    made = Cast(one)
    yield made
    made.http.close()
    one.down()


def get(people, host, path, **headers):
    return people.http.get(path, headers={"host": f"{host}:{people.stage.port}", **headers})


def test_a_users_own_origin(people):
    cookie = people.stage.sign_in(people.alice, host="alice.nb.localhost")
    answer = get(people, "alice.nb.localhost", "/user/alice/api", cookie=f"terakoya-session={cookie}")
    assert answer.json()["pid"] == people.stage.processes[f"server-{people.alice}-"].pid
    one = WebSocket(
        people.stage.port,
        "/user/alice/ws",
        {"cookie": f"terakoya-session={cookie}", "origin": f"http://alice.nb.localhost:{people.stage.port}"},
        host="alice.nb.localhost",
    )
    one.close()
    assert one.status == 101


def test_the_hubs_session_counts_only_at_the_hub(people):
    mine = {"cookie": f"terakoya-session={people.alice_cookie}"}
    at_hub = get(people, "localhost", "/user/alice/lab", **mine, **PAGE)
    assert at_hub.headers["location"] == f"http://alice.nb.localhost:{people.stage.port}/user/alice/lab"
    there = get(people, "alice.nb.localhost", "/user/alice/lab", **mine, **PAGE)
    wanted = f"http://localhost:{people.stage.port}/hub/enter-origin?host=alice.nb.localhost&next=%2Fuser%2Falice%2Flab"
    assert there.headers["location"] == wanted
    assert get(people, "alice.nb.localhost", "/user/alice/api", **mine).status_code == 403


def test_bob_has_nothing_at_alices(people):
    cookie = people.stage.sign_in(people.bob, host="alice.nb.localhost")
    answer = get(people, "alice.nb.localhost", "/user/alice/api", cookie=f"terakoya-session={cookie}")
    assert answer.status_code == 404


def test_an_administrator_visits(people):
    root = people.stage.user("root1", admin=True)
    cookie = people.stage.sign_in(root, host="alice.nb.localhost")
    answer = get(people, "alice.nb.localhost", "/user/alice/api", cookie=f"terakoya-session={cookie}")
    assert ["X-Terakoya-User", "root1"] in answer.json()["headers"]


def test_the_hub_on_a_users_origin(people):
    hub = people.stage.processes["hub"].pid
    for path in ("/hub/enter?code=x", "/hub/lab-static/1/a.js", "/hub/static/a.css"):
        assert get(people, "alice.nb.localhost", path).json()["pid"] == hub
    for path in ("/hub/home?x=1", "/hub/admin", "/hub/api/users", "/hub/enterx"):
        answer = get(people, "alice.nb.localhost", path)
        assert answer.status_code == 302
        assert answer.headers["location"] == f"http://localhost:{people.stage.port}{path}"


def test_the_root_of_a_users_origin(people):
    assert get(people, "alice.nb.localhost", "/", **PAGE).headers["location"] == "/user/alice/"
    assert get(people, "alice.nb.localhost", "/elsewhere", **PAGE).status_code == 404


def test_host_in_capitals(people):
    cookie = people.stage.sign_in(people.alice, host="alice.nb.localhost")
    answer = get(people, "ALICE.NB.localhost", "/user/alice/api", cookie=f"terakoya-session={cookie}")
    assert answer.status_code == 200


@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"])
def test_only_listed_proxies_are_believed(stage, trusted):
    one = stage("", f'trusted_proxies=["{trusted}"]\n').up()
    forwarded = {
        "x-forwarded-for": "6.6.6.6, 203.0.113.7, 127.0.0.5",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "x-envoy-original-dst-host": "127.0.0.1:1",
    }
    with httpx.Client(base_url=f"http://127.0.0.1:{one.port}") as http:
        got = dict(http.get("/hub/home", headers=forwarded).json()["headers"])
    believed = trusted.startswith("127.")
    assert got["X-Forwarded-For"] == ("203.0.113.7" if believed else "127.0.0.1")
    assert got["X-Forwarded-Proto"] == ("https" if believed else "http")
    assert got["X-Forwarded-Host"] == f"127.0.0.1:{one.port}"
    assert "X-Envoy-Original-Dst-Host" not in got


def test_strict_transport_security_behind_a_proxy_with_tls(stage):
    one = stage('[site]\nurl = "https://nb.example.org"\n').up()
    with httpx.Client(base_url=f"http://127.0.0.1:{one.port}") as http:
        assert http.get("/hub/home").headers["strict-transport-security"] == "max-age=31536000"
