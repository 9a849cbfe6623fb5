"""Helper processes: at most so many, for at most so long, and nothing of them gets back but the answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from terakoya.launcher.helpers import HelperError, Helpers
from tests.launcher.stage import alive

pytestmark = pytest.mark.anyio


async def test_the_answer_comes_from_another_process() -> None:
    pids = await asyncio.gather(*(Helpers(4, 10).call(os.getpid) for _ in range(8)))
    assert len({*pids, os.getpid()}) == 9
    assert not any(alive(pid) for pid in pids)


async def test_no_more_than_the_limit_at_once(tmp_path: Path) -> None:
    def job() -> int:
        mine = tmp_path / str(os.getpid())
        mine.touch()
        time.sleep(0.02)
        number = len(list(tmp_path.iterdir()))
        mine.unlink()
        return number

    helpers = Helpers(3, 10)
    assert max(await asyncio.gather(*(helpers.call(job) for _ in range(12)))) <= 3


async def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(HelperError):
        await Helpers(1, 1).call(lambda: time.sleep(60))


async def test_one_that_fails_or_dies_does_not_harm(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise ValueError("the password is hunter2")

    helpers = Helpers(1, 10)
    with pytest.raises(HelperError):
        await helpers.call(wrong)
    with pytest.raises(HelperError):
        await helpers.call(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert "hunter2" not in capfd.readouterr().err
    assert await helpers.call(lambda: ["still", "works"]) == ["still", "works"]


async def test_it_inherits_no_open_file(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w"):
        opened = await Helpers(1, 10).call(_open_files)
    assert len(opened) == 1, opened
    assert opened[0].startswith("pipe:")


def _open_files() -> list[str]:
    """Beyond the standard ones, and the folder itself while it is read."""
    links = [link for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2]
    return [str(link.readlink()) for link in links if link.is_symlink()]
