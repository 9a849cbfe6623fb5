"""One running terakoya for all tests of this folder; a second one with an origin for every user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from bench import ours
from tests.e2e.house import House
from tests.osusers import OsUser, OsUsers

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CAST = ("taro", "alice", "bob", "mallory")
"""taro is the administrator, alice and bob work, mallory has an account of the machine and never signs in."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one process: they share one running product."""
    reason = "needs root, for accounts and their servers" if os.geteuid() else ""
    reason = reason or ("" if Path(CHROMIUM).exists() else f"needs {CHROMIUM}")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("e2e"))
            item.add_marker(pytest.mark.timeout(180))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cast() -> Iterator[dict[str, OsUser]]:
    users = OsUsers()
    try:
        yield {name: users.make(name) for name in CAST}
    finally:
        users.remove_all()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=15_000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session")
def product(cast: dict[str, OsUser], browser: Browser) -> Iterator[House]:
    """Welcomed as a person would: by the link that `terakoya up` printed."""
    with ours.running(everybody=False) as running:
        house = House(running, cast, browser)
        welcome(house)
        try:
            yield house
        finally:
            house.end_session()


def welcome(house: House) -> None:
    """Open the printed link, make taro the administrator, let in everybody who has an account."""
    page = house.page()
    page.goto(printed_link(house))
    page.get_by_text("Everybody with an account on this machine").click()
    page.locator(f"input[name=admin][value={house.taro.name}]").check()
    page.get_by_role("button", name="Open terakoya").click()
    page.wait_for_url(re.compile(r"/hub/login"))
    house.end_session()


def printed_link(house: House) -> str:
    found = re.search(r"http\S+/hub/welcome\?code=\S+", house.ours.console.read_text())
    assert found, house.ours.console.read_text()
    return found[0]


@pytest.fixture
def house(product: House, request: pytest.FixtureRequest) -> Iterator[House]:
    yield product
    _tell(product, request)
    product.end_session()


@pytest.fixture(scope="session")
def wide_product(cast: dict[str, OsUser], browser: Browser) -> Iterator[House]:
    """The same with an origin for every user; browsers take *.localhost for this machine."""
    site = '[site]\nuser_domain = "*.localhost"\n'
    with ours.running(everybody=False, more_settings=site) as running:
        house = House(running, cast, browser)
        welcome(house)
        yield house
        house.end_session()


@pytest.fixture
def wide(wide_product: House, request: pytest.FixtureRequest) -> Iterator[House]:
    yield wide_product
    _tell(wide_product, request)
    wide_product.end_session()


_outcome = pytest.StashKey[Any]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[_outcome] = report
    return report


def _tell(house: House, request: pytest.FixtureRequest) -> None:
    """After a failure: what the browser saw and the processes wrote."""
    report = request.node.stash.get(_outcome, None)
    if report is None or not report.failed:
        return
    print("\n".join(["--- consoles of browsers", *house.heard, "--- logs", house.logs()]))
    folder = os.environ.get("TERAKOYA_SHOTS")
    for number, page in enumerate(page for context in house.contexts for page in context.pages):
        print(f"--- tab {number}: {page.url}")
        if folder:
            page.screenshot(path=f"{folder}/failed-{request.node.name}-{number}.png")
