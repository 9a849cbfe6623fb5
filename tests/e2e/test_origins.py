"""With an origin for every user: what is signed in where, and an administrator's visit."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.e2e.house import LAUNCHER, House, await_lab
from tests.osusers import OsUser


def origin(house: House, person: OsUser) -> str:
    return f"http://{person.name}.localhost:{urlsplit(house.url).port}"


def test_sign_in_leads_to_ones_own_origin(wide: House) -> None:
    page = wide.page(wide.alice)
    page.wait_for_url(f"{origin(wide, wide.alice)}/user/{wide.alice.name}/lab**")
    await_lab(page)
    cookies = {
        cookie["domain"]: cookie["value"] for cookie in page.context.cookies() if cookie["name"].endswith("session")
    }
    assert set(cookies) == {"localhost", f"{wide.alice.name}.localhost"}
    assert len(set(cookies.values())) == 2


def test_the_hubs_address_leads_to_ones_own_origin(wide: House) -> None:
    page = wide.page(wide.alice)
    page.goto(f"{wide.url}/user/{wide.alice.name}/lab")
    expect(page).to_have_url(re.compile(re.escape(origin(wide, wide.alice)) + rf"/user/{wide.alice.name}/lab"))
    expect(page.locator(LAUNCHER).first).to_be_visible(timeout=45_000)


def test_an_origin_opens_by_itself_for_whoever_is_signed_in(wide: House) -> None:
    page = wide.page(wide.alice)
    page.context.clear_cookies(domain=f"{wide.alice.name}.localhost")
    page.goto(f"{origin(wide, wide.alice)}/user/{wide.alice.name}/tree")
    expect(page).to_have_url(f"{origin(wide, wide.alice)}/user/{wide.alice.name}/tree")
    expect(page.locator(".jp-FileBrowser").first).to_be_visible(timeout=45_000)


def test_bob_is_not_let_in_at_her_origin(wide: House) -> None:
    wide.page(wide.alice)
    page = wide.page(wide.bob)
    answer = page.goto(f"{origin(wide, wide.alice)}/user/{wide.alice.name}/lab")
    assert answer is not None
    assert answer.status in {403, 404}
    assert page.locator(LAUNCHER).count() == 0


def test_her_origin_cannot_use_the_hub(wide: House) -> None:
    """A program of hers, in the browser of somebody who is signed in at the hub."""
    page = wide.page(wide.alice)
    page.wait_for_url(f"{origin(wide, wide.alice)}/**")
    told = page.evaluate(
        """async hub => {
            const tried = [];
            for (const [path, options] of [
                ["/hub/home", {}], ["/hub/api/user", {}], ["/hub/logout", {method: "POST", mode: "no-cors"}],
            ]) {
                try { const answer = await fetch(hub + path, {credentials: "include", ...options});
                      tried.push(answer.type === "opaque" ? "opaque" : (await answer.text()).length); }
                catch (error) { tried.push("refused"); }
            }
            return tried;
        }""",
        wide.url,
    )
    assert told[:2] == ["refused", "refused"]
    page.goto(f"{wide.url}/hub/home")
    expect(page).to_have_url(f"{wide.url}/hub/home")


def test_signing_out_at_the_hub_closes_the_origin(wide: House) -> None:
    page = wide.page(wide.alice)
    page.wait_for_url(f"{origin(wide, wide.alice)}/**")
    api = f"{origin(wide, wide.alice)}/user/{wide.alice.name}/api/status"
    assert page.evaluate("async url => (await fetch(url)).status", api) == 200
    other = page.context.new_page()
    other.goto(f"{wide.url}/hub/home")
    other.get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(re.compile("/hub/login"))
    assert page.evaluate("async url => (await fetch(url)).status", api) in {401, 403}


def test_an_administrators_visit_is_asked_for_recorded_and_shown(wide: House) -> None:
    wide.page(wide.alice)
    page = wide.page(wide.taro)
    assert page.goto(f"{origin(wide, wide.alice)}/user/{wide.alice.name}/lab").status in {403, 404}  # type: ignore[union-attr]
    page.goto(f"{wide.url}/hub/admin")
    row = page.get_by_role("row").filter(has_text=wide.alice.name)
    row.get_by_label(f"More for {wide.alice.name}").click()
    row.get_by_role("button", name="Visit", exact=True).click()
    page.locator("dialog[open]").get_by_role("button", name="Visit").click()
    expect(page).to_have_url(re.compile(re.escape(origin(wide, wide.alice)) + rf"/user/{wide.alice.name}/"))
    await_lab(page)
    page.goto(f"{wide.url}/hub/admin/audit")
    expect(
        page.get_by_role("row").filter(has_text=wide.alice.name).filter(has_text=wide.taro.name).first
    ).to_be_visible()
    hers = wide.page(wide.alice)
    hers.goto(f"{wide.url}/hub/home")
    expect(hers.get_by_text(re.compile(f"{wide.taro.name}.*visited"))).to_be_visible()


def test_bob_visits_nobody(wide: House) -> None:
    page = wide.page(wide.bob)
    page.goto(f"{wide.url}/hub/home")
    answer = page.request.post(f"{wide.url}/hub/visit/{wide.alice.name}", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status in {403, 404}


@pytest.mark.parametrize("path", ["/hub/home", "/hub/admin", "/hub/api/user"])
def test_a_users_origin_shows_no_page_of_the_hub(wide: House, path: str) -> None:
    page = wide.page(wide.alice)
    page.wait_for_url(f"{origin(wide, wide.alice)}/**")
    answer = page.goto(f"{origin(wide, wide.alice)}{path}")
    assert answer is not None
    assert answer.status in {403, 404} or page.url.startswith(f"{wide.url}/hub/"), page.url


def test_visiting_is_off_without_it_and_says_why(house: House) -> None:
    house.client(house.alice)
    page = house.page(house.taro)
    page.goto(f"{house.url}/hub/admin")
    expect(page.get_by_text("user_domain")).to_be_visible()
    answer = page.request.post(f"{house.url}/hub/visit/{house.alice.name}", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status == 403
