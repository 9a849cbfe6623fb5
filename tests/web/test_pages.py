"""Every page for everybody who may see it, and for those who may not."""

import re

import pytest

from terakoya.accounts import audit, tokens, users
from terakoya.servers import life
from tests.web.site import fill

EVERYBODY = ["/hub/home", "/hub/home/servers", "/hub/token", "/hub/account", "/hub/logout"]
ADMINISTRATORS = [
    "/hub/admin",
    "/hub/admin?search=a&state=running&sort=-last_activity&page=1",
    "/hub/admin?state=nonsense&sort=nonsense&page=-5",
    "/hub/admin/rows",
    "/hub/admin/entry",
    "/hub/admin/audit",
    "/hub/admin/audit?actor=taro&target=%00&before=99999999999999999999999",
    "/hub/admin/users/alice/log",
    "/hub/metrics",
]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("path", EVERYBODY + ADMINISTRATORS)
def test_pages_are_there(stage, path, language):
    fill(stage.place.db, 3)
    browser = stage.browser("taro", **{"accept-language": language})
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    if "<html" in answer.text:
        assert f'<html lang="{language}"' in answer.text
        assert not re.search(r"<script(?! src)|<style|\sstyle=|\son\w+=", answer.text)


@pytest.mark.parametrize("path", ADMINISTRATORS)
def test_administration_is_for_administrators(stage, path):
    answer = stage.browser("alice").get(path)
    assert answer.status_code == 403
    assert "This page is for administrators." in answer.text


@pytest.mark.parametrize("path", EVERYBODY + [path for path in ADMINISTRATORS if path != "/hub/metrics"])
def test_signed_out(stage, path):
    answer = stage.browser().get(path)
    assert answer.status_code in {302, 303}
    assert answer.headers["location"].startswith("/hub/login")


