"""A child of the supervisor: under which account it starts, that it dies with us, and how it ended."""

from __future__ import annotations

import os
import pwd
import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from terakoya.ops.logs import Log

STEADY_SECONDS = 20.0
"""Who lived this long and then dies is restarted at once; who dies sooner waits a little longer each time."""

LONGEST_WAIT = 4.0


@dataclass(frozen=True)
class Program:
    """What to run and as whom."""

    name: str
    argv: tuple[str, ...]
    log: Log
    account: str = ""
    """Empty: as the supervisor itself."""
    low_port: bool = False
    """Whether it must be able to listen on a port below 1024."""
    confined: bool = True
    """Whether it can do without ever gaining rights by setuid programs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o077

    @property
    def command(self) -> list[str]:
        """`argv` through setpriv, which drops rights and makes the program die with the supervisor.

        The death signal must be set after the change of account, which would clear it.
        """
        options = ["--pdeathsig", "KILL"]
        if self.confined:
            options += ["--no-new-privs"]
        if self.account:
            kept = "-all,+net_bind_service" if self.low_port else "-all"
            entry = pwd.getpwnam(self.account)
            options += ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--init-groups"]
            options += ["--inh-caps", kept, "--ambient-caps", kept, "--bounding-set", kept]
        return ["setpriv", *options, "--", *self.argv]


@dataclass
class Process:
    """A program that is kept running."""

    program: Program
    popen: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0
    wait_until: float = 0.0

    @property
    def pid(self) -> int | None:
        return self.popen.pid if self.popen else None

    def start(self) -> None:
        log = self.program.log.open()
        try:
            self.popen = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(self.program.environment),
                umask=self.program.umask,
                # A session of its own: Ctrl-C in the terminal is for the supervisor, which ends the others in order.
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.since = time.time()
        if self.program.account:
            _raise_file_limit(self.popen.pid)

    def ended(self) -> str:
        """Why it ended, or empty while it runs."""
        if self.popen is None:
            return ""
        code = self.popen.poll()
        if code is None:
            return ""
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def note_death(self) -> float:
        """Forget the ended child; returns how many seconds to wait before the next start."""
        steady = time.time() - self.since >= STEADY_SECONDS
        self.quick_deaths = 0 if steady else self.quick_deaths + 1
        wait = 0.0 if self.quick_deaths <= 1 else min(LONGEST_WAIT, 0.25 * 2.0**self.quick_deaths)
        self.popen, self.wait_until = None, time.monotonic() + wait
        self.restarts += 1
        return wait

    def signal(self, number: int) -> None:
        if self.popen is not None:
            self.popen.send_signal(number)

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL for who does not go within `seconds`."""
        if self.popen is None:
            return
        self.popen.terminate()
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.popen = None


def _raise_file_limit(pid: int) -> None:
    """A thousand open websockets need more descriptors than the usual soft limit."""
    with suppress(OSError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
