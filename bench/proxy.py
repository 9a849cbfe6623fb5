"""Edge and gate, which check every request, against configurable-http-proxy, which checks none.

Both stand before the same small upstream on loopback. Small HTTP answers are asked for by `wrk` on 32 connections;
a websocket echoes short messages one after another. The two sides take turns, and the median of the turns counts.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import our_proxy, peer_proxy, report
from bench.peer import end, free_ports, wait_until_answers
from bench.socket_echo import round_trips

PATH = "/user/alice/api/status"
CONNECTIONS = 32
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass
class Side:
    """One proxy and what was measured of it."""

    port: int
    cookie: str
    rps: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    ws_p50_ms: list[float] = field(default_factory=list)
    ws_p99_ms: list[float] = field(default_factory=list)
    requests: int = 0

    def load(self, seconds: float) -> None:
        """Ask as fast as answers come."""
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", "-H", f"Cookie: {self.cookie}"]
        url = f"http://127.0.0.1:{self.port}{PATH}"
        text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            raise SystemExit(f"not every request was answered:\n{text}")
        self.rps.append(float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]))
        p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
        self.p99_ms.append(float(p99[1]) * UNITS[p99[2]])
        self.requests += int(re.search(r"(\d+) requests in", text)[1])

    def talk(self, messages: int) -> None:
        taken = sorted(round_trips(self.port, "/user/alice/api/kernels/1/channels", self.cookie, messages))
        self.ws_p50_ms.append(1000 * taken[len(taken) // 2])
        self.ws_p99_ms.append(1000 * taken[len(taken) * 99 // 100])


@contextlib.contextmanager
def upstream(place: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    log = place / "echo.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "bench.echo", str(port)], stdout=output, stderr=output)
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/", process, log)
        yield port
    finally:
        end(process)


def measure(rounds: int, seconds: float, messages: int, place: Path, database_url: str) -> tuple[Side, Side]:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(upstream(place))
        edge = stack.enter_context(our_proxy.running(port, place, database_url))
        theirs = stack.enter_context(peer_proxy.running("/user/alice", f"http://127.0.0.1:{port}", place))
        ours, peer = Side(edge.port, edge.cookie), Side(theirs, edge.cookie)
        for side in (ours, peer):
            side.load(1)
            side.talk(200)
        for side in (ours, peer):
            for numbers in (side.rps, side.p99_ms, side.ws_p50_ms, side.ws_p99_ms):
                numbers.clear()
        for _ in range(rounds):
            for side in (ours, peer):
                side.load(seconds)
                side.talk(messages)
        passed = edge.passed()
        if passed < ours.requests:
            raise SystemExit(f"{ours.requests} requests were answered, but only {passed} were checked")
    return ours, peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of HTTP load in each round")
    parser.add_argument("--messages", type=int, default=3000, help="on the websocket in each round")
    parser.add_argument("--database", default="", help="database URL for the gate; empty: SQLite")
    chosen = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk makes the load and is not installed: apt-get install wrk")
    print(f"peer: configurable-http-proxy {peer_proxy.version()}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="terakoya-bench-") as folder:
        place = Path(folder)
        ours, peer = measure(chosen.rounds, chosen.seconds, chosen.messages, place, chosen.database)
    show(ours, peer)


def show(ours: Side, peer: Side) -> None:
    middle = statistics.median
    rps, ws = (middle(ours.rps), middle(peer.rps)), (middle(ours.ws_p50_ms), middle(peer.ws_p50_ms))
    p99, ws99 = (middle(ours.p99_ms), middle(peer.p99_ms)), (middle(ours.ws_p99_ms), middle(peer.ws_p99_ms))
    rows = [
        (f"requests a second, {CONNECTIONS} connections", *rps, rps[0] / rps[1]),
        ("99 of 100 within (ms)", *p99, p99[0] / p99[1]),
        ("websocket echo, half within (ms)", *ws, ws[0] / ws[1]),
        ("websocket echo, 99 of 100 within (ms)", *ws99, ws99[0] / ws99[1]),
    ]
    facts = {
        "http": {"ours_rps": rps[0], "peer_rps": rps[1], "ratio": rps[0] / rps[1]},
        "ws": {"ours_p50_ms": ws[0], "peer_p50_ms": ws[1], "ratio": ws[0] / ws[1]},
    }
    report.show("Proxy: every request checked, against none", rows, facts)


if __name__ == "__main__":
    main()
