"""The first minutes: the printed link, the first administrator, and who may enter."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from tests.e2e.conftest import printed_link
from tests.e2e.house import TYPED, House


def test_the_link_is_used_up(house: House) -> None:
    page = house.page()
    page.goto(printed_link(house))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.locator("input[name=admin]").count() == 0


def test_a_made_up_link_opens_nothing(house: House) -> None:
    answer = house.client().post("/hub/welcome", data={"code": "A" * 43})
    assert answer.status_code in {403, 409}
    assert "admin" not in answer.text


def test_the_chosen_account_is_administrator(house: House) -> None:
    listed = {user["name"]: user for user in json.loads(house.ours.command("user", "list", "--json"))}
    assert listed[house.taro.name]["admin"]


def test_who_is_not_signed_in_is_asked_to(house: House) -> None:
    answer = house.client().get("/", headers=TYPED, follow_redirects=True)
    assert answer.url.path == "/hub/login"


def test_status_tells_every_process(house: House) -> None:
    told = json.loads(house.ours.command("status", "--json"))
    assert told["healthy"]
    assert {"launcher", "gate", "hub", "edge"} <= set(told["processes"])
