"""`terakoya down`: ends the supervisor and, if wanted, every user's server, also when no supervisor runs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from terakoya import configfile
from terakoya.config import Config
from terakoya.errors import LauncherUnavailable, NeedsRoot, StillRunning
from terakoya.ops import account, folders, lock, programs, running, tasks
from terakoya.ops.processes import Process

SUPERVISOR_SECONDS = 60
LAUNCHER_SECONDS = 20.0


@dataclass(frozen=True)
class Outcome:
    """What was stopped."""

    supervisor: bool
    servers: int
    left: int


def down(config: Config, *, keep_servers: bool) -> Outcome:
    """Servers first, while the launcher still runs; then the supervisor, which ends the rest in order."""
    pid = lock.holder(config.storage.runtime)
    if pid:
        _check_may_signal(pid)
    answer = {} if keep_servers else _stop_servers(config, supervised=bool(pid))
    if pid:
        os.kill(pid, signal.SIGTERM)
        _await_end(config, pid)
    return Outcome(bool(pid), answer.get("stopped", 0), answer.get("left", 0))


def _check_may_signal(pid: int) -> None:
    try:
        os.kill(pid, 0)
    except PermissionError as error:
        raise NeedsRoot(reason="the running terakoya belongs to another account") from error


def _stop_servers(config: Config, *, supervised: bool) -> dict[str, int]:
    """With the running launcher, or else with one started for just this."""
    records = config.storage.runtime / "servers"
    if not supervised and not (records.is_dir() and any(records.iterdir())):
        return {}
    owner = account.ensure(config)
    if supervised:
        return tasks.run(config, owner, "terakoya.ops.stopservers")
    folders.prepare(config, owner)
    with lock.taken(config.storage.runtime):
        folders.write_private(programs.settings_copy(config), configfile.dump(config), gid=owner.pw_gid)
        launcher = Process(programs.launcher(config, owner))
        launcher.start()
        try:
            _await_launcher(config, launcher)
            return tasks.run(config, owner, "terakoya.ops.stopservers")
        finally:
            launcher.stop(SUPERVISOR_SECONDS)


def _await_launcher(config: Config, launcher: Process) -> None:
    deadline = time.monotonic() + LAUNCHER_SECONDS
    while running.server_keys(config) is None:
        if launcher.ended() or time.monotonic() > deadline:
            raise LauncherUnavailable
        time.sleep(0.05)


def _await_end(config: Config, pid: int) -> None:
    deadline = time.monotonic() + SUPERVISOR_SECONDS
    while lock.holder(config.storage.runtime) == pid:
        if time.monotonic() > deadline:
            raise StillRunning(pid=pid, seconds=SUPERVISOR_SECONDS)
        time.sleep(0.05)
