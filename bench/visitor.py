"""A browser without a window: signs in by the form of the page, follows what a browser would, and watches the clock."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import time
from urllib.parse import urljoin

import httpx

from bench.people import Person

PAGE = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
}
CALL = {
    "Accept": "application/json",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Site": "same-origin",
}

PATIENCE = 180.0
"""Seconds after which a start counts as failed."""

POLL = 0.02
"""Seconds between two looks at a server that is not ready yet."""


class Visitor:
    """One person at one hub, with a cookie jar of their own."""

    def __init__(self, url: str, person: Person) -> None:
        self.url, self.person = url, person
        self.client = httpx.AsyncClient(verify=False, follow_redirects=True, timeout=PATIENCE, trust_env=False)
        self.form: tuple[str, dict[str, str]] = ("", {})

    async def open_sign_in(self) -> None:
        """Load the sign-in page, as somebody who is about to type the password."""
        page = await self.client.get(f"{self.url}/hub/login", headers=PAGE)
        page.raise_for_status()
        self.form = find_form(page.text, str(page.url))

    async def sign_in(self) -> float:
        """Post the password and follow to the notebook server; seconds until its /api/status answers 200."""
        action, fields = self.form
        fields |= {"username": self.person.name, "password": self.person.password}
        began = time.monotonic()
        page = await self.client.post(action, data=fields, headers=PAGE | {"Origin": self.url})
        while "/hub/spawn" in page.url.path and time.monotonic() < began + PATIENCE:
            await self._watch_progress(page)
            page = await self.client.get(page.url, headers=PAGE)
        if f"/user/{self.person.name}/" not in page.url.path:
            raise RuntimeError(f"{self.person.name} ended at {page.url} ({page.status_code}): {page.text[:2000]}")
        status = f"{self.url}/user/{self.person.name}/api/status"
        while (answer := await self.client.get(status, headers=CALL | self._proof())).status_code != 200:
            if time.monotonic() > began + PATIENCE:
                raise RuntimeError(f"{status} answers {answer.status_code}: {answer.text[:2000]}")
            await asyncio.sleep(POLL)
        return time.monotonic() - began

    def _proof(self) -> dict[str, str]:
        """What JupyterHub's pages send with every call, against requests forged by other sites."""
        path = f"/user/{self.person.name}/"
        tokens = [cookie.value for cookie in self.client.cookies.jar if (cookie.name, cookie.path) == ("_xsrf", path)]
        return {"X-XSRFToken": tokens[0] or ""} if tokens else {}

    async def _watch_progress(self, page: httpx.Response) -> None:
        """Wait as the page of a starting server does: by the stream of events that it names, else by asking again."""
        named = re.search(r'EventSource\("([^"]+)"\)|data-progress="([^"]+)"', page.text)
        if not named:
            await asyncio.sleep(POLL)
            return
        address = urljoin(str(page.url), html.unescape(named[1] or named[2]))
        headers = CALL | {"Accept": "text/event-stream", "Referer": str(page.url)}
        async with self.client.stream("GET", address, headers=headers) as events:
            async for line in events.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line[5:])
                    if event.get("failed"):
                        raise RuntimeError(f"{self.person.name}: {event}")
                    if event.get("ready"):
                        return

    async def close(self) -> None:
        await self.client.aclose()


def find_form(page: str, address: str) -> tuple[str, dict[str, str]]:
    """Where the form with a password goes, and its hidden fields."""
    for form in re.findall(r"<form\b.*?</form>", page, re.DOTALL):
        if 'type="password"' in form:
            action = re.search(r'<form[^>]*\baction="([^"]*)"', form)
            hidden = [tag for tag in re.findall(r"<input[^>]*>", form) if 'type="hidden"' in tag]
            fields = {_attribute(tag, "name"): _attribute(tag, "value") for tag in hidden}
            return urljoin(address, html.unescape(action[1]) if action else ""), fields
    raise RuntimeError(f"no sign-in form at {address}")


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


async def storm(url: str, persons: list[Person]) -> list[float]:
    """All sign in at the same moment; seconds for each."""
    visitors = [Visitor(url, person) for person in persons]
    try:
        await asyncio.gather(*(visitor.open_sign_in() for visitor in visitors))
        return list(await asyncio.gather(*(visitor.sign_in() for visitor in visitors)))
    finally:
        for visitor in visitors:
            with contextlib.suppress(Exception):
                await visitor.close()
