"""Control groups of this machine: version 1 as it is mounted, version 2 as far as it has it, and none."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from terakoya.launcher import cgroups
from tests.launcher.stage import until

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def version2_only() -> cgroups.Cgroups:
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    return cgroups.find("\n".join(mounts))


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_counting_and_killing(version: str) -> None:
    found = cgroups.find() if version == "v1" else version2_only()
    if found.kind != version:
        pytest.skip(f"this machine has no {version} that can be written")
    group = found.make(f"test-{secrets.token_hex(4)}")
    script = f"""
import subprocess
for path in {group.task_files!r}:
    open(path, "w").write("0")
subprocess.Popen(["setsid", "-f", "sleep", "1000"]).wait()
while True: pass
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:  # noqa: ASYNC220 quick enough
        try:
            until(lambda: len(group.pids()) >= 2)
            assert process.pid in group.pids()
            until(lambda: (group.cpu_seconds() or 0) > 0.05)
            if version == "v1":
                assert (group.memory_bytes() or 0) > 100_000
            assert not group.remove()
            await group.kill(spare={process.pid})
            assert group.pids() == {process.pid}
            await group.kill()
            assert group.pids() == set()
        finally:
            process.kill()
    until(group.remove)
    assert group.remove()


async def test_none() -> None:
    found = cgroups.find("proc /proc proc rw 0 0\n", "")
    group = found.make("anything")
    assert (found.kind, group.folders, group.task_files, group.pids()) == ("none", (), [], set())
    assert group.cpu_seconds() is None
    assert group.memory_bytes() is None
    await group.kill()
    assert group.remove()


def test_a_hierarchy_that_cannot_be_written(tmp_path: Path) -> None:
    mounts = f"cgroup2 {tmp_path / 'missing'} cgroup2 ro 0 0\ncgroup {tmp_path} cgroup rw,memory 0 0\n"
    assert cgroups.find(mounts, "4:memory:/\n0::/\n").kind == "none"
