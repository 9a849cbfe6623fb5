"""`terakoya up`: prepares everything, starts the five processes, and starts again each one that dies.

The signal handlers only queue; the loop calls `handle_signals()` and `restart_dead()`. Users' servers belong to the
launcher's keepers, not to us: they outlive every process here, and are found again by the next launcher.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

from terakoya import configfile
from terakoya.config import Config
from terakoya.edge import envoy
from terakoya.errors import KeepsDying, NotReady, SettingsError
from terakoya.ops import account, folders, lock, pamfile, ports, programs, ready, running, tasks
from terakoya.ops.certificates import Certificates
from terakoya.ops.processes import Process, Program

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
HOPELESS = 4
"""A process that died this often before everything was ready once will not get better by itself."""

ORDER = ("launcher", "gate", "hub", "edge")
"""Started in this order. Stopped: hub, gate, edge, launcher."""

STOPPED = ("hub", "gate", "edge", "launcher")


class Teller(Protocol):
    """How the supervisor speaks to whoever typed `terakoya up`; see terakoya/commands/up.py."""

    def step(self, text: str) -> None: ...
    def ready(self, config: Config, link: str) -> None: ...
    def died(self, name: str, cause: str, log: str, wait: float) -> None: ...
    def back(self, name: str) -> None: ...
    def note(self, text: str) -> None: ...
    def stopped(self, servers: int | None) -> None: ...


class Supervisor:
    """One run of `terakoya up`."""

    def __init__(self, config: Config, tell: Teller) -> None:
        self.config = config
        self.tell = tell
        self.account: pwd.struct_passwd = account.ensure(config)
        self.certificates = Certificates(config, self.account.pw_uid, self.account.pw_gid)
        self.processes: dict[str, Process] = {}
        self.signals: deque[int] = deque()
        self.link = ""
        self.ready_once = False
        self.stopping = False
        self.on_terminal = os.isatty(0)

    def run(self) -> None:
        """Everything from the first check to the last goodbye; returns when told to stop."""
        folders.prepare(self.config, self.account)
        with lock.taken(self.config.storage.runtime), self._signals_queued() as wake:
            ports.check(self.config)
            try:
                self._start_all()
                self._await_ready(wake)
                while not self.stopping:
                    self._turn(wake, 1.0)
            finally:
                self._stop_all()

    # -- starting ------------------------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        self._write_settings()
        self.certificates.publish()
        if not self.config.personal and self.config.accounts.pam_service == pamfile.OWN:
            pamfile.ensure()
        self._start(programs.launcher(self.config, self.account))
        self.tell.step("Bringing the database up to date")
        self.link = str(tasks.run(self.config, self.account, "terakoya.ops.firststart")["link"])
        edge = self._edge()
        for program in (programs.gate(self.config, self.account), programs.hub(self.config, self.account), edge):
            self._start(program)
        self.tell.step("Starting")

    def _write_settings(self) -> None:
        path = programs.settings_copy(self.config)
        folders.write_private(path, configfile.dump(self.config), gid=self.account.pw_gid)

    def _edge(self) -> Program:
        path = self.config.storage.runtime / "envoy.json"
        folders.write_private(path, envoy.text(self.config), gid=self.account.pw_gid)
        return programs.edge(self.config, self.account, tuple(envoy.command(self.config, path)))

    def _start(self, program: Program) -> None:
        process = self.processes[program.name] = Process(program)
        process.start()

    def _await_ready(self, wake: socket.socket) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.stopping:
            if not ready.health(self.config):
                self.ready_once = True
                self._write_state()
                self.tell.ready(self.config, self.link)
                return
            if time.monotonic() > deadline:
                address, logs = self.config.edge.listen, self.config.storage.logs
                raise NotReady(address=address, seconds=int(READY_SECONDS), logs=logs)
            self._turn(wake, 0.05)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _turn(self, wake: socket.socket, seconds: float) -> None:
        """Sleep until a signal (a child's death is one) or `seconds` have passed, then do what is due."""
        readable, _, _ = select.select([wake], [], [], min(seconds, self._next_start()))
        if readable:
            wake.recv(4096)
        self.handle_signals()
        if not self.stopping:
            self.restart_dead()
            for process in self.processes.values():
                process.program.log.rotate()
            if changed := self.certificates.refresh():
                self.tell.note(changed)

    def handle_signals(self) -> None:
        while self.signals:
            number = self.signals.popleft()
            if number == signal.SIGHUP and not self._hung_up():
                self.reload()
            else:
                self.stopping = True

    def restart_dead(self) -> None:
        """Note who died, and start again who has waited long enough."""
        for name, process in self.processes.items():
            if cause := process.ended():
                wait = process.note_death()
                self._give_up_if_hopeless(process, cause)
                self.tell.died(name, cause, str(process.program.log.path), wait)
                self._write_state()
            if process.popen is None and time.monotonic() >= process.wait_until:
                process.start()
                self._write_state()
                self.tell.back(name)

    def _give_up_if_hopeless(self, process: Process, cause: str) -> None:
        if self.ready_once or process.restarts < HOPELESS:
            return
        log = process.program.log
        said = "\n".join(log.tail(1)) or "nothing"
        raise KeepsDying(process=process.program.name, reason=cause, said=said, log=log.path)

    def _next_start(self) -> float:
        waiting = [process.wait_until for process in self.processes.values() if process.popen is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else 60.0

    def reload(self) -> None:
        """Read the settings again; what can change while running does, the rest waits for the next start."""
        try:
            path = self.config.path if self.config.path.exists() else None
            found = configfile.load(path, personal=self.config.personal)
        except SettingsError as error:
            self.tell.note(f"Settings not changed: {error.what} {error.cure}")
            return
        self.config, waiting = configfile.with_live(self.config, found)
        self._write_settings()
        self.processes["hub"].signal(signal.SIGHUP)
        launcher = programs.launcher(self.config, self.account)
        if launcher.argv != self.processes["launcher"].program.argv:
            self.processes["launcher"].stop(STOP_SECONDS)
            self._start(launcher)
        self.tell.note("Settings read again" + (f"; after a restart also {', '.join(waiting)}" if waiting else ""))

    # -- stopping ------------------------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        servers = running.server_count(self.config) if self.ready_once else None
        for name in STOPPED:
            if name in self.processes:
                self.processes[name].stop(STOP_SECONDS)
        with suppress(OSError):
            running.state_path(self.config).unlink(missing_ok=True)
        if self.ready_once:
            self.tell.stopped(servers)

    # -- facts for others ----------------------------------------------------------------------------------------------

    def _write_state(self) -> None:
        rows = {
            name: {"pid": process.pid, "since": process.since, "restarts": process.restarts}
            for name, process in self.processes.items()
        }
        state = {"pid": os.getpid(), "address": self.config.public_url, "processes": rows}
        folders.write_private(running.state_path(self.config), json.dumps(state), gid=self.account.pw_gid, mode=0o644)

    def _hung_up(self) -> bool:
        """Whether SIGHUP means that our terminal was closed, and not that settings changed."""
        if not self.on_terminal:
            return False
        try:
            os.tcgetpgrp(0)
        except OSError:
            return True
        return False

    def _signals_queued(self) -> _SignalQueue:
        return _SignalQueue(self.signals)


class _SignalQueue:
    """While entered, signals are put in a queue, and a socket wakes whoever waits in select."""

    QUEUED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, queue: deque[int]) -> None:
        self.queue = queue
        self.before: dict[int, object] = {}

    def __enter__(self) -> socket.socket:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.wakeup = signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        for number in self.QUEUED:
            self.before[number] = signal.signal(number, lambda number, _frame: self.queue.append(number))
        self.before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return self.reader

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.reader.close()
        self.writer.close()
