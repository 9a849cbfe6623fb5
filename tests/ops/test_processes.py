"""Children start with few rights, die with their owner, and are started again ever more slowly."""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from terakoya.ops.logs import Log
from terakoya.ops.processes import LONGEST_WAIT, Process, Program

PATH = {"PATH": os.environ["PATH"]}


def program(tmp_path: Path, code: str, **options: object) -> Program:
    argv = (sys.executable, "-I", "-c", code)
    return Program("child", argv, Log(tmp_path / "child.log"), environment=PATH, **options)  # type: ignore[arg-type]


def ended(pid: int, seconds: float = 10) -> bool:
    """Whether the process ends in time (a child that nobody has waited for yet counts)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def test_what_it_says_is_in_the_log(tmp_path: Path) -> None:
    child = Process(program(tmp_path, "import os; print('hello', os.getcwd(), os.getsid(0) == os.getpid()); 1/0"))
    child.start()
    assert child.pid is not None
    assert ended(child.pid)
    assert child.ended() == "exit code 1"
    tail = child.program.log.tail()
    assert "ZeroDivisionError: division by zero" in tail
    assert "hello / True" in tail


def test_the_signal_that_ended_it_is_named(tmp_path: Path) -> None:
    child = Process(program(tmp_path, "import time; time.sleep(60)"))
    child.start()
    assert child.ended() == ""
    child.signal(signal.SIGKILL)
    assert child.pid is not None
    assert ended(child.pid)
    assert child.ended() == "signal SIGKILL"


def test_quick_deaths_wait_longer_each_time(tmp_path: Path) -> None:
    child = Process(program(tmp_path, ""))
    child.since = time.time()
    waits = [child.note_death() for _ in range(8)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT
    child.since = time.time() - 3600
    assert child.note_death() == 0


def test_who_does_not_go_is_made_to(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = Process(program(tmp_path, code))
    child.start()
    deadline = time.monotonic() + 10
    while not child.program.log.tail() and time.monotonic() < deadline:
        os.sched_yield()
    child.stop(0.1)
    assert child.pid is None


def test_children_die_with_their_owner_whatever_killed_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from terakoya.ops.logs import Log; from terakoya.ops.processes import Process, Program\n"
        "p = Process(Program('child', ('sleep', '60'), Log(Path(sys.argv[1])), environment={'PATH': '/usr/bin:/bin'},"
        " account=sys.argv[2]))\n"
        "p.start(); print(p.pid, flush=True); time.sleep(60)"
    )
    account = "nobody" if os.geteuid() == 0 else ""
    command = [sys.executable, "-c", code, str(tmp_path / "log"), account]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        deadline = time.monotonic() + 10  # until setpriv has become sleep, the death signal is not set
        while Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() != "sleep" and time.monotonic() < deadline:
            os.sched_yield()
        owner.kill()
        owner.wait()
    assert ended(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to change accounts")
@pytest.mark.parametrize(("low_port", "capabilities"), [(False, 0), (True, 1 << 10)])
def test_rights_are_dropped_for_good(tmp_path: Path, low_port: bool, capabilities: int) -> None:
    code = "import os; print(os.getresuid(), os.getresgid(), os.getgroups()); print(open('/proc/self/status').read())"
    child = Process(program(tmp_path, code, account="nobody", low_port=low_port))
    child.start()
    assert child.pid is not None
    assert ended(child.pid)
    assert child.ended() == "exit code 0"
    text = child.program.log.path.read_text(encoding="ascii")
    nobody = pwd.getpwnam("nobody")
    assert text.startswith(f"{(nobody.pw_uid,) * 3} {(nobody.pw_gid,) * 3} [{nobody.pw_gid}]")
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert int(status["NoNewPrivs"]) == 1
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == capabilities, kind


def test_a_log_starts_anew_when_it_is_long(tmp_path: Path) -> None:
    log = Log(tmp_path / "hub.log")
    fd = log.open()
    os.write(fd, b"a" * 100 + b"\n")
    log.rotate(limit=50)
    os.write(fd, b"after\n")
    os.close(fd)
    assert log.path.read_bytes() == b"after\n"
    assert log.path.with_name("hub.log.1").read_bytes() == b"a" * 100 + b"\n"
    log.rotate(limit=50)
    assert log.tail() == ["after"]
