"""Somebody at a browser, in few words: what they do, and what they read."""

from __future__ import annotations

import html
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from bench.memory import _parent
from bench.people import processes_of
from tests.osusers import OsUser
from tests.running import PAGE, House, answers, until

JSON = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
"""What a browser says of a call that one of our pages makes, beside the rest of PAGE."""


AGAIN = '<meta http-equiv="refresh"'


class Person:
    """A signed-in browser. `sign_in` false: the sign-in page has still to be used."""

    def __init__(self, school: House, account: OsUser, *, sign_in: bool = True) -> None:
        self.school, self.account, self.name = school, account, account.name
        self.browser = httpx.Client(base_url=school.url, headers=PAGE, timeout=90, trust_env=False)
        if sign_in:
            answer = self.sign_in()
            assert answer.status_code == 303, read(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()

    def sign_in(self, **more: str) -> httpx.Response:
        return sign_in(self.browser, self.name, self.account.password, **more)

    def get(self, path: str) -> httpx.Response:
        """A page, wherever it leads."""
        return self.browser.get(path, follow_redirects=True)

    def api(self, method: str, path: str = "/server") -> httpx.Response:
        return self.browser.request(method, f"/hub/api/users/{self.name}{path}", headers=JSON)

    def start(self) -> httpx.Response:
        """A click on Start, and what is read then; pages that ask again by themselves are followed to the end."""
        answer = self.browser.post(f"/hub/spawn/{self.name}", follow_redirects=True)
        if AGAIN in answer.text:
            until(lambda: not self.state()["pending"], "the start has an end", 40)
            answer = self.get(str(answer.url))
            assert AGAIN not in answer.text
        while "/hub/spawn-pending/" in str(answer.url):
            until(lambda: not self.state()["pending"], "the start has an end", 40)
            answer = self.get(str(answer.url))
        return answer

    def state(self) -> dict[str, Any]:
        answer = self.api("GET", "")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def settle(self) -> None:
        """The server is stopped, whatever it was doing."""
        self.api("DELETE")
        until(lambda: not self.state()["server"] and not self.state()["pending"], "the server has stopped", 30)
        until(lambda: not self.servers(), "no process is left", 10)

    def answers(self) -> bool:
        return answers(self.browser, self.name)

    def reach(self) -> None:
        """Reload JupyterLab's page as somebody would who sees an error, until it is there; signing in if asked to."""

        seen = ""

        def there() -> bool:
            nonlocal seen
            with suppress(httpx.HTTPError):
                page = self.get(f"/user/{self.name}/lab")
                seen = f"{page.status_code} {page.url} {read(page)[:300]}"
                if page.url.path == "/hub/login":
                    self.sign_in()
                elif "data-auto" in page.text:  # which the browser's own script sends
                    self.browser.post(f"/hub/spawn/{self.name}")
                return "jupyter-config-data" in page.text and self.answers()
            return False

        try:
            until(there, "JupyterLab is there", 40)
        except AssertionError:
            raise AssertionError(f"no JupyterLab, but {seen}") from None

    def servers(self) -> list[int]:
        """Processes of this account that are no child of another of its own: one for each server in this house."""
        own = processes_of(self.account.uid)
        return [pid for pid in own if _parent(pid) not in own and self._is_here(pid)]

    def _is_here(self, pid: int) -> bool:
        """Whether its output goes to a log of this house; the account may have a server in another one."""
        try:
            return Path(f"/proc/{pid}/fd/1").readlink().is_relative_to(self.school.place)
        except OSError:
            return False

    def configure(self, python: str) -> None:
        """Write the user's own jupyter_server_config.py."""
        folder = self.account.home / ".jupyter"
        shutil.rmtree(folder, ignore_errors=True)
        if python:
            folder.mkdir()
            (folder / "jupyter_server_config.py").write_text(python, encoding="utf-8")
            for path in (folder, folder / "jupyter_server_config.py"):
                os.chown(path, self.account.uid, self.account.gid)


def sign_in(browser: httpx.Client, name: str, password: str, **more: str) -> httpx.Response:
    """The form, sent; without following where it leads."""
    data = {"username": name, "password": password} | more
    return browser.post("/hub/login", data=data, follow_redirects=False)


def read(answer: httpx.Response) -> str:
    """What a person reads on a page."""
    body = re.sub(
        r"<script.*?</script>|<[^>]+>", " ", answer.text.partition("<main")[2] or answer.text, flags=re.DOTALL
    )
    return " ".join(html.unescape(body).split())


def welcome(school: House, admin: OsUser) -> None:
    """The first page of all: every account of the machine may enter."""
    with school.client() as browser:
        page = browser.post("/hub/welcome", data={"code": school.link.partition("code=")[2]})
        code = page.text.partition('name="code" value="')[2].partition('"')[0]
        done = browser.post("/hub/welcome/finish", data={"code": code, "admin": admin.name, "who": "everybody"})
        assert done.status_code == 200, read(done)


def records(school: House) -> list[Path]:
    """What the launcher keeps of servers."""
    return sorted((school.place / "run/servers").glob("*"))
