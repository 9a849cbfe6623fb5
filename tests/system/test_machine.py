"""The machine lets terakoya down: disk, database, launcher, JupyterLab itself, settings that can't be read."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests import running
from tests.osusers import OsUser
from tests.running import House, house, until
from tests.system.desk import JSON, Person, read, sign_in, welcome

SITE_PACKAGES = sysconfig.get_path("purelib")


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tk-disk-") as name:
        Path(name).chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", name]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_full_disk_under_the_database(cast: dict[str, OsUser]) -> None:
    """Who works goes on; what can't be written is refused with the reason; when there is room, all is as before."""
    with small_disk(24) as disk, house() as school:
        text = school.settings.read_text(encoding="utf-8")
        school.settings.write_text(text.replace(str(school.place / "state"), str(disk / "state")), encoding="utf-8")
        school.up()
        welcome(school, cast["taro"])
        with Person(school, cast["taro"]) as taro, school.client() as browser:
            taro.reach()
            fill(disk / "big")
            refused = sign_in(browser, taro.name, taro.account.password)
            assert refused.status_code == 503
            assert "The database can't be used: database or disk is full" in read(refused)
            assert "Free some disk space" in read(refused)
            for path in ("/hub/home", f"/user/{taro.name}/lab", f"/user/{taro.name}/api/status"):
                assert taro.browser.get(path).status_code == 200, path
            stopped = taro.api("DELETE")
            assert stopped.status_code == 503
            assert "disk is full" in stopped.text
            assert taro.answers()
            (disk / "big").unlink()
            assert sign_in(browser, taro.name, taro.account.password).status_code == 303
            taro.settle()
            taro.start()
            taro.reach()
        assert "ended" not in school.console.partition("is running")[2]  # no process died of it


def test_a_database_that_somebody_locks(school: House, bob: Person) -> None:
    """Readers and notebooks notice nothing; a writer is told after ten seconds."""
    bob.start()
    bob.reach()
    with school.client() as browser:
        database = sqlite3.connect(school.place / "state/terakoya.sqlite", isolation_level=None)
        with closing(database):
            database.execute("BEGIN IMMEDIATE")
            for path in ("/hub/home", f"/user/{bob.name}/lab"):
                assert bob.browser.get(path).status_code == 200
            refused = sign_in(browser, bob.name, bob.account.password)
            assert refused.status_code == 503
            assert "The database can't be used: database is locked" in read(refused)
            assert bob.answers()
            database.execute("ROLLBACK")
        assert sign_in(browser, bob.name, bob.account.password).status_code == 303


def test_the_launcher_is_not_there(school: House, bob: Person, cast: dict[str, OsUser]) -> None:
    """Its socket is gone; who is in stays in, and everybody reads what is the matter."""
    socket = school.place / "run/launcher.sock"
    hidden = socket.with_suffix(".hidden")
    socket.rename(hidden)
    try:
        with school.client() as browser:
            refused = sign_in(browser, cast["alice"].name, cast["alice"].password)
            assert refused.status_code == 503
            assert "Passwords can't be checked at the moment: the part of terakoya that checks them" in read(refused)
        assert bob.browser.get("/hub/home").status_code == 200
        began = bob.browser.post(f"/hub/spawn/{bob.name}", follow_redirects=True)
        assert "/hub/spawn-pending/" in str(began.url)  # it may come back, so it is waited for
        assert bob.state()["pending"] == "spawn"
        assert "does not answer" in bob.school.run("doctor").stdout
    finally:
        hidden.rename(socket)
    bob.reach()


def test_the_launcher_hangs(school: House, bob: Person) -> None:
    """A start goes on when it does; meanwhile pages are there."""
    launcher = school.pid("launcher") or 0
    os.kill(launcher, signal.SIGSTOP)
    try:
        began = bob.browser.post(f"/hub/spawn/{bob.name}", follow_redirects=True)
        assert "/hub/spawn-pending/" in str(began.url)
        assert bob.browser.get("/hub/home").status_code == 200
        assert school.healthy()
    finally:
        os.kill(launcher, signal.SIGCONT)
    bob.reach()
    assert len(bob.servers()) == 1


