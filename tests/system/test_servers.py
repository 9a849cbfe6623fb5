"""Starting and stopping at the real hub, with everything that can be wrong with a user's server or home."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.house import Kernel
from tests.running import House, until
from tests.system.desk import JSON, Person, read, records


def at_once(*clicks: Callable[[], int]) -> list[int]:
    """What each of several clicks at the same moment is answered."""
    with ThreadPoolExecutor(len(clicks)) as pool:
        return [done.result() for done in [pool.submit(click) for click in clicks]]


def test_many_clicks_on_start_and_on_stop(bob: Person) -> None:
    """In two tabs, and twice in each; by the page and by the API."""

    def start() -> int:
        return bob.browser.post(f"/hub/spawn/{bob.name}", follow_redirects=False).status_code

    def stop() -> int:
        return bob.browser.post("/hub/home/stop", follow_redirects=False).status_code

    assert at_once(*[start] * 4) == [303] * 4
    until(bob.answers, "bob's server answers", 20)
    assert len(bob.servers()) == 1
    assert at_once(*[stop] * 4) == [303] * 4
    until(lambda: not bob.servers(), "it is gone", 20)
    until(lambda: not bob.state()["server"], "and known to be", 10)
    assert set(at_once(*[lambda: bob.api("POST").status_code] * 4)) <= {201, 202, 400}
    until(bob.answers, "bob's server answers", 20)
    assert len(bob.servers()) == 1
    assert set(at_once(*[lambda: bob.api("DELETE").status_code] * 4)) <= {202, 204}


def test_start_and_stop_all_mixed_up(bob: Person, school: House) -> None:
    """Whatever was clicked: in the end there is one server or none, and the row says which."""
    clicks = [lambda: bob.api("POST").status_code, lambda: bob.api("DELETE").status_code] * 3
    assert not [code for code in at_once(*clicks) if code not in {201, 202, 204, 400, 409, 500}]
    until(lambda: not bob.state()["pending"], "it settles", 30)
    until(lambda: len(bob.servers()) == bool(bob.state()["server"]), "the row is true", 10)
    bob.reach()
    assert len(bob.servers()) == 1


def test_two_tabs_opened_at_once(bob: Person) -> None:
    def open_tab() -> int:
        page = bob.get(f"/user/{bob.name}/lab")
        assert "data-auto" in page.text or "jupyter-config-data" in page.text or "/hub/spawn-pending/" in str(page.url)
        return bob.browser.post(f"/hub/spawn/{bob.name}", follow_redirects=True).status_code

    assert at_once(open_tab, open_tab) == [200, 200]
    bob.reach()
    assert len(bob.servers()) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("import os\nos._exit(3)\n", "It ended while starting"),
        ("import sys\nsys.exit(3)\n", "exit status 3"),
        ("import os\nos.kill(os.getpid(), 9)\n", "It ended while starting"),
        ("c.ServerApp.port = 'x'\n", "A setting in your Jupyter configuration can't be used"),
    ],
)
def test_a_server_that_exits_at_once(bob: Person, taro: Person, settings: str, says: str) -> None:
    bob.configure("print('said before it broke', flush=True)\n" + settings)
    page = bob.start()
    assert says in read(page)
    assert "Try again" in read(page)
    assert "said before it broke" not in page.text  # the log is the administrator's to read
    log = taro.get(f"/hub/admin/users/{bob.name}/log")
    assert log.status_code == 200, read(log)
    assert says in read(log)
    if "exit" in settings:
        assert "said before it broke" in read(log)
    again = bob.get(f"/user/{bob.name}/lab")  # a reload neither starts it over and over nor hides why
    assert says in read(again)
    assert "data-auto" not in again.text
    assert not bob.servers()
    bob.configure("")
    bob.start()
    bob.reach()


@contextmanager
def servers_setting(school: House, line: str) -> Iterator[None]:
    """A setting of [servers], changed while all runs; the title of the site shows when it has come through."""
    before = school.settings.read_text(encoding="utf-8")
    key = line.partition(" ")[0]
    changed = "\n".join(line if row.startswith(key) else row for row in before.splitlines())
    try:
        load(school, f'[site]\ntitle = "changed"\n{changed}\n', "changed")
        yield
    finally:
        load(school, before, "terakoya")


def load(school: House, text: str, title: str) -> None:
    school.settings.write_text(text, encoding="utf-8")
    school.runs[-1].send_signal(signal.SIGHUP)
    with school.client() as browser:
        until(lambda: f"{title}</title>" in browser.get("/hub/login").text, "the settings are in use", 15)


def test_a_server_that_hangs_in_its_start(bob: Person, school: House) -> None:
    bob.configure("import time\ntime.sleep(1000)\n")
    with servers_setting(school, 'start_timeout = "2s"'):
        page = bob.start()
    assert "not ready after 2 seconds" in read(page)
    until(lambda: not bob.servers(), "nothing of it is left", 10)
    assert not bob.state()["server"]
    bob.configure("")
    bob.start()
    bob.reach()


def test_a_server_that_ignores_sigterm(bob: Person) -> None:
    ignore = "import signal\nsignal.signal = lambda *_: None\nsignal.pthread_sigmask(signal.SIG_BLOCK, {15, 2, 1})\n"
    bob.configure(ignore)
    bob.start()
    until(bob.answers, "bob's server answers", 20)
    began = time.monotonic()
    bob.settle()
    assert time.monotonic() - began < 10


def test_a_home_that_is_not_there(bob: Person) -> None:
    home = bob.account.home
    elsewhere = home.with_name(f"{home.name}-away")
    home.rename(elsewhere)
    try:
        assert f"Your home folder {home} does not exist on this machine" in read(bob.start())
    finally:
        elsewhere.rename(home)
    bob.start()
    bob.reach()


def test_a_home_that_may_not_be_entered(bob: Person) -> None:
    home = bob.account.home
    os.chown(home, 0, 0)
    try:
        assert f"You may not enter your home folder {home}" in read(bob.start())
    finally:
        os.chown(home, bob.account.uid, bob.account.gid)
    bob.start()
    bob.reach()


def test_a_home_that_can_only_be_read(bob: Person) -> None:
    """Whoever has a broken home can get in and look; also where a kernel ran already, and no settings were written."""
    home = bob.account.home
    (home / ".ipython").mkdir(exist_ok=True)
    os.chown(home, 0, 0)
    home.chmod(0o555)
    try:
        bob.start()
        bob.reach()
    finally:
        os.chown(home, bob.account.uid, bob.account.gid)
        home.chmod(0o700)


def test_a_full_home(bob: Person) -> None:
    """Its user gets in, can delete what fills it, and go on."""
    home, uid = bob.account.home, bob.account.uid
    mount = ["mount", "-t", "tmpfs", "-o", f"size=256k,mode=700,uid={uid},gid={bob.account.gid}", "tmpfs", str(home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        fill(home / "big")
        os.chown(home / "big", uid, bob.account.gid)
        bob.start()
        bob.reach()
        contents, headers = f"/user/{bob.name}/api/contents", JSON
        answer = bob.browser.put(f"{contents}/x.txt", headers=headers, json=FILE)
        assert answer.status_code >= 400
        (home / "big").unlink()  # as in a terminal; JupyterLab's own deleting would move it to a trash in this home
        assert bob.browser.put(f"{contents}/x.txt", headers=headers, json=FILE).status_code in {200, 201}
        bob.settle()
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


FILE = {"type": "file", "format": "text", "content": "x" * 20_000}


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_disabling_cuts_what_is_open(bob: Person, taro: Person, school: House) -> None:
    """The next request is refused at once; servers end, and with them their kernels and open websockets."""
    bob.start()
    bob.reach()
    kernel = Kernel(bob.browser, bob.account)  # type: ignore[arg-type]
    assert kernel.run("print(1)").strip() == "1"
    try:
        change = f"/hub/admin/users/{bob.name}"
        assert taro.browser.post(f"{change}/disable", follow_redirects=False).status_code == 303
        for path in (f"/user/{bob.name}/api/status", "/hub/api/user"):
            assert bob.browser.get(path, headers=JSON).status_code in {401, 403}
        for _said in messages(kernel):
            pass
        until(lambda: not bob.servers(), "nothing of bob's runs", 20)
        refused = bob.sign_in()
        assert (refused.status_code, "or this account may not enter" in read(refused)) == (403, True)
        assert school.run("server", "start", bob.name).returncode == 1
    finally:
        assert taro.browser.post(f"{change}/enable", follow_redirects=False).status_code == 303
    assert not bob.servers()  # what was stopped stays so until somebody starts it
    bob.sign_in()
    bob.reach()


def messages(kernel: Kernel) -> Iterator[object]:
    """Until the connection is closed; TimeoutError if it stays open."""
    with suppress(ConnectionClosed):
        while True:
            yield kernel.socket.recv(timeout=15)


def test_nothing_is_left_of_servers_that_ended(bob: Person, school: House) -> None:
    """The last one here: what the launcher kept of all of them is gone."""
    kept = {path.name for path in records(school)}
    bob.start()
    bob.settle()
    until(lambda: {path.name for path in records(school)} <= kept, "its record is removed", 10)
