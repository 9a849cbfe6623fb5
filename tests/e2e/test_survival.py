"""kill -9 of each process while a kernel works: it is back by itself, and nothing that people had is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed

from bench.people import processes_of
from tests.e2e.house import LAUNCHER, NOTEBOOK, TYPED, House, Kernel, children, open_lab, wait_for

EVERY = ("hub", "gate", "launcher", "forkserver", "edge")
FORM = TYPED | {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def kernel(house: House) -> Iterator[Kernel]:
    made = Kernel(house.client(house.alice), house.alice)
    made.run("kept = 42")
    yield made
    with contextlib.suppress(httpx.HTTPError):
        made.close()


def kill(house: House, name: str) -> None:
    """kill -9, and wait until the supervisor has started another that works."""
    before = house.pids()[name]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: house.pids().get(name, before) != before, f"{name} is started again", 15)


def works(client: httpx.Client, house: House) -> bool:
    """Page, API and sign-in state through every part."""
    with contextlib.suppress(httpx.HTTPError):
        return house.answers(client, house.alice) and client.get("/hub/home", headers=TYPED).status_code == 200
    return False


@pytest.mark.parametrize("name", EVERY)
def test_kill_while_a_kernel_works(house: House, kernel: Kernel, name: str) -> None:
    kill(house, name)
    if name == "edge":
        with pytest.raises(ConnectionClosed):
            kernel.run("print(kept)")
    else:
        assert kernel.run("print(kept)").strip() == "42"
    wait_for(lambda: works(kernel.client, house), "everything works again", 15)
    fresh = wait_for(lambda: reopened(kernel), "a new websocket opens")
    assert kernel.run("print(kept)", fresh).strip() == "42"
    fresh.close()


def reopened(kernel: Kernel):
    with contextlib.suppress(Exception):
        return kernel.open()
    return None


@pytest.mark.parametrize("name", EVERY)
def test_kill_during_a_start(house: House, name: str) -> None:
    """Whatever the browser was told, the server is up in the end or starts at the next try, and just once."""
    client = house.client(house.bob, started=False)
    stop(house, client)
    before = house.pids()[name]
    with client.stream("GET", "/hub/health"):
        pass
    started = start_in_background(house, client)
    os.kill(before, signal.SIGKILL)
    started()
    wait_for(lambda: house.pids().get(name, before) != before, f"{name} is started again", 15)

    def up() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            if house.answers(client, house.bob):
                return True
            client.post(f"/hub/api/users/{house.bob.name}/server")
        return False

    wait_for(up, "bob's server is up", 40)
    assert len(server_roots(house)) == 1


def start_in_background(house: House, client: httpx.Client):
    """The request is on its way when this returns; call the result to wait for its end."""
    import threading

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            client.post(f"/hub/api/users/{house.bob.name}/server")

    thread = threading.Thread(target=ask)
    thread.start()
    return thread.join


def stop(house: House, client: httpx.Client) -> None:
    client.delete(f"/hub/api/users/{house.bob.name}/server")
    wait_for(lambda: not server_roots(house), "bob's server has ended", 20)


def server_roots(house: House) -> list[int]:
    """bob's servers of this product, by the log that they write: what has no parent among them."""
    logs = str(house.ours.folder / "logs")
    own = [pid for pid in processes_of(house.bob.uid) if written_by(pid).startswith(logs)]
    return [pid for pid in own if not any(pid in children(other) for other in own)]


def written_by(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/fd/1").readlink())
    return ""


@pytest.mark.parametrize("name", ["hub", "launcher", "gate"])
def test_kill_during_a_sign_in(house: House, name: str) -> None:
    """The form can simply be sent again."""
    before = house.pids()[name]
    os.kill(before, signal.SIGKILL)
    form = {"username": house.alice.name, "password": house.alice.password}
    client = house.client()

    def signed_in() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return client.post("/hub/login", data=form, headers=FORM).status_code == 303
        return False

    wait_for(signed_in, "alice is signed in", 20)
    wait_for(lambda: house.pids().get(name, before) != before, f"{name} is started again", 15)


def test_jupyterlab_in_the_browser_stays(house: House) -> None:
    """Nobody at the notebook notices that the hub and the launcher were gone."""
    page = house.page(house.alice)
    open_lab(page, house.alice)
    for name in ("hub", "launcher", "gate"):
        kill(house, name)
    page.locator(LAUNCHER, has_text="Python 3").first.click()
    expect(page.locator(f"{NOTEBOOK} .jp-CodeCell").first).to_be_visible(timeout=30_000)
    assert not page.locator(".jp-Dialog", has_text=re.compile("Server Connection|Unavailable")).count()


def test_the_fork_server_is_found_ready_again(house: House) -> None:
    """A start that comes right after its death waits for it and succeeds."""
    client = house.client(house.bob, started=False)
    stop(house, client)
    os.kill(house.pids()["forkserver"], signal.SIGKILL)
    house.start(client, house.bob)
