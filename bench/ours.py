"""The real `terakoya up`, as root, in folders of its own on a free loopback port; all of it is ended afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peer import end, free_ports, wait_until_answers

TERAKOYA = (sys.executable, "-m", "terakoya.cli")

SETTINGS = """\
[edge]
listen = "{address}"

[accounts]
pam_service = "login"

[storage]
state = "{folder}/state"
runtime = "{folder}/run"
logs = "{folder}/logs"
"""
"""PAM's usual service, as the peer uses it."""


@dataclass(frozen=True)
class Ours:
    """A running terakoya."""

    url: str
    config: Path
    process: subprocess.Popen[bytes]
    console: Path
    """What `terakoya up` prints goes here."""

    @property
    def folder(self) -> Path:
        return self.config.parent

    def command(self, *arguments: str) -> str:
        """Run `terakoya ...` on this one; what it prints."""
        command = [*TERAKOYA, *arguments, "--config", str(self.config)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise RuntimeError(f"terakoya {' '.join(arguments)}: {done.stdout}\n{done.stderr}")
        return done.stdout


@contextlib.contextmanager
def running(*, everybody: bool = True, more_settings: str = "") -> Iterator[Ours]:
    """A terakoya at rest that lets in everybody, or (`everybody` false) one that still waits for its welcome page."""
    folder = Path(tempfile.mkdtemp(prefix="terakoya-ours-"))
    folder.chmod(0o755)
    (port,) = free_ports(1)
    config = folder / "terakoya.toml"
    config.write_text(SETTINGS.format(address=f"127.0.0.1:{port}", folder=folder) + more_settings)
    started = None
    try:
        started = start(config, f"http://localhost:{port}")
        if everybody:
            let_everybody_in(started)
            _wait_until_at_rest(started)
        yield started
    finally:
        if started is not None:
            stop(started)
        shutil.rmtree(folder, ignore_errors=True)


def start(config: Path, url: str) -> Ours:
    """`terakoya up`, until it says that it is ready."""
    console = config.with_name("console.txt")
    with console.open("ab") as output:
        process = subprocess.Popen(
            [*TERAKOYA, "up", "--config", str(config)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_answers(f"{url}/hub/health", process, console)
        _wait_for_fork_server(config, process)
    except BaseException:
        end(process)
        raise
    return Ours(url, config, process, console)


def stop(ours: Ours) -> None:
    """`terakoya down`: the processes and every user's server."""
    with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
        ours.command("down")
    end(ours.process)


def _wait_for_fork_server(config: Path, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """The hub answers a second or two before the fork server has imported everything; both sides begin rested."""
    deadline = time.monotonic() + seconds
    said: object = "nothing"
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            said = _ask_launcher(config)["fork_server"]
            if said == "ready":
                return
        time.sleep(0.05)
    raise RuntimeError(f"the fork server is not ready, the launcher says: {said}")


def _ask_launcher(config: Path) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(config.parent / "run/launcher.sock"))
        connection.sendall(b'{"verb": "ping"}\n')
        answer: dict[str, object] = json.loads(connection.makefile().readline())
        return answer


def _wait_until_at_rest(ours: Ours, seconds: float = 300.0) -> None:
    """After an installation the hub compresses JupyterLab's files once, at the lowest priority; let it end first."""
    hub = json.loads((ours.folder / "run/supervisor.json").read_text())["processes"]["hub"]["pid"]
    deadline = time.monotonic() + seconds
    while LOWEST_PRIORITY in _priorities(hub) and time.monotonic() < deadline:
        time.sleep(0.2)


def _priorities(pid: int) -> set[int]:
    """The nice values of the threads of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return {int(task.read_text().rpartition(")")[2].split()[16]) for task in tasks}


LOWEST_PRIORITY = 19

WELCOME = """\
import sys
from pathlib import Path
from terakoya import configfile
from terakoya.accounts import entry
from terakoya.commands.common import database

with database(configfile.load(Path(sys.argv[1]))) as db:
    entry.set_up(db, "tkbadmin", entry.Rule(everybody=True))
"""


def let_everybody_in(ours: Ours) -> None:
    """What the welcome page does: a first administrator, and every account of the machine may enter."""
    subprocess.run([sys.executable, "-c", WELCOME, str(ours.config)], check=True)
