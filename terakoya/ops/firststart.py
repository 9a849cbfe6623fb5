"""Run as the account before the hub starts: the database is made or brought up to date, the first link is cut.

`python -m terakoya.ops.firststart --config FILE [--personal]` prints one JSON object: `{"link": URL or ""}`, or
`{"error": CODE, "facts": {...}}` for what a person can mend.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from terakoya import configfile
from terakoya.config import Config
from terakoya.errors import TerakoyaError

WELCOME_SECONDS = 15 * 60


def prepare(config: Config) -> str:
    """Upgrade the database; the one-time link of the welcome page while nobody has set this place up, else ""."""
    from terakoya.accounts import codes, entry
    from terakoya.db import migrate
    from terakoya.db.engine import Database

    db = Database(config.database_url)
    try:
        migrate.upgrade(db)
        if entry.is_set_up(db):
            return ""
        code = codes.make(db, "welcome", {}, WELCOME_SECONDS)
        return f"{config.public_url}/hub/welcome?code={code}"
    finally:
        db.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="terakoya.ops.firststart")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--personal", action="store_true")
    arguments = parser.parse_args()
    try:
        answer: dict[str, object] = {"link": prepare(configfile.load(arguments.config, personal=arguments.personal))}
    except TerakoyaError as error:
        answer = {"error": error.code, "facts": {key: str(value) for key, value in error.facts.items()}}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
