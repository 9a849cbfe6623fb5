"""Signing in and out: where it leads, what is refused, what the cookie is."""

import dataclasses
import time

import pytest

from terakoya.accounts import codes, sessions, users
from terakoya.web.hosts import own_path, safe_next
from tests.web.site import make_config

EVIL = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example/",
    "http:evil.example",
    "javascript:alert(1)",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "data:text/html,x",
    "http://localhost:8000.evil.example/",
    "http://localhost:8000@evil.example/",
    "http://bob.localhost:8000/user/bob/lab",
    "http://[::1",
    "/" + "a" * 5000,
]


@pytest.mark.parametrize("wanted", EVIL)
def test_never_leads_elsewhere(tmp_path, wanted):
    config = make_config(tmp_path, url="http://localhost:8000", user_domain="*.localhost")
    assert safe_next(config, wanted, "alice") == ""


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("/hub/admin?page=2", "/hub/admin?page=2"),
        ("/user/alice/lab/tree/%E6%97%A5.ipynb", "/user/alice/lab/tree/%E6%97%A5.ipynb"),
        ("http://localhost:8000/hub/token", "/hub/token"),
        ("http://alice.localhost:8000/user/alice/lab", "http://alice.localhost:8000/user/alice/lab"),
    ],
)
def test_leads_where_it_may(tmp_path, wanted, allowed):
    config = make_config(tmp_path, url="http://localhost:8000", user_domain="*.localhost")
    assert safe_next(config, wanted, "alice") == allowed


@pytest.mark.parametrize(
    ("path", "own"),
    [("/user/alice/lab", True), ("/user/alice", True), ("/user/alicette/lab", False), ("/hub/user/alice", False)],
)
def test_own_path(path, own):
    assert bool(own_path(path, "alice")) is own


def test_straight_into_the_notebook(stage):
    answer = stage.browser().sign_in("alice", "")
    assert answer.headers["location"] == "/user/alice/lab"
    assert [spec.user_name for spec in stage.place.backend.started] == ["alice"]


def test_first_sign_in_of_an_account_that_may_enter(stage):
    assert stage.browser().sign_in("bob", "").headers["location"] == "/user/bob/lab"


def test_next_is_kept_through_the_form(stage):
    browser = stage.browser()
    page = browser.get("/hub/admin?page=2")
    assert page.status_code == 303
    assert page.headers["location"] == "/hub/login?next=%2Fhub%2Fadmin%3Fpage%3D2"
    form = browser.get(page.headers["location"])
    assert 'action="/hub/login?next=%2Fhub%2Fadmin%3Fpage%3D2"' in form.text
    assert browser.sign_in("taro", "/hub/admin?page=2").headers["location"] == "/hub/admin?page=2"


@pytest.mark.parametrize("wanted", EVIL[:9])
def test_evil_next_leads_home(stage, wanted):
    browser = stage.browser()
    answer = browser.sign_in("alice", wanted)
    assert answer.headers["location"] == "/user/alice/lab"
    assert browser.get("/hub/login", params={"next": wanted}).headers["location"] == "/hub/home"


def test_a_file_of_mine_with_any_letters(stage):
    wanted = "/user/alice/lab/tree/日本 語.ipynb".replace(" ", "%20")
    assert stage.browser().sign_in("alice", wanted).headers["location"].startswith("/user/alice/lab/tree/%E6%97%A5")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "falsch"),
        ("nobody", "falsch"),
        ("", ""),
        ("alice", ""),
        ("alice\0", "ecila"),
        ("alice", "ecila\0"),
        ("a" * 10_000, "x"),
        ("alice", "x" * 10_000),
        ("../alice", "ecila"),
        ("%2fetc", "x"),
        ("<script>alert(1)</script>", "x"),
    ],
)
def test_every_failure_looks_the_same(stage, name, password):
    browser = stage.browser()
    answer = browser.post("/hub/login", data={"username": name, "password": password})
    assert answer.status_code == 403
    assert "The name or the password is not right, or this account may not enter." in answer.text
    assert "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text
    assert password not in answer.text or not password or password == "x"


def test_json_clients_read_json(stage):
    answer = stage.browser(accept="application/json").post("/hub/login", data={"username": "x", "password": "y"})
    assert answer.json()["code"] == "SignInRefused"


def test_an_expired_password_is_changed_at_once(stage):
    stage.place.machine.expired.add("alice")
    browser, form = stage.browser(), {"username": "alice", "password": "ecila"}
    asked = browser.post("/hub/login", data=form)
    assert 'name="new_password"' in asked.text
    assert "ecila" not in asked.text
    twice = browser.post("/hub/login", data=form | {"new_password": "a long one", "new_again": "another"})
    assert "the two do not agree" in twice.text
    short = browser.post("/hub/login", data=form | {"new_password": "short", "new_again": "short"})
    assert "it is too short" in short.text
    done = browser.post("/hub/login", data=form | {"new_password": "a long one", "new_again": "a long one"})
    assert done.headers["location"] == "/user/alice/lab"


def test_no_launcher(stage):
    stage.place.machine.away = True
    answer = stage.browser().post("/hub/login", data={"username": "alice", "password": "ecila"})
    assert answer.status_code == 503
    assert "Passwords can&#39;t be checked at the moment" in answer.text


