"""The fork server and the keeper, as root, with real accounts: who runs what, and what nobody else sees."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.servers import ForkServer, one_fork_server, until
from tests.osusers import OsUser, OsUsers

__all__ = ["one_fork_server"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def alice(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("alice")


@pytest.fixture(scope="module")
def bob(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("bob")


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_server_runs_as_its_user_and_answers_only_its_secret(fork_server: ForkServer, alice: OsUser) -> None:
    server = fork_server.start(alice)
    answer = server.get("api/status")
    assert answer.status_code == 200
    assert answer.json()["kernels"] == 0
    now = status(server.pid)
    assert now["Uid"].split() == [str(alice.uid)] * 4
    assert now["Gid"].split() == [str(alice.gid)] * 4
    assert now["Groups"].split() == [str(alice.gid)]
    assert {now["CapPrm"], now["CapEff"], now["CapAmb"]} == {"0" * 16}
    assert now["NoNewPrivs"] == "0"
    assert status(server.keeper)["Uid"].split() == ["0"] * 4
    assert server.stop() == {"event": "exit", "code": 0, "signal": 0}
    assert json.loads((server.folder / "exit.json").read_text()) == {"code": 0, "signal": 0}
    assert (server.folder / "exit.json").stat().st_mode & 0o777 == 0o600
    assert server.event() is None


def test_nothing_of_others_is_in_a_server(fork_server: ForkServer, alice: OsUser, bob: OsUser) -> None:
    first, second = fork_server.start(alice), fork_server.start(bob)
    pid = second.pid
    until(lambda: not any(name.startswith("pipe:") for name in _files(pid).values()), "only its own answer was a pipe")
    files = _files(pid)
    sockets = [name for name in files.values() if name.startswith("socket:")]
    listening = _listening(pid)
    assert [port for port in listening if port == second.port] == [second.port]
    assert first.port not in listening
    assert files["0"] == "/dev/null"
    assert files["1"] == files["2"] == str(second.folder / "log")
    assert len(sockets) <= 3, files  # the listener, and asyncio's own pair
    seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    for secret in (first.order["secret"], second.order["secret"]):
        assert secret.encode() not in seen
    secret, name = first.order["secret"].encode(), first.order["key"].encode()
    assert not _in_memory(pid, secret)
    assert not _in_memory(pid, name)
    assert not _in_memory(fork_server.pid, secret)
    assert _in_memory(first.pid, secret)
    hashes = [line.split(":")[1] for line in Path("/etc/shadow").read_text().splitlines() if "$" in line]
    assert not any(_in_memory(pid, value.encode()) for value in hashes)
    assert not _in_files(second.folder, second.order["secret"])
    for server in (first, second):
        server.stop()


def test_bob_cannot_use_alices_port(fork_server: ForkServer, alice: OsUser, bob: OsUser) -> None:
    server = fork_server.start(alice)
    for header in ("", "Authorization: token wrong", "Authorization: token ", "Authorization: Bearer x", "Cookie: a=b"):
        for path in ("api/status", "lab", "static/favicon.ico", "login", "api/kernels", "terminals/websocket/1", "x"):
            command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, server.url + path]
            done = subprocess.run(
                ["setpriv", f"--reuid={bob.uid}", f"--regid={bob.gid}", "--clear-groups", *command],
                check=True,
                capture_output=True,
                text=True,
            )
            assert done.stdout == "403", (header, path)
    refused = subprocess.run(
        ["setpriv", f"--reuid={bob.uid}", f"--regid={bob.gid}", "--clear-groups", "ls", str(server.folder / "user")],
        check=False,
        capture_output=True,
    )
    assert refused.returncode != 0
    server.stop()


def test_the_environment_is_clean(fork_server: ForkServer, alice: OsUser) -> None:
    server = fork_server.start(alice, environment={"COURSE": "Python 1", "LANG": "ja_JP.UTF-8"})
    kernel = server.request("POST", "api/kernels").json()["id"]
    pid = until(lambda: _child_with(server.pid, "ipykernel"))
    environment = dict(item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if item)
    assert environment["HOME"] == str(alice.home)
    assert environment["USER"] == environment["LOGNAME"] == alice.name
    assert environment["COURSE"] == "Python 1"
    assert environment["LANG"] == "ja_JP.UTF-8"
    assert environment["PATH"].startswith(f"{Path(sys.executable).parent}:")
    assert environment["JUPYTER_RUNTIME_DIR"] == server.order["runtime_dir"]
    assert not any("secret-of" in value or "token" in name.lower() for name, value in environment.items())
    assert Path(f"/proc/{pid}/cwd").readlink() == alice.home
    assert server.request("DELETE", f"api/kernels/{kernel}").status_code == 204
    server.stop()


def test_a_killed_keeper_leaves_the_server(fork_server: ForkServer, alice: OsUser) -> None:
    server = fork_server.start(alice)
    os.kill(server.keeper, signal.SIGTERM)
    os.kill(server.keeper, signal.SIGHUP)
    assert server.get("api/status").status_code == 200
    os.kill(server.keeper, signal.SIGKILL)
    until(lambda: not server.alive(server.keeper))
    assert server.get("api/status").status_code == 200
    os.kill(server.pid, signal.SIGTERM)
    until(lambda: not server.alive())


def test_the_fork_server_ends_with_its_channel_and_servers_go_on(alice: OsUser) -> None:
    own = ForkServer()
    try:
        server = own.start(alice)
        own.socket.close()
        assert os.waitstatus_to_exitcode(os.waitpid(own.pid, 0)[1]) == 0
        assert server.get("api/status").status_code == 200
        server.stop()
    finally:
        own.close()


def test_a_killed_server_is_told_and_what_it_left_is_ended(fork_server: ForkServer, alice: OsUser) -> None:
    server = fork_server.start(alice)
    server.request("POST", "api/kernels")
    kernel = until(lambda: _child_with(server.pid, "ipykernel"))
    os.kill(server.pid, signal.SIGKILL)
    assert server.event() == {"event": "exit", "code": 0, "signal": 9}
    assert not server.alive(kernel)


def test_a_server_that_is_not_ready_in_time(fork_server: ForkServer, alice: OsUser) -> None:
    config = alice.home / ".jupyter"
    config.mkdir(exist_ok=True)
    file = config / "jupyter_server_config.py"
    file.write_text("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pause()\n")
    try:
        server = fork_server.order(alice, timeout=0.5)
        assert server.failed()["reason"] == "It was not ready after 0.5 seconds."
        assert server.event() == {"event": "exit", "code": 0, "signal": 9}
        assert not server.alive()
    finally:
        file.unlink()


def test_a_server_that_exits_at_once(fork_server: ForkServer, alice: OsUser) -> None:
    config = alice.home / ".jupyter"
    config.mkdir(exist_ok=True)
    file = config / "jupyter_server_config.py"
    try:
        for text, reason in (
            ("import os; os._exit(3)", "It ended while starting, without saying why"),
            ("import sys; sys.exit(3)", "Jupyter ended itself while starting"),
        ):
            file.write_text(text)
            server = fork_server.order(alice)
            assert reason in server.failed()["reason"]
            end = server.event()
            assert end
            assert end["event"] == "exit"
    finally:
        file.unlink()


def test_root_is_refused(fork_server: ForkServer, alice: OsUser) -> None:
    assert "never runs as root" in fork_server.order(alice, uid=0).failed()["reason"]


def test_incomplete_orders_do_not_end_the_fork_server(fork_server: ForkServer, alice: OsUser) -> None:
    fork_server.socket.send(b"{}")
    fork_server.socket.send(b"not json")
    with socket.socket() as one:
        socket.send_fds(fork_server.socket, [b"{}"], [one.fileno()])
    reading, writing = os.pipe()
    log = os.open("/dev/null", os.O_RDWR)
    with socket.socket() as one:
        socket.send_fds(fork_server.socket, [b"{}"], [one.fileno(), log, writing])
    os.close(writing)
    os.close(log)
    with os.fdopen(reading) as lines:
        assert json.loads(lines.readline())["event"] == "failed"
    server = fork_server.start(alice)
    server.stop()
    until(lambda: not _children(fork_server.pid), "no zombie is left")


def test_many_at_once(fork_server: ForkServer, alice: OsUser, bob: OsUser) -> None:
    servers = [fork_server.order(user) for user in (alice, bob) * 4]
    for server in servers:
        server.ready()
    assert len({server.get("api/me").json()["identity"]["username"] for server in servers}) == 2
    for server in servers:
        server.stop()


def test_personal_mode_runs_as_oneself(alice: OsUser) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tests.lab.servers import ForkServer\n"
        "from tests.osusers import OsUser\n"
        "import os\n"
        "me = OsUser(sys.argv[2], '', os.getuid(), os.getgid(), Path(sys.argv[3]))\n"
        "own = ForkServer()\n"
        "server = own.start(me)\n"
        "print(server.get('api/status').status_code, server.stop()['code'])\n"
        "own.close()\n"
    )
    repository = str(Path(__file__).parents[2])
    command = [
        "runuser",
        "-u",
        alice.name,
        "--",
        sys.executable,
        "-c",
        program,
        repository,
        alice.name,
        str(alice.home),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=60)
    assert done.stdout.split() == ["200", "0"], done.stderr


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _child_with(pid: int, word: str) -> int:
    for child in _children(pid):
        if word in Path(f"/proc/{child}/cmdline").read_text():
            return child
    return 0


def _files(pid: int) -> dict[str, str]:
    return {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def _listening(pid: int) -> list[int]:
    """Ports of the TCP sockets among the files of a process."""
    inodes = {re.sub(r"\D", "", name) for name in _files(pid).values()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes]


def _in_memory(pid: int, needle: bytes) -> bool:
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


def _in_files(folder: Path, needle: str) -> bool:
    return any(needle.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
