"""Run as the account before the hub starts: the database is made or brought up to date, the first link is cut.

`python -m terakoya.ops.firststart --config FILE [--personal]` prints one JSON object: `{"link": URL or ""}`, or
`{"error": CODE, "facts": {...}}` for what a person can mend.
"""

from __future__ import annotations

from terakoya.accounts import codes, entry
from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.ops import tasks

WELCOME_SECONDS = 15 * 60


def prepare(config: Config) -> str:
    """Upgrade the database; the one-time link of the welcome page while nobody has set this place up, else ""."""
    db = Database(config.database_url)
    try:
        migrate.upgrade(db)
        if entry.is_set_up(db):
            return ""
        code = codes.make(db, "welcome", {}, WELCOME_SECONDS)
        return f"{config.public_url}/hub/welcome?code={code}"
    finally:
        db.close()


if __name__ == "__main__":
    tasks.answer(lambda config: {"link": prepare(config)})
