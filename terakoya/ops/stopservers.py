"""Run as the account by `terakoya down`: stops every user's server and writes it down.

`python -m terakoya.ops.stopservers --config FILE [--personal]` prints `{"stopped": N, "left": N}`. It asks the
launcher itself, so that it works the same whether a hub runs or not; the rows are claimed, so a hub keeps off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from terakoya import configfile
from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.errors import TerakoyaError
from terakoya.launcher.client import LauncherClient
from terakoya.servers import life

AT_ONCE = 32


async def stop_all(config: Config, db: Database, launcher: LauncherClient) -> dict[str, int]:
    """Stop all that the launcher has, at most 32 at the same moment."""
    rows = {server.key: server for server in life.unsettled(db)}
    for server in rows.values():
        life.begin_stop(db, server.id)
    keys = {str(server["key"]) for server in await launcher.list()} | rows.keys() - {""}
    places = asyncio.Semaphore(AT_ONCE)

    async def stop(key: str) -> bool:
        async with places:
            try:
                await launcher.stop(key, config.servers.stop_timeout)
            except TerakoyaError:
                return False
        if key in rows:
            await asyncio.to_thread(life.stopped, db, rows[key].id, key)
        return True

    done = await asyncio.gather(*(stop(key) for key in keys))
    return {"stopped": sum(done), "left": len(done) - sum(done)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="terakoya.ops.stopservers")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--personal", action="store_true")
    arguments = parser.parse_args()
    try:
        config = configfile.load(arguments.config, personal=arguments.personal)
        db = Database(config.database_url)
        migrate.upgrade(db)
        answer: dict[str, object] = dict(asyncio.run(stop_all(config, db, LauncherClient(config.socket("launcher")))))
    except TerakoyaError as error:
        answer = {"error": error.code, "facts": {key: str(value) for key, value in error.facts.items()}}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
