"""The whole product as people meet it: `terakoya up` as root, real accounts, a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from websockets.sync.client import ClientConnection, connect

from bench.ours import Ours
from tests.osusers import OsUser

T = TypeVar("T")

OUR_PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Accept": "application/json"}
"""What a browser says of a call that one of our pages makes."""
TYPED = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
"""What a browser says of an address that a person typed."""
LAUNCHER = ".jp-Launcher .jp-LauncherCard:visible"
NOTEBOOK = ".jp-Notebook:visible"


def wait_for(condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The first true value of `condition`; AssertionError names `what` did not happen."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
    return value


@dataclass
class House:
    """A running terakoya and the people who know it."""

    ours: Ours
    cast: dict[str, OsUser]
    browser: Browser
    heard: list[str] = field(default_factory=list)
    """What browsers' consoles said since the test began."""
    contexts: list[BrowserContext] = field(default_factory=list)
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.ours.url

    def __getattr__(self, name: str) -> OsUser:
        try:
            return self.__dict__["cast"][name]
        except KeyError:
            raise AttributeError(name) from None

    # -- browsers -----------------------------------------------------------------------------------------------------

    def page(self, person: OsUser | None = None, **options: Any) -> Page:
        """A tab of a fresh browser; signed in if a person is named."""
        context = self.browser.new_context(**({"locale": "en-GB"} | options))
        self.contexts.append(context)
        context.on("console", self._listen)
        context.on("page", lambda page: page.on("pageerror", lambda error: self.heard.append(f"error: {error}")))
        page = context.new_page()
        if person is not None:
            page.goto(f"{self.url}/hub/login")
            fill_in(page, person)
            page.wait_for_url(re.compile(rf"/user/{person.name}/"))
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        self.heard.append(f"{message.type}: {message.text[:500]}")

    # -- without a browser --------------------------------------------------------------------------------------------

    def client(self, person: OsUser | None = None, *, started: bool = True) -> httpx.Client:
        """A program that keeps cookies and behaves as one of our pages; its server is up if `started`."""
        client = httpx.Client(base_url=self.url, headers=OUR_PAGE, timeout=60, trust_env=False)
        self.clients.append(client)
        if person is not None:
            answer = client.post(
                "/hub/login",
                data={"username": person.name, "password": person.password},
                headers=TYPED | {"Sec-Fetch-Site": "same-origin"},
            )
            assert answer.status_code == 303, answer.text
            if started:
                self.start(client, person)
        return client

    def start(self, client: httpx.Client, person: OsUser, server: str = "") -> None:
        """Start the server of `person` if it does not run, and wait until it answers."""
        api = f"/hub/api/users/{person.name}/server" + (f"s/{server}" if server else "")
        if not self.answers(client, person, server):
            client.post(api)
            wait_for(lambda: self.answers(client, person, server), f"the server of {person.name} answers", 30)

    def answers(self, client: httpx.Client, person: OsUser, server: str = "") -> bool:
        path = f"/user/{person.name}/" + (f"{server}/" if server else "")
        return client.get(f"{path}api/status").status_code == 200

    def end_session(self) -> None:
        """After a test: no tab and no connection of it stays."""
        for context in self.contexts:
            with contextlib.suppress(Exception):
                context.close()
        for client in self.clients:
            client.close()
        self.contexts.clear()
        self.clients.clear()
        self.heard.clear()

    # -- behind the scenes --------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Process numbers by name, as `terakoya status` tells them, and the fork server's."""
        told = json.loads((self.ours.folder / "run/supervisor.json").read_text())["processes"]
        pids = {name: facts["pid"] for name, facts in told.items() if facts["pid"]}
        for child in children(pids.get("launcher", 0)):
            if b"terakoya.launcher.forkserver" in cmdline(child):
                pids["forkserver"] = child
        return pids

    def logs(self) -> str:
        """The end of every log, for a failing test."""
        files = [self.ours.console, *sorted((self.ours.folder / "logs").rglob("*.log"))]
        return "\n".join(f"=== {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)


def fill_in(page: Page, person: OsUser) -> None:
    """The sign-in form."""
    page.get_by_label("Name", exact=True).fill(person.name)
    page.get_by_label("Password", exact=True).fill(person.password)
    page.get_by_role("button", name="Sign in").click()


def open_lab(page: Page, person: OsUser, path: str = "") -> None:
    """JupyterLab without the tabs of an earlier visit: with its launcher, or with the notebook at `path`."""
    address = urlsplit(page.url)
    tree = f"/tree/{path}" if path else ""
    page.goto(f"{address.scheme}://{address.netloc}/user/{person.name}/lab{tree}?reset")
    if not path:
        await_lab(page)
        return
    expect(page.locator(f"{NOTEBOOK} .jp-CodeCell").first).to_be_visible(timeout=45_000)
    await_kernel(page)


def await_lab(page: Page) -> None:
    """JupyterLab is there, with its launcher."""
    expect(page.locator(LAUNCHER).first).to_be_visible(timeout=45_000)


def await_kernel(page: Page) -> None:
    """The notebook's kernel is there and waits for work; the status bar says so."""
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=45_000)