def test_the_cookie(stage, stage_of):
    cookie = stage.browser().sign_in("alice").headers["set-cookie"]
    assert cookie.startswith("terakoya-session=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    secure = stage_of(set_up=False, url="https://notebooks.example.org")
    users.add(secure.place.db, "bob")
    cookie = secure.browser().sign_in("bob").headers["set-cookie"]
    assert cookie.startswith("__Host-terakoya-session=")
    assert "Secure" in cookie


def test_a_planted_session_is_not_kept(stage):
    browser = stage.browser("alice")
    planted = browser.cookies["terakoya-session"]
    browser.sign_in("alice")
    assert browser.cookies["terakoya-session"] != planted
    assert sessions.find(stage.place.db, planted) is None


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v[::-1], lambda _: "x" * 10_000, lambda _: "%00", lambda _: ""]
)
def test_forged_cookies(stage, change):
    browser = stage.browser("alice")
    browser.cookies.set("terakoya-session", change(browser.cookies["terakoya-session"]), domain="127.0.0.1")
    assert browser.get("/hub/home").headers["location"].startswith("/hub/login")


def test_signing_out(stage):
    browser = stage.browser("alice")
    value = browser.cookies["terakoya-session"]
    assert "Sign out?" in browser.get("/hub/logout").text
    assert sessions.find(stage.place.db, value)
    assert browser.post("/hub/logout").headers["location"] == "/hub/login"
    assert sessions.find(stage.place.db, value) is None
    assert browser.get("/hub/home").status_code == 303


def test_signing_out_everywhere(stage):
    here, there = stage.browser("alice"), stage.browser("alice")
    assert here.get("/hub/account").text.count('/end"') == 1
    here.post("/hub/account/end-all")
    assert there.get("/hub/home").status_code == 303


def test_ending_one_session_only_ones_own(stage):
    here, there, bob = stage.browser("alice"), stage.browser("alice"), stage.browser("bob")
    other = sessions.find(stage.place.db, there.cookies["terakoya-session"]).session
    bob.post(f"/hub/account/sessions/{other.id}/end")
    assert there.get("/hub/home").status_code == 200
    here.post(f"/hub/account/sessions/{other.id}/end")
    assert there.get("/hub/home").status_code == 303


def test_disabling_ends_the_next_request(stage):
    browser = stage.browser("alice")
    users.disable(stage.place.db, "alice")
    assert browser.get("/hub/home").status_code == 303


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}])
@pytest.mark.parametrize(
    "path", ["/hub/login", "/hub/logout", "/hub/token", "/hub/spawn/alice", "/hub/api/users/alice/server"]
)
def test_other_sites_are_refused(stage, path, headers):
    answer = stage.browser("alice").post(path, headers=headers)
    assert answer.status_code == 403
    assert "another web site" in answer.text


def test_browsers_that_only_send_origin(stage):
    browser = stage.browser("alice")
    del browser.headers["sec-fetch-site"]
    assert browser.post("/hub/home/stop", headers={"origin": "https://evil.example"}).status_code == 403
    assert browser.post("/hub/home/stop", headers={"origin": "null"}).status_code == 403
    assert browser.post("/hub/home/stop").status_code == 403
    assert browser.post("/hub/home/stop", headers={"origin": stage.url}).status_code == 303


def test_a_sign_in_link_works_once(stage):
    alice = users.get(stage.place.db, "alice")
    code = codes.make(stage.place.db, "sign-in", {"user_id": alice.id}, 900)
    browser = stage.browser()
    assert "data-auto" in browser.get("/hub/enter-link", params={"code": code}).text
    assert browser.post("/hub/enter-link", data={"code": code}).headers["location"] == "/hub/home"
    assert "alice" in browser.get("/hub/home").text
    again = stage.browser().post("/hub/enter-link", data={"code": code})
    assert again.status_code == 403
    assert "used already" in again.text


@pytest.mark.parametrize("code", ["", "x", "\0", "é" * 20, "x" * 10_000])
def test_links_that_never_were(stage, code):
    assert stage.browser().post("/hub/enter-link", data={"code": code}).status_code == 403


def test_links_for_another_purpose(stage):
    code = codes.make(stage.place.db, "welcome", {}, 900)
    assert stage.browser().post("/hub/enter-link", data={"code": code}).status_code == 403


def test_an_old_link(stage):
    alice = users.get(stage.place.db, "alice")
    code = codes.make(stage.place.db, "sign-in", {"user_id": alice.id}, -1)
    assert stage.browser().post("/hub/enter-link", data={"code": code}).status_code == 403


def test_failing_takes_two_seconds_whatever_the_cause(stage, monkeypatch):
    monkeypatch.setattr("terakoya.accounts.signin.FAILURE_SECONDS", 0.3)
    browser = stage.browser()
    for name in ("alice", "nobody"):
        begin = time.monotonic()
        browser.post("/hub/login", data={"username": name, "password": "falsch"})
        assert time.monotonic() - begin >= 0.3


def test_personal_mode_tells_of_links(stage):
    stage.place.hub.config = dataclasses.replace(stage.place.config, personal=True)
    assert "terakoya user link" in stage.browser().get("/hub/login").text
