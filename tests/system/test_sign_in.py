"""Signing in at the real hub with real accounts of all kinds: nobody learns which of them exist."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from tests.osusers import OsUser, OsUsers
from tests.running import House
from tests.system.desk import JSON, Person, read, sign_in

STEADY = 1.0
"""Seconds that failures may differ by: far less than PAM itself takes for some of them, on a busy machine."""


@pytest.fixture
def browser(school: House) -> Iterator[httpx.Client]:
    with school.client() as client:
        yield client


def test_every_failure_looks_the_same_and_takes_the_same_time(
    school: House, cast: dict[str, OsUser], os_users: OsUsers
) -> None:
    alice = cast["alice"]
    locked, expired, must = os_users.make("locked"), os_users.make("expired"), os_users.make("must")
    os_users.change("usermod", "-L", locked.name)
    os_users.change("usermod", "-e", "2020-01-01", expired.name)
    os_users.change("chage", "-d", "0", must.name)
    tries = {
        "wrong": (alice.name, "wrong"),
        "unknown": ("nobody-at-all", "wrong"),
        "locked": (locked.name, locked.password),
        "expired": (expired.name, expired.password),
        "wrong, and to be changed": (must.name, "wrong"),
        "root": ("root", "wrong"),
        "NUL in the name": (f"{alice.name}\0", alice.password),
        "NUL in the password": (alice.name, f"{alice.password}\0"),
        "long name": ("x" * 10_000, "wrong"),
        "long password": (alice.name, alice.password + "x" * 10_000),
        "no name": ("", "wrong"),
        "no password": (alice.name, ""),
        "slash": (f"x/../{alice.name}", alice.password),
        "dots": (f"../{alice.name}", alice.password),
        "escaped": (f"{alice.name}%2f", alice.password),
        "another alphabet": (alice.name.replace("a", "\u0430"), alice.password),
        "unseen letter": (f"{alice.name}\u200b", alice.password),
    }

    def attempt(typed: tuple[str, str]) -> tuple[int, str, float]:
        with school.client() as browser:
            began = time.monotonic()
            answer = sign_in(browser, *typed)
            assert not answer.cookies
            return answer.status_code, re.sub(r'value="[^"]*"', "", answer.text), time.monotonic() - began

    with ThreadPoolExecutor(6) as pool:  # the sign-in of one does not hold up the others
        told = dict(zip(tries, pool.map(attempt, tries.values()), strict=True))
    assert {kind: status for kind, (status, _, _) in told.items() if status != 403} == {}
    # Without a name it is the name's field that has the focus.
    assert len({text for kind, (_, text, _) in told.items() if kind != "no name"}) == 1
    spent = {kind: seconds for kind, (_, _, seconds) in told.items()}
    assert min(spent.values()) >= 2.0, spent
    assert max(spent.values()) - min(spent.values()) < STEADY, spent


def test_a_password_that_must_be_changed_is_changed_on_the_way_in(
    school: House, browser: httpx.Client, os_users: OsUsers
) -> None:
    dora = os_users.make("dora")
    os_users.change("chage", "-d", "0", dora.name)
    page = sign_in(browser, dora.name, dora.password)
    assert page.status_code == 403
    assert "must be changed" in read(page)
    other = {"new_password": "quite-Another-1", "new_password_again": "quite-Other-1"}
    names = re.findall(r'<input[^>]*name="([^"]+)"', page.text)
    fields = [name for name in names if name.startswith("new")]
    assert len(fields) == 2, names
    unlike = sign_in(browser, dora.name, dora.password, **dict(zip(fields, other.values(), strict=True)))
    assert "the two do not agree" in read(unlike)
    refused = sign_in(browser, dora.name, dora.password, **dict.fromkeys(fields, "x"))
    assert refused.status_code in {400, 403}
    assert "The new password was not taken" in read(refused)
    assert sign_in(browser, dora.name, dora.password, **dict.fromkeys(fields, "quite-Another-1")).status_code == 303
    with school.client() as later:
        assert sign_in(later, dora.name, dora.password).status_code == 403
        assert sign_in(later, dora.name, "quite-Another-1").status_code == 303
    with Person(school, OsUser(dora.name, "quite-Another-1", dora.uid, dora.gid, dora.home)) as person:
        person.settle()


def test_other_spellings_are_the_same_user(school: House, cast: dict[str, OsUser], alice: Person) -> None:
    """Capitals, full-width letters and spaces around: one account, one row, one server."""
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in alice.name)
    with school.client() as browser:
        assert sign_in(browser, wide, cast["bob"].password).status_code == 403
    for name in (alice.name.upper(), wide, f"  {alice.name}\u00a0", alice.name.capitalize()):
        with school.client() as browser:
            assert sign_in(browser, name, alice.account.password).status_code == 303
            assert browser.get("/hub/api/user", headers=JSON).json()["name"] == alice.name
    names = [user["name"] for user in school.json("user", "list")]
    assert names.count(alice.name) == 1
    assert not {wide, alice.name.upper(), alice.name.capitalize()} & set(names)


@pytest.mark.parametrize("path", ["/hub/home", "/user/{}/lab", "/user/{}/api/status"])
def test_cookies_that_are_not_ones_own(school: House, alice: Person, path: str) -> None:
    path, right = path.format(alice.name), alice.browser.cookies["terakoya-session"]
    alice.reach()

    def get(cookie: str, **headers: str) -> httpx.Response:
        sent = {"Cookie": cookie} | headers
        with school.client() as browser:
            return browser.get(path, headers=sent, follow_redirects=False)

    forged = {
        "forged": "A" * 43,
        "truncated": right[:-1],
        "longer": f"{right}A",
        "empty": "",
        "very long": "x" * 8000,
        "no ASCII": "%E3%81%82",
    }
    for kind, value in forged.items():
        answer = get(f"terakoya-session={value}")
        assert answer.status_code in {302, 303}, kind
        assert "/hub/login?next=" in answer.headers["location"], kind
    # One that somebody planted beside the real one locks nobody out, whichever comes first.
    planted = f"terakoya-session={'A' * 43}"
    for cookies in (f"{planted}; terakoya-session={right}", f"terakoya-session={right}; {planted}"):
        assert get(cookies).status_code == 200
    assert get(f"terakoya-session={'A' * 43}", **JSON).status_code in {303, 401, 403}


def test_an_old_cookie(school: House, cast: dict[str, OsUser]) -> None:
    with Person(school, cast["alice"]) as person:
        person.reach()
        with closing(sqlite3.connect(school.place / "state/terakoya.sqlite")) as database:
            query = "UPDATE sessions SET expires_at = 1 WHERE user_id = (SELECT id FROM users WHERE name = ?)"
            database.execute(query, [person.name])
            database.commit()
        for path in ("/hub/home", f"/user/{person.name}/lab"):
            page = person.browser.get(path)
            assert page.status_code in {302, 303}
            assert "/hub/login?next=" in page.headers["location"]
        call = person.browser.get(f"/user/{person.name}/api/status", headers=JSON)
        assert (call.status_code, call.json()["code"]) == (403, "signed_out")
        assert person.sign_in().status_code == 303
        assert person.answers()


def test_signing_out_ends_also_what_lies_beside_a_planted_cookie(school: House, cast: dict[str, OsUser]) -> None:
    with Person(school, cast["alice"]) as person:
        own = f"terakoya-session={person.browser.cookies['terakoya-session']}"
        with school.client() as browser:
            both = {"Cookie": f"{own}; terakoya-session={'A' * 43}"}
            assert browser.post("/hub/logout", headers=both, follow_redirects=False).status_code == 303
            assert browser.get("/hub/home", headers={"Cookie": own}, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "///evil.example",
        "https://evil.example/",
        "http:evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://localhost@evil.example/",
        "http://{host}.evil.example/",
        "http://{host}//evil.example",
        "//evil.example/user/{name}/lab",
        "/user/{name}/lab\r\nX-Evil: 1",
    ],
)
def test_next_leads_nowhere_else(school: House, alice: Person, wanted: str) -> None:
    """After the sign-in, and for whoever is signed in already."""
    wanted = wanted.format(host=school.url.partition("//")[2], name=alice.name)
    with school.client() as browser:
        data = {"username": alice.name, "password": alice.account.password, "next": wanted}
        answer = browser.post("/hub/login", params={"next": wanted}, data=data, follow_redirects=False)
    for moved in (answer, alice.browser.get("/hub/login", params={"next": wanted})):
        assert moved.headers["location"] in {f"/user/{alice.name}/lab", "/hub/home"}
        assert "x-evil" not in moved.headers
