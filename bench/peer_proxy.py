"""configurable-http-proxy, the proxy of JupyterHub, installed by npm into the benchmarks' own folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.peer import end, folder, free_ports, wait_until_answers


def install() -> Path:
    """The program, installed if it is missing."""
    place = folder()
    program = place / "node_modules/.bin/configurable-http-proxy"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(place)]
        subprocess.run([*command, "configurable-http-proxy"], check=True, stdout=sys.stderr, umask=0o022)
    return program


def version() -> str:
    installed = install().parent.parent / "configurable-http-proxy/package.json"
    return json.loads(installed.read_text())["version"]


@contextlib.contextmanager
def running(route: str, target: str, place: Path) -> Iterator[int]:
    """The port of a proxy that sends `route` to `target`, as JupyterHub would have told it."""
    port, api_port = free_ports(2)
    token = secrets.token_hex(16)
    command = [str(install()), "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command += ["--api-ip", "127.0.0.1", "--api-port", str(api_port), "--default-target", target]
    log = place / "proxy.log"
    with log.open("wb") as output:
        environment = os.environ | {"CONFIGPROXY_AUTH_TOKEN": token}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/", process, log)
        headers = {"authorization": f"token {token}"}
        api = f"http://127.0.0.1:{api_port}/api/routes{route}"
        httpx.post(api, json={"target": target}, headers=headers, trust_env=False).raise_for_status()
        yield port
    finally:
        end(process)