@pytest.fixture
def broken_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`terakoya` of an environment that has everything, but a jupyterlab that can't be imported."""
    with tempfile.TemporaryDirectory(prefix="tk-venv-") as name:
        Path(name).chmod(0o755)
        venv.create(name, symlinks=True)
        own = Path(name, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
        (own / "rest.pth").write_text(f"import site; site.addsitedir({SITE_PACKAGES!r})\n", encoding="utf-8")
        (own / "jupyterlab").mkdir()
        (own / "jupyterlab/__init__.py").write_text("raise ImportError('half of it is missing')\n", encoding="utf-8")
        program = Path(name, "bin/terakoya")
        program.write_text(f"#!{name}/bin/python\nfrom terakoya.cli import main\nmain()\n", encoding="utf-8")
        program.chmod(0o755)
        envoy = Path(sys.executable).with_name("envoy")
        if envoy.exists():
            (program.parent / "envoy").symlink_to(envoy)
        monkeypatch.setattr(running, "TERAKOYA", str(program))
        yield


@pytest.mark.usefixtures("broken_environment")
def test_jupyterlab_is_broken(cast: dict[str, OsUser]) -> None:
    """The user reads that it is, the administrator why; and everything else works."""
    with house() as school:
        school.up()
        welcome(school, cast["taro"])
        with Person(school, cast["bob"]) as bob, Person(school, cast["taro"]) as taro:
            page = bob.start()
            assert "JupyterLab is not complete in this Python environment: half of it is missing" in read(page)
            assert "Try again" in read(page)
            assert "Traceback" not in page.text
            log = taro.get(f"/hub/admin/users/{bob.name}/log")
            assert "Traceback" in read(log)
            assert "half of it is missing" in read(log)
            assert bob.browser.get(f"/user/{bob.name}/api/status", headers=JSON).json()["code"] == "not_running"
            assert bob.get("/hub/home").status_code == 200
        assert "half of it is missing" in school.run("doctor").stdout
        assert "half of it is missing" in (school.place / "logs/launcher.log").read_text(encoding="utf-8")


def test_settings_that_can_not_be_read(cast: dict[str, OsUser]) -> None:
    with house(cast["alice"]) as desk:
        right = desk.settings.read_text(encoding="utf-8")
        os.chown(desk.settings, 0, 0)
        desk.settings.chmod(0o600)
        done = desk.run("up")
        assert done.returncode == 1
        assert "terakoya.toml can't be read: Permission denied" in " ".join(done.stderr.split())
        assert "Check that the file exists and that the account that runs terakoya may read it" in done.stderr
        desk.settings.chmod(0o644)
        for text, says in (
            ('[edge]\nlisten = "nowhere"\n', '"listen" can\'t be'),
            ("[edge\n", "is not valid TOML"),
            ('[servers]\nstart_timout = "5s"\n', 'Did you mean "start_timeout"'),
        ):
            desk.settings.write_text(text, encoding="utf-8")
            done = desk.run("up")
            assert done.returncode == 1
            assert says in " ".join(done.stderr.split())
        assert not (desk.place / "state").exists()
        desk.settings.write_text(right, encoding="utf-8")


def test_a_state_folder_that_can_not_be_written(cast: dict[str, OsUser]) -> None:
    with house(cast["alice"]) as desk:
        right = desk.settings.read_text(encoding="utf-8")
        desk.settings.write_text(right.replace(str(desk.place / "state"), "/proc/nowhere"), encoding="utf-8")
        done = desk.run("up")
        assert done.returncode == 1
        assert "/proc/nowhere can't be used as a folder of terakoya" in " ".join(done.stderr.split())
        desk.settings.write_text(right, encoding="utf-8")


def test_the_hub_answers_while_nothing_else_does(school: House) -> None:
    """The last one here: after all that, what the others left is a terakoya that is well."""
    until(school.healthy, "it is", 10)
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{school.url}/hub/login").status_code == 200
    wrong = [row for row in school.json("doctor") if row["state"] == "fail"]
    assert not wrong
