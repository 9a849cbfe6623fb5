"""How the pages are met: two languages, a phone, the dark, a keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.house import House, shot

PAGES = ("home", "account", "token", "admin", "admin/entry", "admin/audit", "logout")


@pytest.mark.parametrize(
    ("locale", "says"), [("ja-JP", "サインイン|ログイン"), ("en-US", "Sign in"), ("fr-FR", "Sign in")]
)
def test_the_browser_chooses_the_language(house: House, locale: str, says: str) -> None:
    page = house.page(locale=locale)
    page.goto(f"{house.url}/hub/login")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(says))
    assert page.locator("html").get_attribute("lang") == ("ja" if locale == "ja-JP" else "en")
    shot(page, f"login-{locale}")


def test_the_language_can_be_changed_and_stays(house: House) -> None:
    page = house.page()
    page.goto(f"{house.url}/hub/login")
    page.get_by_role("link", name="日本語").click()
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    page.goto(f"{house.url}/hub/login")
    expect(page.locator("html")).to_have_attribute("lang", "ja")


@pytest.mark.parametrize("locale", ["en-US", "ja-JP"])
def test_no_page_is_wider_than_a_phone(house: House, locale: str) -> None:
    page = house.page(house.taro, locale=locale, viewport={"width": 360, "height": 740}) if locale == "en-US" else None
    if page is None:
        page = house.page(locale=locale, viewport={"width": 360, "height": 740})
        page.goto(f"{house.url}/hub/login")
        shot(page, "login-phone-ja")
        page.locator("input[name=username]").fill(house.taro.name)
        page.locator("input[name=password]").fill(house.taro.password)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(f"/user/{house.taro.name}/"))
    for path in PAGES:
        page.goto(f"{house.url}/hub/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        shot(page, f"{path.replace('/', '-')}-phone-{locale}")


def test_wide_and_dark(house: House) -> None:
    page = house.page(house.taro, viewport={"width": 1280, "height": 800}, color_scheme="light")
    for path in PAGES:
        page.goto(f"{house.url}/hub/{path}")
        light = background(page)
        shot(page, f"{path.replace('/', '-')}-light")
        page.emulate_media(color_scheme="dark")
        dark = background(page)
        shot(page, f"{path.replace('/', '-')}-dark")
        page.emulate_media(color_scheme="light")
        assert sum(light) > 600, path
        assert sum(dark) < 300, path


PAINTED = """() => {
    const colours = [document.body, document.documentElement].map(part => getComputedStyle(part).backgroundColor);
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.fillStyle = colours.find(colour => colour !== "rgba(0, 0, 0, 0)");
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
"""Red, green and blue of the page's background, however it is written."""


def background(page: Page) -> list[int]:
    return list(page.evaluate(PAINTED))


def test_signing_in_by_keyboard_alone(house: House) -> None:
    page = house.page()
    page.goto(f"{house.url}/hub/login")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type(house.alice.name)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    page.keyboard.type(house.alice.password)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/user/{house.alice.name}/"))


def test_what_is_focused_is_seen(house: House) -> None:
    page = house.page(house.alice)
    page.goto(f"{house.url}/hub/home")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    seen = 0
    for _ in range(8):
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        seen += style != "none"
    assert seen == 8


def test_no_page_says_anything_on_the_console(house: House) -> None:
    page = house.page(house.taro)
    house.heard.clear()
    for path in PAGES:
        page.goto(f"{house.url}/hub/{path}")
        page.wait_for_load_state("networkidle") if "admin" not in path and path != "home" else page.wait_for_timeout(
            100
        )
    assert [line for line in house.heard if line.startswith(("error", "warning"))] == []
