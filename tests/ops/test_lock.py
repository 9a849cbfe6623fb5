"""Of two supervisors one runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from terakoya.errors import AlreadyRunning
from terakoya.ops import lock


def test_a_second_one_is_told_who_the_first_is(tmp_path: Path) -> None:
    with lock.taken(tmp_path):
        assert lock.holder(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunning) as error, lock.taken(tmp_path):
            pass
        assert error.value.facts["pid"] == os.getpid()
    assert lock.holder(tmp_path) is None
    with lock.taken(tmp_path):
        pass


def test_death_gives_the_lock_back(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from terakoya.ops import lock\n"
        "with lock.taken(Path(sys.argv[1])): print('have', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "have\n"
        assert lock.holder(tmp_path) == process.pid
        process.kill()
        process.wait()
    assert lock.holder(tmp_path) is None


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious", encoding="utf-8")
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    lock.path_in(runtime).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), lock.taken(runtime):
        pass
    assert target.read_text(encoding="utf-8") == "precious"
