"""`python -m terakoya.edge.gate`: answers the edge's question about each request, "may this pass, and where to?".

Keeps nothing that the database does not have; may be killed at any moment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from terakoya.edge.activity import EVERY_SECONDS, Activity, Batch, writer
from terakoya.edge.answers import Answerer
from terakoya.edge.decide import Policy
from terakoya.edge.lookup import connect
from terakoya.edge.measure import Measure
from terakoya.edge.server import GateProtocol, MetricsProtocol

log = logging.getLogger("terakoya.gate")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s gate %(levelname)s %(message)s", stream=sys.stderr)
    url = os.environ.pop("TERAKOYA_DATABASE", "") or options.database
    if not url:
        print("the gate needs --database, or TERAKOYA_DATABASE in its environment", file=sys.stderr)  # noqa: T201
        return 2
    domain = options.user_domain.removeprefix("*.").lower()
    policy = Policy(options.hub_url.rstrip("/"), domain, options.secure)
    answerer = Answerer(policy, connect(url), Activity(), Measure())
    uvloop.run(serve(answerer, writer(url), options.socket, options.metrics_socket, options.write_every))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="terakoya.edge.gate", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="Unix socket to listen on")
    parser.add_argument("--metrics-socket", type=Path, help="Unix socket that answers with counters")
    parser.add_argument("--database", default="", help="database URL; with a password use TERAKOYA_DATABASE instead")
    parser.add_argument("--hub-url", required=True, help="address of the hub for browsers")
    parser.add_argument("--user-domain", default="", help="*.domain under which every user has an origin")
    parser.add_argument("--secure", action="store_true", help="browsers come by https")
    parser.add_argument("--write-every", type=float, default=EVERY_SECONDS, help="seconds between writes of activity")
    return parser


async def serve(
    answerer: Answerer, write: Callable[[Batch], None], path: Path, metrics: Path | None, every: float
) -> None:
    """Until SIGTERM or SIGINT; then what was seen is written down."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with contextlib.AsyncExitStack() as open_servers:
        gate = await loop.create_unix_server(lambda: GateProtocol(answerer), sock=listen(path))
        open_servers.push_async_callback(_close, gate)
        if metrics:
            counters = await loop.create_unix_server(lambda: MetricsProtocol(answerer), sock=listen(metrics))
            open_servers.push_async_callback(_close, counters)
        log.info("listening on %s", path)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), every)
            await _write(answerer, write)


async def _close(server: asyncio.AbstractServer) -> None:
    # Not wait_closed(): the edge keeps its connections open for as long as it likes.
    server.close()


async def _write(answerer: Answerer, write: Callable[[Batch], None]) -> None:
    batch = answerer.activity.take()
    if not batch:
        return
    try:
        await asyncio.get_running_loop().run_in_executor(None, write, batch)
        answerer.measure.writes += 1
    except Exception as error:  # noqa: BLE001 two kinds of database, and the gate goes on in any case
        answerer.activity.give_back(batch)
        answerer.measure.failed_writes += 1
        log.warning("activity was not written, and will be tried again: %s", error)


def listen(path: Path) -> socket.socket:
    """A socket at `path` for this account alone, in place of what a dead process left there, with no gap between."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(str(fresh))
    finally:
        os.umask(before)
    made.listen(4096)
    fresh.rename(path)
    return made


if __name__ == "__main__":
    sys.exit(main())
