"""From posting the password until the user's Jupyter server answers: ours against JupyterHub, one user and a storm.

    python -m bench.start --users 1,20

Needs root: it makes real users of the operating system, and both sides check their passwords by PAM.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench import memory, ours, peer, report
from bench.people import Person, people
from bench.visitor import storm

REPEATS = 3
"""How many people sign in one after another for the median of "one"."""


class Side(Protocol):
    """A running hub."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class Result:
    """Seconds, and MB of PSS per idle server while those of the storm are all there."""

    one_s: float
    storm_s: float
    pss_mb: float


def measure(start: Callable[[], AbstractContextManager[Side]], persons: list[Person], crowd: int) -> Result:
    """Everything on one side. The storm's time is that of the last one ready."""
    with start() as side:
        alone = [asyncio.run(storm(side.url, [person]))[0] for person in persons[crowd:]]
    with start() as side:
        together = asyncio.run(storm(side.url, persons[:crowd]))
        pss = memory.settled_pss_mb(persons[:crowd])
    return Result(statistics.median(alone), max(together), pss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", default="1,20", help="alone, and in the storm (default 1,20)")
    crowd = max(int(part) for part in parser.parse_args().users.split(","))
    print(f"peer: {peer.install()}", file=sys.stderr)
    results = []
    for start in (peer.running, ours.running):
        with people(crowd + REPEATS) as persons:
            results.append(measure(start, persons, crowd))
    theirs, mine = results
    one = {"ours_s": mine.one_s, "peer_s": theirs.one_s, "ratio": theirs.one_s / mine.one_s}
    many = {"users": crowd, "ours_s": mine.storm_s, "peer_s": theirs.storm_s, "ratio": theirs.storm_s / mine.storm_s}
    pss = {"ours": mine.pss_mb, "peer": theirs.pss_mb, "ratio": mine.pss_mb / theirs.pss_mb}
    rows = [
        ("one user, password to ready (s)", mine.one_s, theirs.one_s, one["ratio"]),
        (f"{crowd} users at once, all ready (s)", mine.storm_s, theirs.storm_s, many["ratio"]),
        ("memory of an idle server (PSS, MB)", mine.pss_mb, theirs.pss_mb, pss["ratio"]),
    ]
    report.show("Starting", rows, {"one": one, "storm": many, "pss_mb": pss})


if __name__ == "__main__":
    main()
