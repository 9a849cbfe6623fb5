"""Run as the account by `terakoya doctor`: looks at the database and changes nothing.

`python -m terakoya.ops.lookdata --config FILE [--personal]` prints `{"integrity", "revision", "users", "active"}`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text

from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.db.models import Server, User
from terakoya.ops import tasks

ACTIVE = ("starting", "running", "stopping")


def look(config: Config) -> dict[str, Any]:
    db = Database(config.database_url)
    with db.reading() as session:
        integrity = session.scalar(text("PRAGMA quick_check(1)")) if db.is_sqlite else "ok"
        revision = migrate.current(session.connection())
        if revision is None:
            return {"integrity": integrity, "revision": "none yet", "users": 0, "active": []}
        return {
            "integrity": integrity,
            "revision": revision,
            "users": session.scalar(select(func.count()).select_from(User)),
            "active": list(session.scalars(select(Server.key).where(Server.state.in_(ACTIVE)))),
        }


if __name__ == "__main__":
    tasks.answer(look)
