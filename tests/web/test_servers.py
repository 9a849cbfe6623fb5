"""Starting, opening and stopping servers from the pages."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from terakoya.accounts import audit, users
from terakoya.servers import life


def row(stage, name, server=""):
    return life.get(stage.place.db, users.get(stage.place.db, name).id, server)


def test_own_server_starts_by_itself(stage):
    browser = stage.browser("alice")
    page = browser.get("/hub/spawn/alice", params={"next": "/user/alice/lab/tree/x.ipynb"})
    assert "data-auto" in page.text
    assert row(stage, "alice").state == "stopped"  # nothing is changed by looking
    answer = browser.post("/hub/spawn/alice", params={"next": "/user/alice/lab/tree/x.ipynb"})
    assert answer.headers["location"] == "/user/alice/lab/tree/x.ipynb"
    assert browser.get("/hub/spawn").headers["location"] == "/user/alice/lab"
    assert browser.get("/hub/open").headers["location"] == "/user/alice/lab"


def test_the_page_after_the_start_is_of_that_server(stage):
    browser = stage.browser("alice")
    for wanted in ("//evil.example", "/hub/logout", "/user/bob/lab", "https://evil.example/user/alice/"):
        answer = browser.post("/hub/spawn/alice", params={"next": wanted})
        assert answer.headers["location"] == "/user/alice/lab"


def test_strangers_learn_nothing(stage):
    browser = stage.browser("bob")
    for name in ("alice", "nobody"):
        for path in ("spawn", "spawn-pending"):
            assert browser.get(f"/hub/{path}/{name}").status_code == 404
        assert browser.post(f"/hub/spawn/{name}").status_code == 404


def test_an_administrator_starts_another_s_server_by_a_button(stage):
    browser = stage.browser("taro")
    page = browser.get("/hub/spawn/alice")
    assert "data-auto" not in page.text
    assert "Start the server of alice" in page.text
    assert browser.post("/hub/spawn/alice").headers["location"] == "/hub/admin"


def test_failing_is_explained_and_not_repeated(stage):
    stage.place.backend.failing["alice"] = "the home folder is full"
    stage.place.backend.seconds = 0.05
    browser = stage.browser("alice")
    browser.post("/hub/spawn/alice")
    deadline_state(stage, "failed")
    page = browser.get("/hub/spawn/alice")
    assert "The home folder is full." in page.text
    assert "data-auto" not in page.text
    assert "<pre" not in page.text
    assert "The home folder is full." in browser.get("/hub/home").text
    assert browser.get("/hub/spawn-pending/alice").headers["location"].startswith("/hub/spawn/alice")


def deadline_state(stage, wanted):
    import time

    end = time.monotonic() + 10
    while row(stage, "alice").state != wanted:
        assert time.monotonic() < end, row(stage, "alice").state
        time.sleep(0.02)


def test_the_log_is_for_administrators(stage):
    browser = stage.browser("taro")
    server = row(stage, "alice")
    _, _ = life.begin(stage.place.db, server.id)
    life.fail(stage.place.db, server.id, row(stage, "alice").key, "it ended", "Traceback: boom")
    assert "Traceback: boom" in browser.get("/hub/admin/users/alice/log").text
    assert "Traceback: boom" in browser.get("/hub/spawn/alice").text
    assert "Traceback: boom" not in stage.browser("alice").get("/hub/spawn/alice").text


def test_waiting_in_line(stage, monkeypatch):
    server = row(stage, "alice")
    life.begin(stage.place.db, server.id)
    browser = stage.browser()
    browser.sign_in("alice", "/hub/home")
    assert browser.get("/hub/spawn/alice").headers["location"].startswith("/hub/spawn-pending/alice")
    page = browser.get("/hub/spawn-pending/alice")
    assert "JupyterLab is starting" in page.text
    monkeypatch.setattr(stage.place.hub.runner, "place", lambda _id: 3)
    part = browser.get("/hub/spawn-pending/alice", headers={"hx-request": "true"})
    assert "Place in the line: 3" in part.text
    assert "<html" not in part.text
    life.bound(stage.place.db, server.id, row(stage, "alice").key, "127.0.0.1:9")
    part = browser.get("/hub/spawn-pending/alice", headers={"hx-request": "true"})
    assert part.headers["hx-redirect"] == "/user/alice/lab"


def test_a_slow_start_shows_its_progress(stage, monkeypatch):
    monkeypatch.setattr("terakoya.web.opening.PATIENCE", 0.0)
    answer = stage.browser().sign_in("alice", "")
    assert answer.headers["location"] == "/hub/spawn-pending/alice?next=%2Fuser%2Falice%2Flab"


def test_two_clicks_and_two_tabs_start_once(stage):
    stage.place.backend.seconds = 0.2
    tabs = [stage.browser("alice") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda tab: tab.post("/hub/spawn/alice"), tabs))
    assert {answer.headers["location"] for answer in answers} == {"/user/alice/lab"}
    assert len(stage.place.backend.started) == 1
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda tab: tab.post("/hub/home/stop"), tabs))
    assert {answer.status_code for answer in answers} == {303}
    assert row(stage, "alice").state == "stopped"


def test_named_servers(stage):
    browser = stage.browser("alice")
    assert browser.post("/hub/home/open", data={"server": "thesis"}).headers["location"] == "/hub/spawn/alice/thesis"
    assert browser.post("/hub/spawn/alice/thesis").headers["location"] == "/user/alice/thesis/lab"
    assert "thesis" in browser.get("/hub/home").text
    assert browser.post("/hub/home/remove", data={"server": "thesis"}).status_code == 409
    browser.post("/hub/home/stop", data={"server": "thesis"})
    assert browser.post("/hub/home/remove", data={"server": "thesis"}).status_code == 303
    assert "thesis" not in browser.get("/hub/home").text
    for name in ("../x", "a b", "x" * 40, "ü"):
        assert browser.post("/hub/home/open", data={"server": name}).status_code == 400
    for name in ("a", "b", "c"):
        assert browser.post(f"/hub/spawn/alice/{name}").status_code == 303
    assert "already" in browser.post("/hub/spawn/alice/d").text


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("lab/tree/x.ipynb", "/user/alice/lab/tree/x.ipynb"),
        ("lab/tree/a%20b.ipynb?x=1&y=%2F", "/user/alice/lab/tree/a%20b.ipynb?x=1&y=%2F"),
        ("lab/tree/%E6%97%A5.ipynb", "/user/alice/lab/tree/%E6%97%A5.ipynb"),
        ("", "/user/alice/"),
        ("/evil.example", "/user/alice//evil.example"),
    ],
)
def test_user_redirect(stage, path, to):
    assert stage.browser("alice").get(f"/hub/user-redirect/{path}").headers["location"] == to


def test_user_redirect_after_signing_in(stage):
    browser = stage.browser()
    login = browser.get("/hub/user-redirect/lab/tree/x.ipynb?a=1").headers["location"]
    assert login == "/hub/login?next=%2Fhub%2Fuser-redirect%2Flab%2Ftree%2Fx.ipynb%3Fa%3D1"


def test_launcher_away_while_starting(stage, monkeypatch):
    monkeypatch.setattr("terakoya.web.opening.PATIENCE", 0.1)
    stage.place.backend.away = True
    browser = stage.browser("alice")
    assert browser.post("/hub/spawn/alice").headers["location"].startswith("/hub/spawn-pending/alice")
    assert stage.browser().sign_in("alice", "").headers["location"].startswith("/hub/spawn-pending/alice")
    stage.place.backend.away = False
    deadline_state(stage, "running")


def test_visiting_is_off_without_origins(stage):
    answer = stage.browser("taro").post("/hub/visit/alice")
    assert answer.status_code == 403
    assert "user_domain" in answer.text


# -- an origin for every user -----------------------------------------------------------------------------------------


@pytest.fixture
def origins(stage_of):
    return stage_of(url="http://localhost:8000", user_domain="*.localhost")


def hand_over(stage, location):
    """Follow a redirect to a user's origin; the answer there."""
    address, _, query = location.partition("?")
    host = address.split("/")[2]
    return stage.browser().get(f"/hub/enter?{query}", headers={"host": host})


