"""The peer: the newest JupyterHub with configurable-http-proxy, installed into a folder of the benchmark's own.

It is set up as its documentation says (PAM, LocalProcessSpawner, SQLite, one proxy), with the same JupyterLab, Notebook
and ipywidgets as ours, and is given every time-out it could need. `python -m bench.peer` installs it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

SAME = ("jupyterlab", "notebook", "ipywidgets", "jupyter_server", "ipykernel", "tornado")
"""Installed in the same version on both sides, so that only the hub differs."""

CONFIG = """\
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "pam"
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.PAMAuthenticator.service = "login"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.Spawner.cmd = ["{bin}/jupyterhub-singleuser"]
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600
"""


@dataclass(frozen=True)
class Peer:
    """A running JupyterHub."""

    url: str
    pid: int
    log: Path


def folder() -> Path:
    """Where the peer is installed; ordinary users must be able to run what lies there."""
    usual = Path("/var/tmp/terakoya-bench") if os.geteuid() == 0 else Path.home() / ".cache/terakoya-bench"
    return Path(os.environ.get("TERAKOYA_BENCH_DIR") or usual)


def install() -> dict[str, str]:
    """Install what is missing; the versions of what is there."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    done = place / "installed.json"
    wanted = {name: importlib.metadata.version(name) for name in SAME}
    if done.exists():
        versions: dict[str, str] = json.loads(done.read_text())
        if all(versions[name] == version for name, version in wanted.items()):
            return versions
    base = getattr(sys, "_base_executable", sys.executable)
    pip = [f"{place}/venv/bin/python", "-m", "pip", "install", "--quiet", "--upgrade"]
    _run([base, "-m", "venv", "--clear", f"{place}/venv"])
    _run([*pip, "jupyterhub", *(f"{name}=={version}" for name, version in wanted.items())])
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(place), "configurable-http-proxy"])
    listed = subprocess.run([*pip[:3], "list", "--format=json"], capture_output=True, check=True)
    versions = {row["name"].replace("-", "_"): row["version"] for row in json.loads(listed.stdout)}
    proxy = json.loads((place / "node_modules/configurable-http-proxy/package.json").read_text())
    node = subprocess.run(["node", "--version"], capture_output=True, check=True, text=True).stdout.strip()
    versions = {name: versions[name] for name in ("jupyterhub", *SAME)}
    versions |= {"configurable-http-proxy": proxy["version"], "node": node}
    done.write_text(json.dumps(versions))
    return versions


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr, umask=0o022)


@contextlib.contextmanager
def running() -> Iterator[Peer]:
    """A JupyterHub on a free loopback port, in a folder of its own, ended with its proxy and servers afterwards."""
    install()
    place = Path(tempfile.mkdtemp(prefix="terakoya-peer-"))
    process = None
    try:
        process, peer = _start(place)
        yield peer
    finally:
        if process is not None:
            end(process)
        _end_proxy(place)
        shutil.rmtree(place, ignore_errors=True)


def _start(place: Path) -> tuple[subprocess.Popen[bytes], Peer]:
    port, hub_port, api_port = free_ports(3)
    bin_folder = folder() / "venv/bin"
    config = place / "jupyterhub_config.py"
    config.write_text(
        CONFIG.format(
            port=port,
            hub_port=hub_port,
            api_port=api_port,
            folder=place,
            proxy=folder() / "node_modules/.bin/configurable-http-proxy",
            bin=bin_folder,
        )
    )
    environment = {
        "PATH": f"{bin_folder}:{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
    }
    log = place / "jupyterhub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [f"{bin_folder}/jupyterhub", "--config", str(config)],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
        )
    peer = Peer(f"http://127.0.0.1:{port}", process.pid, log)
    try:
        wait_until_answers(f"{peer.url}/hub/login", process, log)
    except BaseException:
        end(process)
        raise
    return process, peer


def _end_proxy(place: Path) -> None:
    """JupyterHub ends its proxy itself, unless it was ended while it started."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((place / "proxy.pid").read_text())
        if b"configurable-http-proxy" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Wait until `url` answers 200; RuntimeError with the log if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, verify=False, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-5000:]}")


def end(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Ask the process to end; end it and its process group after a while."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    print(json.dumps(install()))
