"""`terakoya up` is stopped and started again: notebooks go on; `terakoya down` ends them."""

from __future__ import annotations

import signal

from bench import ours
from bench.people import processes_of
from tests.e2e.house import House, Kernel, wait_for


def test_stopping_leaves_kernels_and_down_ends_them(house: House) -> None:
    with ours.running(everybody=False) as first:
        ours.let_everybody_in(first)
        there = House(first, house.cast, house.browser)
        kernel = Kernel(there.client(there.bob), there.bob)
        kernel.run("kept = 42")
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(30) == 0
        assert "still runs" in first.console.read_text()
        assert processes_of(there.bob.uid)

        second = ours.start(first.config, first.url)
        try:
            # The sign-in of before still counts.
            wait_for(lambda: there.answers(kernel.client, there.bob), "the server is found again")
            assert kernel.run("print(kept)", kernel.open()).strip() == "42"
            second.command("down")
            assert second.process.wait(30) == 0
            wait_for(lambda: not processes_of_this(there), "its servers have ended")
        finally:
            ours.end(second.process)
            there.end_session()


def processes_of_this(house: House) -> list[str]:
    """Keepers' notes of servers that run below this product's own runtime folder."""
    return [str(path) for path in (house.ours.folder / "run/servers").glob("*/keeper.json")]
