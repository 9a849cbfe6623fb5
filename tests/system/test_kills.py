"""kill -9 in the middle of a start and of a sign-in, of `terakoya up` itself, and of everything at once."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.house import Kernel, children, cmdline
from tests.running import PARTS, House, until
from tests.system.desk import JSON, Person, read, records

EVERY = ("hub", "gate", "edge", "launcher", "forkserver")
WAITS = """
import pathlib, time
here = pathlib.Path.home()
(here / "began").touch()
while not (here / "go").exists():
    time.sleep(0.01)
"""
"""A server's settings with which a start takes as long as the test likes."""


def pid_of(school: House, name: str) -> int:
    if name != "forkserver":
        return school.pid(name) or 0
    found = [pid for pid in children(school.pid("launcher") or 0) if b"terakoya.launcher.forkserver" in cmdline(pid)]
    return found[0] if found else 0


def kill(school: House, name: str) -> None:
    """kill -9; and not go on before there is another."""
    before = pid_of(school, name)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(school, name) not in {0, before}, f"the {name} is started again", 15)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Something that a browser asks for; whatever it is answered, or not, it ends."""

    def ask() -> None:
        with suppress(httpx.HTTPError):
            work()

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def all_is_well(school: House, person: Person) -> None:
    """After a reload or two the user is in JupyterLab; one server runs, and everybody knows of that one."""
    person.reach()
    assert len(person.servers()) == 1
    until(lambda: listed(school, person) == "running", "the row says so", 15)
    until(lambda: len(kept(school, person)) == 1, "one record of it", 10)


def kept(school: House, person: Person) -> list[dict[str, Any]]:
    """What the launcher keeps of this person's servers; others may have theirs in the same house."""
    found = []
    for path in records(school):
        with suppress(FileNotFoundError):
            found.append(json.loads((path / "keeper.json").read_text(encoding="utf-8")))
    return [record for record in found if record["os_name"] == person.name]


def listed(school: House, person: Person) -> str:
    states = [row["state"] for row in school.json("server", "list", "--all") if row["user"] == person.name]
    assert len(states) == 1
    return str(states[0])


@pytest.fixture
def slow(bob: Person) -> Iterator[Person]:
    """bob, whose server is in the middle of its start when its `began` is there, and goes on with `go`."""
    bob.configure(WAITS)
    marks = [bob.account.home / name for name in ("began", "go")]
    yield bob
    for mark in marks:
        mark.unlink(missing_ok=True)


@pytest.mark.parametrize("name", [*EVERY, "server"])
def test_during_a_start(school: House, slow: Person, name: str) -> None:
    home = slow.account.home
    with meanwhile(lambda: slow.browser.post(f"/hub/spawn/{slow.name}", follow_redirects=True)):
        until((home / "began").exists, "the start is under way", 20)
        if name in EVERY:
            kill(school, name)
        else:
            (record,) = kept(school, slow)
            os.kill(record[name]["pid"], signal.SIGKILL)
        (home / "go").touch()
    until(school.healthy, "the hub answers", 15)
    if name == "server":  # which is said, and not started over and over
        until(lambda: "Try again" in read(slow.get(f"/user/{slow.name}/lab")), "it has failed", 20)
        slow.start()
    all_is_well(school, slow)


@pytest.mark.parametrize("name", ["hub", "edge", "forkserver"])
def test_during_a_sign_in(school: House, bob: Person, name: str) -> None:
    """The password is on its way to PAM, or the server's start has just been asked for."""
    with Person(school, bob.account, sign_in=False) as person:
        with meanwhile(person.sign_in):
            select.select([], [], [], 0.1)
            kill(school, name)
        all_is_well(school, person)


def test_of_everything_at_once_during_a_start(school: House, slow: Person) -> None:
    home = slow.account.home
    with meanwhile(lambda: slow.browser.post(f"/hub/spawn/{slow.name}")):
        until((home / "began").exists, "the start is under way", 20)
        before = {name: pid_of(school, name) for name in PARTS}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(pid_of(school, name) not in {0, before[name]} for name in PARTS), "all are back", 20)
        (home / "go").touch()
    until(school.healthy, "the hub answers", 15)
    all_is_well(school, slow)


def test_of_terakoya_itself_leaves_kernels_as_they_are(school: House, bob: Person) -> None:
    bob.start()
    bob.reach()
    kernel = Kernel(bob.browser, bob.account)  # type: ignore[arg-type]
    kernel.run("kept = 42")
    servers = bob.servers()
    parts = [school.pid(name) or 0 for name in PARTS]
    school.end(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in parts), "its parts end with it", 15)
    school.up()
    until(bob.answers, "the server answers", 20)
    socket = kernel.open()
    assert kernel.run("print(kept)", socket).strip() == "42"
    socket.close()
    assert bob.servers() == servers
    assert listed(school, bob) == "running"


def test_during_a_start_of_terakoya_itself(school: House, slow: Person) -> None:
    home = slow.account.home
    with meanwhile(lambda: slow.browser.post(f"/hub/spawn/{slow.name}")):
        until((home / "began").exists, "the start is under way", 20)
        school.end(signal.SIGKILL)
    school.up()
    (home / "go").touch()
    all_is_well(school, slow)


def test_a_restart_of_the_machine(school: House, bob: Person, alice: Person) -> None:
    """No process is left, and the runtime folder is empty: what ran has ended, and one click starts it again."""
    alice.settle()
    bob.start()
    bob.reach()
    everything = [school.runs[-1].pid, *(pid_of(school, name) for name in EVERY)]
    kept = [json.loads((path / "keeper.json").read_text(encoding="utf-8")) for path in records(school)]
    everything += [record[part]["pid"] for record in kept for part in ("keeper", "server")]
    for pid in everything:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    school.runs[-1].wait(10)
    until(lambda: not any(alive(pid) for pid in everything), "nothing runs", 15)
    shutil.rmtree(school.place / "run")
    school.up()
    until(lambda: listed(school, bob) == "failed", "what ran is known to have ended", 20)
    assert listed(school, alice) == "stopped"
    page = bob.get(f"/user/{bob.name}/lab")  # the sign-in outlives it, too
    assert "perhaps the machine was restarted" in read(page)
    assert "data-auto" not in page.text
    assert bob.browser.get(f"/user/{bob.name}/api/status", headers=JSON).json()["code"] == "not_running"
    assert not bob.servers()
    bob.start()
    all_is_well(school, bob)


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