def shot(page: Page, name: str) -> None:
    """A picture for whoever looks at the pages: into $TERAKOYA_SHOTS, if that is set."""
    folder = os.environ.get("TERAKOYA_SHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def memory_mb(pid: int) -> float:
    """Resident memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def run_as(person: OsUser, *command: str) -> subprocess.CompletedProcess[str]:
    """A program that really runs as the person's account."""
    become = ["setpriv", f"--reuid={person.uid}", f"--regid={person.gid}", "--clear-groups", "--"]
    return subprocess.run([*become, *command], capture_output=True, text=True, check=False, timeout=30, cwd="/")


class Kernel:
    """A kernel of a signed-in client, spoken to over a websocket through the edge."""

    def __init__(self, client: httpx.Client, person: OsUser) -> None:
        self.client, self.person = client, person
        answer = client.post(f"/user/{person.name}/api/kernels", json={"name": "python3"})
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]
        self.socket = self.open()

    def open(self) -> ClientConnection:
        return open_socket(self.client, f"/user/{self.person.name}/api/kernels/{self.id}/channels")

    def run(self, code: str, socket: ClientConnection | None = None, seconds: float = 30) -> str:
        """What the code printed, or its error."""
        socket = socket or self.socket
        number = uuid.uuid4().hex
        header = {
            "msg_id": number,
            "msg_type": "execute_request",
            "username": "",
            "session": "s",
            "version": "5.3",
            "date": "",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
        socket.send(json.dumps(message))
        printed = ""
        for said in messages(socket, seconds):
            if said.get("parent_header", {}).get("msg_id") != number:
                continue
            if said["msg_type"] == "stream":
                printed += said["content"]["text"]
            elif said["msg_type"] == "error":
                printed += said["content"]["evalue"]
            elif said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                return printed
        raise AssertionError(f"the kernel did not finish {code!r}: {printed}")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.socket.close()
            self.client.delete(f"/user/{self.person.name}/api/kernels/{self.id}")


def messages(socket: ClientConnection, seconds: float) -> Iterator[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            yield json.loads(socket.recv(timeout=left))


def open_socket(client: httpx.Client, path: str, **headers: str) -> ClientConnection:
    """A websocket with the client's cookies, opened as one of our pages would."""
    url = str(client.base_url).rstrip("/")
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)
    sent = {"Cookie": cookies, "Sec-Fetch-Site": "same-origin"} | headers
    return connect(
        "ws" + url.removeprefix("http") + path,
        additional_headers={name: value for name, value in sent.items() if value},
        origin=url,  # type: ignore[arg-type]
        max_size=None,
        proxy=None,
        legacy=True,  # a plain connection, that outlives this function
    )
