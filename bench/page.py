"""From posting the password until JupyterLab's launcher shows, in Chromium on a slow line: ours against JupyterHub.

    python -m bench.page

Needs root (it makes users of the operating system) and Debian's chromium. bench/README.md says what is counted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bench import ours, peer, report
from bench.people import Person, people
from bench.start import Side

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

SLOW_LINE = {"offline": False, "latency": 50, "downloadThroughput": 20e6 / 8, "uploadThroughput": 20e6 / 8}
"""50 ms of round trip (in ms), 20 Mbit/s each way (in bytes per second)."""

LAUNCHER = ".jp-Launcher .jp-LauncherCard"


@dataclass
class Traffic:
    """What came over the line since the sign-in page was asked for: headers and bodies as they were encoded."""

    count: int = 0
    size: int = 0
    unfinished: dict[str, int] = field(default_factory=dict)

    def listen(self, cdp: CDPSession) -> None:
        cdp.on("Network.requestWillBeSent", self._sent)
        cdp.on("Network.dataReceived", self._received)
        cdp.on("Network.loadingFinished", self._finished)
        cdp.on("Network.loadingFailed", self._failed)

    def _sent(self, event: dict[str, Any]) -> None:
        self.count += 1
        self.size += event.get("redirectResponse", {}).get("encodedDataLength", 0)

    def _received(self, event: dict[str, Any]) -> None:
        known = self.unfinished.get(event["requestId"], 0)
        self.unfinished[event["requestId"]] = known + event["encodedDataLength"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.unfinished.pop(event["requestId"], None)
        self.size += event["encodedDataLength"]

    def _failed(self, event: dict[str, Any]) -> None:
        self.size += self.unfinished.pop(event["requestId"], 0)

    @property
    def megabytes(self) -> float:
        return (self.size + sum(self.unfinished.values())) / 1e6


@dataclass(frozen=True)
class Visit:
    """One cold visit."""

    seconds: float
    megabytes: float
    requests: int


def visit(browser: Browser, url: str, person: Person, *, slow: bool, typing: float) -> Visit:
    """Open the sign-in page with an empty cache, take `typing` seconds to fill it in, post, wait for the launcher."""
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        cdp = context.new_cdp_session(page)
        traffic = Traffic()
        traffic.listen(cdp)
        cdp.send("Network.enable")
        if slow:
            cdp.send("Network.emulateNetworkConditions", SLOW_LINE)
        page.goto(f"{url}/hub/login", wait_until="load")
        page.fill("input[name=username]", person.name)
        page.fill("input[name=password]", person.password)
        page.wait_for_timeout(typing * 1000)
        began = time.monotonic()
        page.press("input[name=password]", "Enter")
        _await_launcher(page)
        return Visit(time.monotonic() - began, traffic.megabytes, traffic.count)
    finally:
        context.close()


def _await_launcher(page: Page) -> None:
    try:
        page.wait_for_selector(LAUNCHER, state="visible", timeout=90_000)
    except Exception as error:
        raise RuntimeError(f"no launcher at {page.url}: {page.inner_text('body')[:2000]}") from error


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def measure(
    start: Callable[[], AbstractContextManager[Side]], runs: int, typing: float, *, lines: tuple[bool, ...]
) -> list[Visit]:
    """The median visit for each of `lines` (slow or not), in turns; every visit by somebody whose server is not up."""
    with people(runs * len(lines)) as persons, start() as side, chromium() as browser:
        turns = iter(persons)
        made = [
            [visit(browser, side.url, next(turns), slow=slow, typing=typing) for slow in lines] for _ in range(runs)
        ]
    for row in made:
        print(f"{side.url}: {row}", file=sys.stderr)
    return [_median([row[place] for row in made]) for place in range(len(lines))]


def _median(visits: list[Visit]) -> Visit:
    return Visit(
        statistics.median(each.seconds for each in visits),
        statistics.median(each.megabytes for each in visits),
        round(statistics.median(each.requests for each in visits)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="visits for each median (default 3)")
    parser.add_argument("--typing", type=float, default=3.0, help="seconds that filling in the form takes (default 3)")
    chosen = parser.parse_args()
    print(f"peer: {peer.install()}", file=sys.stderr)
    (theirs,) = measure(peer.running, chosen.runs, chosen.typing, lines=(True,))
    mine, floor = measure(ours.running, chosen.runs, chosen.typing, lines=(True, False))
    rows = [
        ("password to launcher (s)", mine.seconds, theirs.seconds, theirs.seconds / mine.seconds),
        ("the same without the slow line (s)", floor.seconds, None, None),
        ("over the line (MB)", mine.megabytes, theirs.megabytes, mine.megabytes / theirs.megabytes),
        ("requests", mine.requests, theirs.requests, None),
    ]
    facts = {
        "ours_s": mine.seconds,
        "peer_s": theirs.seconds,
        "floor_s": floor.seconds,
        "ratio": theirs.seconds / mine.seconds,
        "ours_mb": mine.megabytes,
        "peer_mb": theirs.megabytes,
        "bytes_ratio": mine.megabytes / theirs.megabytes,
    }
    report.show("Opening JupyterLab (50 ms, 20 Mbit/s, empty cache)", rows, facts)


if __name__ == "__main__":
    main()
