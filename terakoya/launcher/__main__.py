"""The launcher: `python -I -m terakoya.launcher --socket PATH ...`. Root, or one's own account in the personal mode."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import grp
import logging
import os
import pwd
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from terakoya.launcher import cgroups, pam
from terakoya.launcher.forking import ForkServer
from terakoya.launcher.people import Who
from terakoya.launcher.records import Records
from terakoya.launcher.server import Means
from terakoya.launcher.service import Service, listen

_LOCK_SECONDS = 5.0


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Servers stay."""
    options = _options(argv)
    logging.basicConfig(format="launcher: %(message)s", level=logging.INFO, stream=sys.stderr)
    os.chdir("/")
    os.umask(0o077)
    try:
        with _only_one(options.socket):
            asyncio.run(_run(options))
    except BlockingIOError:
        print(f"launcher: another one already serves {options.socket}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="terakoya.launcher", allow_abbrev=False)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--servers", type=Path, required=True, help="folder of running servers' files")
    parser.add_argument("--logs", type=Path, required=True, help="folder of servers' logs")
    parser.add_argument("--account", required=True, help="the account that may ask, beside root")
    parser.add_argument("--pam-service", default="terakoya")
    parser.add_argument("--minimum-uid", type=int, default=1000)
    parser.add_argument("--server-python", default=sys.executable, help="the Python that has JupyterLab")
    return parser.parse_args(argv)


@contextlib.contextmanager
def _only_one(socket_path: Path) -> Iterator[IO[str]]:
    """Two launchers would fight over the same servers. One that is just ending is waited for."""
    with socket_path.with_suffix(".lock").open("w") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                yield lock
                return


async def _run(options: argparse.Namespace) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    service, fork_server = _build(options)
    await service.recover()
    listener = listen(options.socket, _gid(options.account))
    working: list[asyncio.Task[None]] = [
        asyncio.create_task(fork_server.run()),
        asyncio.create_task(service.serve(listener)),
        asyncio.create_task(service.tend()),
    ]
    waiting = asyncio.create_task(ending.wait())
    await asyncio.wait([*working, waiting], return_when=asyncio.FIRST_COMPLETED)
    broken = [task for task in working if task.done()]
    for task in working:
        task.cancel()
    await asyncio.wait(working)
    for task in broken:
        task.result()


def _build(options: argparse.Namespace) -> tuple[Service, ForkServer]:
    root = os.geteuid() == 0
    options.servers.mkdir(parents=True, exist_ok=True)
    options.servers.chmod(0o711 if root else 0o700)
    options.logs.mkdir(parents=True, exist_ok=True)
    pam.load()
    note = options.servers.parent / "forkserver.json"
    fork_server = ForkServer(options.server_python, note)
    means = Means(
        records=Records(options.servers),
        cgroups=cgroups.find(),
        fork_server=fork_server,
        logs=options.logs,
        root=root,
        log_gid=_gid(options.account),
        pam_service=pam.service(options.pam_service),
    )
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # three open files for each server
    peers = frozenset({0, pwd.getpwnam(options.account).pw_uid if root else os.geteuid()})
    return Service(means, Who(options.minimum_uid, os.geteuid()), peers, note), fork_server


def _gid(account: str) -> int | None:
    """The account's group; None without root, when everything is one's own anyway."""
    return grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_gid if os.geteuid() == 0 else None


if __name__ == "__main__":
    sys.exit(main())
