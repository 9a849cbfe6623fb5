"""Homes and settings as users have them: missing, full, not writable, with configuration that is right or broken."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.servers import ForkServer, shell
from tests.lab.test_lab_server import Kernel
from tests.osusers import OsUser, OsUsers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def alice(os_users: OsUsers) -> OsUser:
    return os_users.make("alice")


@pytest.fixture
def small_home(alice: OsUser) -> Iterator[OsUser]:
    """A home on a disk of its own, of 256 KiB."""
    options = f"size=256k,mode=0700,uid={alice.uid},gid={alice.gid}"
    shell("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(alice.home))
    try:
        yield alice
    finally:
        shell("umount", "-l", str(alice.home))


def works(fork_server: ForkServer, user: OsUser) -> None:
    """A server starts, shows its page and runs a cell."""
    server = fork_server.start(user)
    assert server.get("lab").status_code == 200
    assert server.get("lab/api/settings").status_code == 200
    kernel = Kernel(server)
    assert kernel.run("print(6 * 7)") == ("42\n", "ok")
    kernel.channel.close()
    assert server.stop()["code"] == 0


def test_a_full_home_keeps_nobody_out(fork_server: ForkServer, small_home: OsUser) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_home.home / "big").write_bytes(bytes(1 << 20))
    works(fork_server, small_home)


def test_a_home_that_can_only_be_read(fork_server: ForkServer, small_home: OsUser) -> None:
    shell("mount", "-o", "remount,ro", str(small_home.home))
    works(fork_server, small_home)


def test_a_home_that_is_not_there(fork_server: ForkServer, os_users: OsUsers) -> None:
    user = os_users.make("bob", home=False)
    server = fork_server.order(user)
    assert server.failed()["reason"] == f"Your home folder {user.home} does not exist on this machine."
    assert server.event() == {"event": "exit", "code": 1, "signal": 0}


def test_a_home_of_somebody_else(fork_server: ForkServer, alice: OsUser, os_users: OsUsers) -> None:
    bob = os_users.make("bob")
    assert "may not enter" in fork_server.order(alice, home=str(bob.home)).failed()["reason"]
    assert "not a folder" in fork_server.order(alice, home="/etc/passwd").failed()["reason"]


def configure(user: OsUser, name: str, text: str) -> Path:
    path = user.home / ".jupyter" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_settings_of_the_user_count(fork_server: ForkServer, alice: OsUser) -> None:
    (alice.home / "work").mkdir()
    os.chown(alice.home / "work", alice.uid, alice.gid)
    text = f"c.ServerApp.root_dir = {str(alice.home / 'work')!r}\nc.LabApp.news_url = 'https://example.org/feed'\n"
    configure(alice, "jupyter_server_config.py", text)
    configure(alice, "jupyter_lab_config.py", "c.LabApp.expose_app_in_browser = True\n")
    server = fork_server.start(alice)
    made = server.request("POST", "api/contents", json={"type": "notebook"})
    assert made.status_code == 201, made.text + server.log
    assert (alice.home / "work" / "Untitled.ipynb").stat().st_uid == alice.uid
    page = server.get("lab").text
    assert '"exposeAppInBrowser": true' in page
    assert '"news": {"disabled": false}' in page
    server.stop()


def test_settings_of_the_user_do_not_open_the_server(fork_server: ForkServer, alice: OsUser) -> None:
    text = (
        "c.ServerApp.base_url = '/'\nc.ServerApp.port = 1\nc.ServerApp.ip = '0.0.0.0'\nc.IdentityProvider.token = 'x'\n"
        "c.ServerApp.allow_unauthenticated_access = True\nc.ServerApp.sock = '/tmp/x'\nc.ServerApp.password = ''\n"
    )
    configure(alice, "jupyter_server_config.py", text)
    server = fork_server.start(alice)
    assert server.get("api/status").status_code == 200
    assert server.get("api/status", headers={"Authorization": "token x"}).status_code == 403
    assert server.get("api/status", headers={}).status_code == 403
    server.stop()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jupyter_server_config.py", "this is (not Python\n"),
        ("jupyter_server_config.json", '{"ServerApp": {,}}'),
        ("jupyter_server_config.d/mine.json", "{"),
        ("jupyter_lab_config.py", "c.NoSuch.thing = 1 / 0"),
    ],
)
def test_a_broken_file_is_passed_over_as_jupyter_does(
    fork_server: ForkServer,
    alice: OsUser,
    name: str,
    text: str,
) -> None:
    path = configure(alice, name, text)
    server = fork_server.start(alice)
    assert server.get("lab").status_code == 200
    server.stop()
    assert path.name.partition(".")[0] in server.log


def test_a_setting_of_the_wrong_kind_is_explained(fork_server: ForkServer, alice: OsUser) -> None:
    configure(alice, "jupyter_server_config.py", "c.ServerApp.root_dir = '/there/is/none'\n")
    reason = fork_server.order(alice).failed()["reason"]
    assert reason.startswith("A setting in your Jupyter configuration can't be used: ")
    assert "/there/is/none" in reason


def test_an_extension_of_the_user_that_is_broken_does_no_harm(fork_server: ForkServer, alice: OsUser) -> None:
    text = '{"ServerApp": {"jpserver_extensions": {"there_is_no_such_package": true}}}'
    configure(alice, "jupyter_server_config.d/mine.json", text)
    works(fork_server, alice)


def test_own_packages_count_only_where_python_says_so(fork_server: ForkServer, alice: OsUser) -> None:
    """In a virtual environment that is closed to the system's packages, ~/.local is not looked at."""
    closed = "include-system-site-packages = true" not in Path(sys.prefix, "pyvenv.cfg").read_text()
    own = alice.home / f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    own.mkdir(parents=True)
    configure(alice, "jupyter_server_config.py", "import sys; print('PATH', sys.path)\n")
    server = fork_server.start(alice)
    server.stop()
    assert (str(own) not in server.log) == closed
