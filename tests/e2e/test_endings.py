"""Signing out, everywhere too, and disabling an account: each counts from the very next request."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus

from bench.people import processes_of
from tests.e2e.house import TYPED, House, Kernel, fill_in, open_socket, wait_for

FORM = TYPED | {"Sec-Fetch-Site": "same-origin"}


def refused(client: httpx.Client, path: str) -> bool:
    """The API, a page and a new websocket are all closed."""
    try:
        open_socket(client, f"{path}terminals/websocket/1").close()
    except InvalidStatus as answer:
        socket = answer.response.status_code
    page = client.get(f"{path}lab", headers=TYPED)
    assert "/hub/login" in page.headers.get("location", ""), page.text
    return client.get(f"{path}api/status").status_code in {401, 403} and socket in {401, 403}


def test_signing_out(house: House) -> None:
    client = house.client(house.alice)
    path = f"/user/{house.alice.name}/"
    cookie = client.cookies["terakoya-session"]
    assert client.post("/hub/logout", headers=FORM).status_code == 303
    client.cookies.set("terakoya-session", cookie, domain="localhost.local")
    assert refused(client, path)


def test_signing_out_from_the_page_and_in_again(house: House) -> None:
    page = house.page(house.alice)
    page.goto(f"{house.url}/hub/home")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/hub/login"))
    page.goto(f"{house.url}/user/{house.alice.name}/lab")
    expect(page).to_have_url(re.compile("/hub/login"))
    fill_in(page, house.alice)
    page.wait_for_url(re.compile(rf"/user/{house.alice.name}/lab"))


def test_signing_out_everywhere(house: House) -> None:
    phone, desk = house.client(house.alice), house.client(house.alice)
    cookies = [client.cookies["terakoya-session"] for client in (phone, desk)]
    assert phone.post("/hub/account/end-all", headers=FORM).status_code == 303
    for client, cookie in zip((phone, desk), cookies, strict=True):
        client.cookies.set("terakoya-session", cookie, domain="localhost.local")
        assert refused(client, f"/user/{house.alice.name}/")


def test_disabling_ends_everything(house: House) -> None:
    bob = house.client(house.bob)
    token = bob.post(f"/hub/api/users/{house.bob.name}/tokens", json={}).json()["token"]
    kernel = Kernel(bob, house.bob)
    assert kernel.run("print(1)").strip() == "1"
    taro = house.client(house.taro, started=False)
    try:
        assert taro.post(f"/hub/admin/users/{house.bob.name}/disable", headers=FORM).status_code == 303
        assert refused(bob, f"/user/{house.bob.name}/")
        sent = {"Authorization": f"token {token}"}
        for path in (f"/user/{house.bob.name}/api/status", "/hub/api/user"):
            assert house.client().get(path, headers=sent).status_code in {401, 403}
        wait_for(lambda: not processes_of(house.bob.uid), "bob's processes ended", 30)
        again = {"username": house.bob.name, "password": house.bob.password}
        assert house.client().post("/hub/login", data=again, headers=FORM).status_code == 403
    finally:
        assert taro.post(f"/hub/admin/users/{house.bob.name}/enable", headers=FORM).status_code == 303
    house.client(house.bob)


def test_a_wrong_password_and_an_unknown_name_look_alike(house: House) -> None:
    texts = []
    for name in (house.alice.name, "nobody-at-all", house.alice.name + "\0x", "x" * 10_000):
        answer = house.client().post("/hub/login", data={"username": name, "password": "wrong"}, headers=FORM)
        assert answer.status_code == 403
        assert answer.elapsed.total_seconds() > 1.9
        texts.append(re.sub(r'value="[^"]*"', "", answer.text))
    assert len(set(texts)) == 1


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_next_leads_nowhere_else(house: House, wanted: str) -> None:
    client = house.client()
    form = {"username": house.alice.name, "password": house.alice.password}
    answer = client.post("/hub/login", params={"next": wanted}, data=form, headers=FORM)
    assert answer.status_code == 303
    assert "evil" not in answer.headers["location"]
    assert answer.headers["location"].startswith(("/", house.url))


def test_another_site_cannot_sign_in_or_out(house: House) -> None:
    client = house.client(house.alice)
    cross = TYPED | {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    form = {"username": house.bob.name, "password": house.bob.password}
    assert client.post("/hub/login", data=form, headers=cross).status_code == 403
    assert client.post("/hub/logout", headers=cross).status_code == 403
    assert house.answers(client, house.alice)
