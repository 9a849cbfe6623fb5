"""Which of JupyterLab's files every page loads first, learned from browsers, so that others may fetch them ahead."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import Counter
from pathlib import Path

log = logging.getLogger(__name__)

WINDOW = 8.0
"""Seconds after the page's main script in which a file counts as part of opening the page."""
MOST = 150
_FIXED_NAME = re.compile(r"(?P<name>[\w.-]+\.(?P<hash>[0-9a-f]{8,64})\.js)(\?v=(?P=hash))?")


class First:
    """Counts requests. `seed`: what is known to come first; the list is kept in `path` from one hub to the next."""

    def __init__(self, seed: list[str], path: Path) -> None:
        self.seed, self.path = seed, path
        self.counts: Counter[str] = Counter()
        self.opened = 0.0
        self.known = _read(path)
        self.lock = threading.Lock()

    def names(self) -> list[str]:
        """Names with the query that browsers ask with, the seed first."""
        return [*self.seed, *(name for name in self.known if name not in self.seed)][:MOST]

    def asked(self, name: str) -> None:
        """A browser asked for `name`, a file that exists, with its query."""
        if not _FIXED_NAME.fullmatch(name):
            return
        with self.lock:
            now = time.monotonic()
            if name in self.seed[:1]:
                self.opened = now
            if now - self.opened < WINDOW:
                self.counts[name] += 1
                self._learn(name)

    def _learn(self, name: str) -> None:
        """A file that comes with at least every other opening belongs to opening."""
        openings = self.counts[self.seed[0]] if self.seed else 0
        if name in self.known or name in self.seed or self.counts[name] * 2 < openings:
            return
        self.known.append(name)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps(self.known))
            fresh.replace(self.path)
        except OSError as error:
            log.info("%s can't be written: %s", self.path, error)


def _read(path: Path) -> list[str]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [name for name in known if isinstance(name, str) and _FIXED_NAME.fullmatch(name)]