def test_signed_out_while_a_page_asks_again(stage):
    answer = stage.browser().get("/hub/home/servers", headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/hub/login?next=%2Fhub%2Fhome"


def test_security_headers_everywhere(stage):
    browser = stage.browser("taro")
    for path in ("/hub/home", "/hub/nothing", "/hub/login", "/hub/api/", "/hub/health"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    assert browser.get("/hub/home").headers["cache-control"] == "no-store"


def test_own_files(stage):
    browser = stage.browser()
    page = browser.get("/hub/login").text
    for address in re.findall(r'(?:src|href)="(/hub/static/[^"]+)"', page):
        answer = browser.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "br" or "br" not in answer.request.headers["accept-encoding"]
    assert browser.get("/hub/static/000000000000/terakoya.css").status_code == 404
    assert browser.get("/hub/static/x/../../state.py").status_code == 404
    assert browser.get("/hub/logo").headers["location"].endswith("logo.svg")


def test_start_page(stage):
    assert stage.browser().get("/hub/").headers["location"] == "/hub/login"
    assert stage.browser("alice").get("/hub/").headers["location"] == "/hub/home"


def test_health(stage):
    assert stage.browser().get("/hub/health").json() == {"status": "ok"}


def test_metrics_with_a_token(stage):
    fill(stage.place.db, 5)
    taro, alice = (users.get(stage.place.db, name) for name in ("taro", "alice"))
    value, _ = tokens.make(stage.place.db, taro.id, "monitoring", 600, ["read:hub"])
    answer = stage.browser().get("/hub/metrics", headers={"authorization": f"Bearer {value}"})
    assert 'terakoya_servers{state="running"}' in answer.text
    assert "terakoya_users 11.0" in answer.text
    for user, scope in ((taro, "access:servers"), (alice, "inherit")):
        value, _ = tokens.make(stage.place.db, user.id, "", 600, [scope])
        assert stage.browser().get("/hub/metrics", headers={"authorization": f"token {value}"}).status_code == 403
    assert stage.browser().get("/hub/metrics").status_code == 403


def test_a_token_does_not_open_pages(stage):
    alice = users.get(stage.place.db, "alice")
    value, _ = tokens.make(stage.place.db, alice.id, "", 600)
    answer = stage.browser().post("/hub/account/end-all", headers={"authorization": f"token {value}"})
    assert answer.headers["location"].startswith("/hub/login?next=")


# -- errors -----------------------------------------------------------------------------------------------------------


def test_no_such_page(stage):
    answer = stage.browser().get("/hub/<b>nothing</b>")
    assert answer.status_code == 404
    assert "&lt;b&gt;nothing" in answer.text
    assert stage.browser(accept="application/json").get("/hub/nothing").json()["code"] == "NoSuchPage"
    assert stage.browser().get("/hub/api/nothing").headers["content-type"] == "application/json"


def test_wrong_method(stage):
    assert stage.browser("alice").put("/hub/home").status_code == 405


def test_a_bug_is_explained_and_found_in_the_log(stage, monkeypatch, caplog):
    monkeypatch.setattr("terakoya.web.pages.home.audit.search", lambda *_a, **_k: 1 / 0)
    answer = stage.browser("alice").get("/hub/home")
    assert answer.status_code == 500
    assert "Something in terakoya itself went wrong (ZeroDivisionError)." in answer.text
    number = re.search(r"Number of this message: ([0-9a-f]{8})", answer.text)[1]
    record = next(record for record in caplog.records if number in record.getMessage())
    assert record.exc_info[0] is ZeroDivisionError


def test_the_database_is_away(stage, monkeypatch):
    browser = stage.browser("alice")
    monkeypatch.setattr(stage.place.db, "_readers", stage.place.db._readers.__class__(bind=broken_engine()))
    answer = browser.get("/hub/home")
    assert answer.status_code == 503
    assert "The database can&#39;t be used" in answer.text
    assert "Free some disk space" in answer.text


def broken_engine():
    from sqlalchemy import create_engine

    return create_engine("sqlite:////nowhere/at/all.sqlite")


def test_a_body_without_end(stage):
    browser = stage.browser("alice")
    answer = browser.post(
        "/hub/token", content=b"note=" + b"x" * 2_000_000, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/hub/token/x/remove", "/hub/account/sessions/9e9/end", "/hub/admin/audit?before=x"])
def test_nonsense_in_an_address(stage, path):
    browser = stage.browser("taro")
    answer = browser.get(path) if "?" in path else browser.post(path)
    assert answer.status_code == 422
    assert "The request can&#39;t be understood" in answer.text


# -- language and looks -----------------------------------------------------------------------------------------------


def test_choosing_a_language(stage):
    browser = stage.browser(**{"accept-language": "fr, ja;q=0.8, en;q=0.3"})
    assert 'lang="ja"' in browser.get("/hub/login").text
    assert 'lang="en"' in browser.get("/hub/login?lang=en").text
    assert 'lang="en"' in browser.get("/hub/login").text


@pytest.mark.parametrize("header", ["", "fr", "ja;q=0", "ja;q=x", ",,,;", "x" * 5000])
def test_english_is_usual(stage, header):
    assert '<html lang="en"' in stage.browser(**{"accept-language": header}).get("/hub/login").text


def test_the_site_s_language(stage_of):
    stage = stage_of(language="ja")
    assert '<html lang="ja"' in stage.browser().get("/hub/login").text


def test_languages_of_the_footer_keep_the_query(stage):
    assert 'href="?next=%2Fhub%2Ftoken&amp;lang=ja"' in stage.browser().get("/hub/login?next=/hub/token").text


def test_looks(stage):
    browser = stage.browser("alice")
    browser.post("/hub/account/look", data={"language": "ja", "theme": "dark"})
    assert '<html lang="ja" data-theme="dark"' in browser.get("/hub/account").text
    browser.post("/hub/account/look", data={"language": "tlh", "theme": "<x>"})
    assert '<html lang="ja" data-theme="dark"' in browser.get("/hub/account").text


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_shown_once(stage):
    browser = stage.browser("alice")
    made = browser.post("/hub/token", data={"note": "<b>VS Code</b>", "life": "3600"}).text
    value = re.search(r'id="fresh"[^>]*>([\w-]{43})<', made)[1]
    assert tokens.find(stage.place.db, value).user.name == "alice"
    later = browser.get("/hub/token").text
    assert value not in later
    assert "&lt;b&gt;VS Code" in later
    [token] = tokens.listed(stage.place.db, users.get(stage.place.db, "alice").id)
    assert stage.browser("bob").post(f"/hub/token/{token.id}/remove").status_code == 404
    assert browser.post(f"/hub/token/{token.id}/remove").status_code == 303
    assert browser.post(f"/hub/token/{token.id}/remove").status_code == 404
    assert browser.post("/hub/token", data={"note": "", "life": "31536000000"}).status_code == 400


# -- administration ---------------------------------------------------------------------------------------------------


def test_what_administrators_do(stage):
    db, browser = stage.place.db, stage.browser("taro")

    def act(action, name="alice", **data):
        return browser.post(f"/hub/admin/users/{name}/{action}", data=data)

    assert act("start", back="?page=2").headers["location"] == "/hub/admin?page=2"
    alice = users.get(db, "alice")
    assert life.get(db, alice.id).address
    assert act("stop", back="//evil.example").headers["location"] == "/hub/admin"
    assert life.get(db, alice.id).state == "stopped"
    act("make-admin")
    assert users.get(db, "alice").admin
    act("end-admin")
    act("disable")
    assert users.get(db, "alice").disabled_at
    act("enable")
    assert not users.get(db, "alice").disabled_at
    assert act("end-admin", "taro").status_code == 409
    assert act("disable", "taro").status_code == 409
    assert act("nonsense").status_code == 404
    assert act("start", "nobody").status_code == 404
    act("remove")
    assert act("enable").status_code == 404
    assert {row.action for row in audit.search(db, actor="taro")} >= {"user.disable", "user.admin", "user.remove"}


def test_users_change_nobody(stage):
    for action in ("start", "stop", "disable", "make-admin", "remove"):
        assert stage.browser("alice").post(f"/hub/admin/users/taro/{action}").status_code == 403
    assert stage.browser("alice").post("/hub/admin/users", data={"name": "bob"}).status_code == 403
    assert stage.browser("alice").post("/hub/admin/entry", data={"who": "everybody"}).status_code == 403


def test_adding_a_user(stage):
    browser = stage.browser("taro")
    assert browser.post("/hub/admin/users", data={"name": " Hanako ", "admin": "true"}).status_code == 303
    hanako = users.get(stage.place.db, "hanako")
    assert (hanako.os_name, hanako.admin, hanako.invited) == ("hanako", True, True)
    assert browser.post("/hub/admin/users", data={"name": "hanako"}).status_code == 409
    assert browser.post("/hub/admin/users", data={"name": "nobody"}).status_code == 409
    for name in ("", "../etc", "a" * 40, "\0"):
        assert browser.post("/hub/admin/users", data={"name": name}).status_code == 400


def test_who_may_enter(stage):
    browser = stage.browser("taro")
    assert "Saved." in browser.post("/hub/admin/entry", data={"who": "groups", "group": ["teachers"]}).text
    assert stage.browser().post("/hub/login", data={"username": "bob", "password": "bob"}).status_code == 403
    stage.browser("hanako")
    nobody = browser.post("/hub/admin/entry", data={"who": "groups"})
    assert nobody.status_code == 400
    assert "nobody could enter" in nobody.text


def test_two_thousand_users_stay_quick(stage):
    fill(stage.place.db, 2000)
    browser = stage.browser("taro")
    page = browser.get("/hub/admin/rows?page=7")
    assert page.text.count("<strong>student") == 50
    assert page.elapsed.total_seconds() < 1.0
    assert "student1999" in browser.get("/hub/admin/rows?search=1999").text
