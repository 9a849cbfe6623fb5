"""The hub process: the web application on a Unix socket, until SIGTERM. SIGHUP reads the live settings again."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from terakoya import configfile
from terakoya.backends.local import LocalBackend
from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.errors import TerakoyaError
from terakoya.launcher.client import LauncherClient
from terakoya.servers.runner import Runner
from terakoya.web.app import build
from terakoya.web.labstatic import LabStatic
from terakoya.web.state import Hub

log = logging.getLogger("terakoya.web")

GRACE_SECONDS = 2
"""How long open requests, such as event streams, may hold up the end of the process."""


def main() -> int:
    arguments = _arguments()
    try:
        config = _load(arguments)
        logging.basicConfig(
            level=config.processes.log_level.upper(), format="%(asctime)s hub %(levelname)s %(name)s: %(message)s"
        )
        for chatty in ("httpx", "httpcore", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        asyncio.run(serve(config, arguments))
    except TerakoyaError as error:
        print(f"{error.what} {error.cure}", file=sys.stderr)  # noqa: T201 the supervisor shows it
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="terakoya.web", description=__doc__)
    parser.add_argument("--config", type=Path, help="terakoya.toml; without it the usual place and the defaults")
    parser.add_argument("--personal", action="store_true", default=None, help="one account, without root")
    return parser.parse_args()


def _load(arguments: argparse.Namespace) -> Config:
    # The hub never runs as root, so its own account does not tell which mode it is in.
    return configfile.load(arguments.config, personal=bool(arguments.personal))


async def serve(config: Config, arguments: argparse.Namespace) -> None:
    """Answer on the hub's socket until told to end."""
    db = Database(config.database_url)
    migrate.upgrade(db)
    launcher = LauncherClient(config.socket("launcher"))
    backend = LocalBackend(launcher)
    lab_static = LabStatic(config.storage.state / "lab-static")
    runner = Runner(db, backend, config, lab_static.page_config(config))
    app = build(config, db, launcher, backend, runner, lab_static=lab_static)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ws="none",
        )
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(app.state.hub, arguments))
    with listen(config.socket("hub")) as listener:
        await server.serve(sockets=[listener])
    db.close()


def listen(path: Path) -> socket.socket:
    """A Unix socket that only this account can reach, in place of one that a dead process left."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    listener.bind(str(fresh))
    fresh.chmod(0o600)
    listener.listen(1024)
    fresh.rename(path)  # from now on; a browser that comes in between meets the old one or this
    return listener


def _reload(hub: Hub, arguments: argparse.Namespace) -> None:
    """Take over the settings that may change while running; a file with a mistake changes nothing."""
    try:
        fresh = _load(arguments)
    except TerakoyaError as error:
        log.error("settings stay as they are: %s %s", error.what, error.cure)  # noqa: TRY400 no traceback for a typo
        return
    hub.config, waiting = configfile.with_live(hub.config, fresh)
    hub.runner.config = hub.config
    logging.getLogger().setLevel(hub.config.processes.log_level.upper())
    if waiting:
        log.warning("these settings wait for a restart: %s", ", ".join(waiting))
    log.info("settings read again")


if __name__ == "__main__":
    sys.exit(main())
