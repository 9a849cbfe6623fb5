"""Run as the account before the hub starts: the database is made or brought up to date, the first link is cut.

`python -m terakoya.ops.firststart --config FILE [--personal]` prints one JSON object: `{"link": URL or ""}`, or
`{"error": CODE, "facts": {...}}` for what a person can mend.
"""

from __future__ import annotations

import os
import pwd

from terakoya.accounts import links
from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.ops import tasks


def prepare(config: Config) -> str:
    """Upgrade the database; the one-time link to print, or ""."""
    db = Database(config.database_url)
    try:
        migrate.upgrade(db)
        return links.first(db, config, pwd.getpwuid(os.getuid()).pw_name)
    finally:
        db.close()


if __name__ == "__main__":
    tasks.answer(lambda config: {"link": prepare(config)})