def test_signing_in_leads_to_ones_own_origin(origins):
    location = origins.browser().sign_in("alice", "").headers["location"]
    assert location.startswith("http://alice.localhost:8000/hub/enter?code=")
    there = hand_over(origins, location)
    assert there.headers["location"] == "/user/alice/lab"
    assert "Domain" not in there.headers["set-cookie"]
    value = there.headers["set-cookie"].split("=")[1].split(";")[0]
    from terakoya.accounts import sessions

    assert sessions.find(origins.place.db, value, "alice.localhost").user.name == "alice"
    assert sessions.find(origins.place.db, value) is None
    assert hand_over(origins, location).status_code == 403  # once


def test_a_code_is_good_for_one_origin(origins):
    location = origins.browser().sign_in("alice", "").headers["location"]
    assert hand_over(origins, location.replace("alice.localhost", "bob.localhost")).status_code == 403


def test_a_code_ends_with_its_session(origins):
    browser = origins.browser()
    location = browser.sign_in("alice", "").headers["location"]
    browser.post("/hub/logout")
    assert hand_over(origins, location).status_code == 403


def test_coming_back_to_ones_origin(origins):
    browser = origins.browser("alice")
    ask = {"host": "alice.localhost", "next": "/user/alice/lab?x=1"}
    location = browser.get("/hub/enter-origin", params=ask).headers["location"]
    assert hand_over(origins, location).headers["location"] == "/user/alice/lab?x=1"
    evil = browser.get("/hub/enter-origin", params=ask | {"next": "//evil.example"}).headers["location"]
    assert hand_over(origins, evil).headers["location"] == "/user/alice/"


@pytest.mark.parametrize("host", ["bob.localhost", "evil.example", "", "alice.localhost.evil.example", "localhost"])
def test_another_s_origin(origins, host):
    answer = origins.browser("alice").get("/hub/enter-origin", params={"host": host, "next": "/user/bob/lab"})
    assert answer.status_code == 404
    assert "/hub/visit/" not in answer.text


def test_visiting(origins):
    browser = origins.browser("taro")
    asked = browser.get("/hub/enter-origin", params={"host": "alice.localhost", "next": "/user/alice/lab"})
    assert 'action="/hub/visit/alice"' in asked.text
    there = hand_over(origins, browser.post("/hub/visit/alice").headers["location"])
    assert there.headers["location"] == "/user/alice/lab"
    [visit] = audit.search(origins.place.db, action="server.visit")
    assert (visit.actor, visit.target) == ("taro", "alice")
    home = origins.browser("alice").get("/hub/home").text
    assert "taro visited your server" in home
    assert origins.browser("alice").post("/hub/visit/taro").status_code == 403


def test_forms_may_lead_to_users_origins(origins):
    header = origins.browser().get("/hub/login").headers["content-security-policy"]
    assert "form-action 'self' http://*.localhost:8000;" in header
