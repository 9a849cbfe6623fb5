"""taro's page of users and servers: live, and what its buttons do."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.e2e.house import House, wait_for
from tests.osusers import OsUser


def row(page: Page, person: OsUser) -> Locator:
    return page.get_by_role("row").filter(has_text=person.name)


def test_it_follows_what_happens(house: House) -> None:
    bob = house.client(house.bob)
    page = house.page(house.taro)
    page.goto(f"{house.url}/hub/admin")
    expect(row(page, house.bob).locator(".state.running")).to_be_visible()
    bob.delete(f"/hub/api/users/{house.bob.name}/server")
    expect(row(page, house.bob).locator(".state.stopped")).to_be_visible()
    row(page, house.bob).get_by_role("button", name="Start").click()
    expect(row(page, house.bob).locator(".state.running")).to_be_visible()
    wait_for(lambda: house.answers(bob, house.bob), "bob's server answers")


def test_it_tells_kernels_and_memory(house: House) -> None:
    alice = house.client(house.alice)
    alice.post(f"/user/{house.alice.name}/api/kernels", json={"name": "python3"})
    page = house.page(house.taro)
    page.goto(f"{house.url}/hub/admin")
    expect(row(page, house.alice)).to_contain_text("idle", timeout=45_000)
    expect(row(page, house.alice)).to_contain_text(re.compile(r"\d+ MB|\d+ MiB|\d+,\d+ MB|\d+\.\d+ GB"))


def test_stop_asks_first(house: House) -> None:
    bob = house.client(house.bob)
    page = house.page(house.taro)
    page.goto(f"{house.url}/hub/admin")
    row(page, house.bob).get_by_role("button", name="Stop").click()
    page.locator("dialog[open]").get_by_role("button", name="Cancel").click()
    assert house.answers(bob, house.bob)
    row(page, house.bob).get_by_role("button", name="Stop").click()
    page.locator("dialog[open]").get_by_role("button", name="Stop").click()
    wait_for(lambda: not house.answers(bob, house.bob), "bob's server stopped")


def test_others_do_not_see_it(house: House) -> None:
    page = house.page(house.bob)
    answer = page.goto(f"{house.url}/hub/admin")
    assert answer is not None
    assert answer.status in {403, 404}
    assert house.alice.name not in page.content()
