"""The database, and whether it and the launcher say the same. The look itself is done as the account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from terakoya import configfile
from terakoya.ops import account, folders, programs, running, tasks
from terakoya.ops.checks.base import Facts, Finding, fail, ok, warn


def database(facts: Facts) -> Finding:
    if not _exists(facts):
        return ok("made at the first start")
    answer = _look(facts)
    if answer["integrity"] != "ok":
        return fail(f"it is damaged: {answer['integrity']}", "Stop terakoya and bring back the newest backup.")
    return ok(f"revision {answer['revision']}, {answer['users']} users")


def servers(facts: Facts) -> Finding:
    """What the launcher has and no row knows, or the other way round; either lasts some seconds at most."""
    if facts.ping is None or not _exists(facts):
        return ok("terakoya is not running") if facts.supervisor is None else warn("not known", "See the launcher.")
    written, real = set(_look(facts)["active"]), set(running.server_keys(facts.config) or ())
    if lost := real - written:
        return warn(f"{len(lost)} run that the database doesn't know", "If it stays so: terakoya down, terakoya up.")
    if gone := written - real:
        return warn(f"{len(gone)} don't run that the database has as running", "The hub mends it within seconds.")
    return ok(f"{len(real)} running, as the database says")


def _exists(facts: Facts) -> bool:
    """An SQLite file that is not there yet is nothing wrong."""
    url = make_url(facts.config.database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def _look(facts: Facts) -> dict[str, Any]:
    owner = account.ensure(facts.config)
    if not programs.settings_copy(facts.config).exists():
        folders.prepare(facts.config, owner)
        text = configfile.dump(facts.config)
        folders.write_private(programs.settings_copy(facts.config), text, gid=owner.pw_gid)
    return tasks.run(facts.config, owner, "terakoya.ops.lookdata")
