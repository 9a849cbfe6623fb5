"""The first set-up."""

import dataclasses
import getpass
import re

import pytest

from terakoya.accounts import codes, entry, users


@pytest.fixture
def fresh(stage_of):
    return stage_of(set_up=False)


def code_of(page):
    return re.search(r'name="code" value="([\w-]{43})"', page.text)[1]


def begin(stage, browser):
    link = codes.make(stage.place.db, "welcome", {}, 900)
    assert "data-auto" in browser.get("/hub/welcome", params={"code": link}).text
    return browser.post("/hub/welcome", data={"code": link}), link


def test_the_first_administrator(fresh):
    browser = fresh.browser()
    assert "Nobody has set up this place yet." in browser.get("/hub/login").text
    page, link = begin(fresh, browser)
    assert "Hanada Hanako" in page.text
    assert "teachers" in page.text
    assert browser.post("/hub/welcome", data={"code": link}).status_code == 403  # the link works once
    done = browser.post(
        "/hub/welcome/finish", data={"code": code_of(page), "admin": "hanako", "who": "groups", "group": "students"}
    )
    assert done.headers["location"] == "/hub/login?name=hanako"
    assert 'value="hanako"' in browser.get(done.headers["location"]).text
    assert entry.rule(fresh.place.db) == entry.Rule(everybody=False, groups=["students"])
    assert users.get(fresh.place.db, "hanako").admin
    assert browser.get("/hub/welcome").status_code == 409


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"admin": "hanako", "who": "groups"}, "nobody could enter"),
        ({"admin": "root", "who": "everybody"}, "no account &#34;root&#34;"),
        ({"who": "everybody"}, "no account"),
        ({}, "nobody could enter"),
    ],
)
def test_mistakes_are_told_and_mended(fresh, form, says):
    browser = fresh.browser()
    page, _ = begin(fresh, browser)
    again = browser.post("/hub/welcome/finish", data={"code": code_of(page)} | form)
    assert again.status_code in {400, 409}
    assert says in again.text
    done = browser.post("/hub/welcome/finish", data={"code": code_of(again), "admin": "taro", "who": "everybody"})
    assert done.status_code == 303


def test_nobody_without_the_link(fresh):
    for path in ("/hub/welcome", "/hub/welcome/finish", "/hub/welcome/again"):
        assert fresh.browser().post(path, data={"code": "x", "admin": "mallory", "who": "everybody"}).status_code == 403
    assert not entry.is_set_up(fresh.place.db)


def test_no_accounts_yet(fresh):
    fresh.place.machine.accounts_known.clear()
    browser = fresh.browser()
    page, _ = begin(fresh, browser)
    assert "adduser hanako" in page.text
    fresh.place.machine.accounts_known["alice"] = ("", ["alice"])
    assert "alice" in browser.post("/hub/welcome/again", data={"code": code_of(page)}).text


def test_the_launcher_is_away(fresh):
    fresh.place.machine.away = True
    page, _ = begin(fresh, fresh.browser())
    assert "can't be read at the moment" in page.text


def test_personal_mode_signs_in_at_once(fresh):
    fresh.place.hub.config = dataclasses.replace(fresh.place.config, personal=True)
    browser = fresh.browser()
    answer, _ = begin(fresh, browser)
    assert answer.headers["location"] == "/hub/home"
    assert getpass.getuser() in browser.get("/hub/home").text


def test_personal_mode_offers_nothing_for_others(fresh):
    begun = fresh.browser()
    fresh.place.hub.config = dataclasses.replace(fresh.place.config, personal=True)
    begin(fresh, begun)
    offers = ("/hub/admin/entry", "Add a user", "Visiting users")
    assert not [offer for offer in offers if offer in begun.get("/hub/admin").text]
    fresh.place.hub.config = dataclasses.replace(fresh.place.config, personal=False)
    assert [offer for offer in offers if offer in begun.get("/hub/admin").text] == list(offers)
