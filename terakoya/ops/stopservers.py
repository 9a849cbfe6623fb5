"""Run as the account by `terakoya down`: stops every user's server and writes it down.

`python -m terakoya.ops.stopservers --config FILE [--personal]` prints `{"stopped": N, "left": N}`. It asks the
launcher itself, so that it works the same whether a hub runs or not; the rows are claimed, so a hub keeps off.
"""

from __future__ import annotations

import asyncio

from terakoya.config import Config
from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.errors import TerakoyaError
from terakoya.launcher.client import LauncherClient
from terakoya.ops import tasks
from terakoya.servers import life

AT_ONCE = 32


async def stop_all(config: Config, db: Database, launcher: LauncherClient) -> dict[str, int]:
    """Stop all that the launcher has, at most 32 at the same moment."""
    rows = {server.key: server for server in life.unsettled(db)}
    for server in rows.values():
        life.begin_stop(db, server.id)
    keys = {str(server["key"]) for server in await launcher.list()} | rows.keys() - {""}
    places = asyncio.Semaphore(AT_ONCE)

    async def stop_one(key: str) -> bool:
        async with places:
            try:
                await launcher.stop(key, config.servers.stop_timeout)
            except TerakoyaError:
                return False
        if key in rows:
            await asyncio.to_thread(life.stopped, db, rows[key].id, key)
        return True

    done = await asyncio.gather(*(stop_one(key) for key in keys))
    return {"stopped": sum(done), "left": len(done) - sum(done)}


def stop(config: Config) -> dict[str, int]:
    db = Database(config.database_url)
    migrate.upgrade(db)
    try:
        return asyncio.run(stop_all(config, db, LauncherClient(config.socket("launcher"))))
    finally:
        db.close()


if __name__ == "__main__":
    tasks.answer(stop)
