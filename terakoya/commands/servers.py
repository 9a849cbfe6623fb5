"""terakoya server: the users' notebook servers. Commands write down the wish; the running hub fulfils it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terakoya.commands.common import (
    AsJson,
    ConfigPath,
    ago,
    answer,
    console,
    database,
    print_json,
    settings,
    size,
    table,
)

if TYPE_CHECKING:
    from terakoya.config import Config
    from terakoya.db.engine import Database
    from terakoya.db.models import Server

app = typer.Typer(help="Users' servers: list, start, stop.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.", show_default=False)]
ServerName = Annotated[str, typer.Argument(help="The name of a named server; usually none.", show_default=False)]

SLACK = 15.0
"""Seconds that the hub may take beside what starting or stopping itself may take."""

COLOURS = {"running": "green", "starting": "yellow", "stopping": "yellow", "failed": "red"}


def facts(server: Server) -> dict[str, Any]:
    """A server for scripts. Times are seconds since 1970, `cpu` is in processors, `memory` in bytes."""
    names = ("state", "wish", "reason", "started_at", "last_activity", "kernels", "kernels_busy", "cpu", "memory")
    return {"user": server.user.name, "name": server.name} | {name: getattr(server, name) for name in names}


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are stopped.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 10000,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List servers: state, kernels, processors and memory in use."""
    from rich.text import Text

    from terakoya.servers import life

    states = () if everything else (*life.ACTIVE, "failed")
    with database(settings(config)) as db:
        found, total = life.find(db, states=states, limit=limit)
    if as_json:
        print_json([facts(server) for server in found])
        return
    rows = [
        (
            server.user.name,
            server.name,
            Text(server.state, style=COLOURS.get(server.state, "")),
            ago(server.started_at),
            ago(server.last_activity),
            f"{server.kernels} ({server.kernels_busy} busy)" if server.kernels else "",
            f"{server.cpu:.2f}",
            size(server.memory),
            server.reason,
        )
        for server in found
    ]
    columns = ["User", "Server", "State", "Started", "Last active", "Kernels", "CPU", "Memory", "Why"]
    table(columns, rows, empty="No server runs.")
    if len(found) < total:
        typer.echo(f"{total - len(found)} more; use --limit.")


@app.command()
def start(name: Name, server: ServerName = "", config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Start a user's server and wait until it is ready."""
    from terakoya.accounts import users
    from terakoya.errors import StartFailed
    from terakoya.ops import running
    from terakoya.servers import life

    found = settings(config)
    running.supervisor(found)
    with database(found) as db:
        row = life.ensure(db, users.get(db, name).id, server, limit=found.servers.named)
        life.want(db, row.id, "running")
        seconds = found.servers.start_timeout + SLACK
        row = _wait(db, found, row.id, ("running", "failed"), seconds, f"Starting {name}'s server")
    if row.state == "failed":
        hint = f"The log of the server is in {found.storage.logs / 'servers'}."
        raise StartFailed(reason=row.reason or "nobody knows why", hint=hint)
    text = f"[bold]{row.user.name}[/]'s server runs: {found.public_url}/user/{row.user.name}/{row.name}"
    answer(facts(row), as_json=as_json, text=text)


@app.command()
def stop(name: Name, server: ServerName = "", config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Stop a user's server and wait until it has ended."""
    from terakoya.accounts import users
    from terakoya.ops import running
    from terakoya.servers import life

    found = settings(config)
    running.supervisor(found)
    with database(found) as db:
        row = life.get(db, users.get(db, name).id, server)
        life.want(db, row.id, "stopped")
        seconds = found.servers.stop_timeout + SLACK
        row = _wait(db, found, row.id, ("stopped", "failed"), seconds, f"Stopping {name}'s server")
    answer(facts(row), as_json=as_json, text=f"[bold]{row.user.name}[/]'s server has stopped.")


def _wait(db: Database, config: Config, server_id: int, states: tuple[str, ...], seconds: float, text: str) -> Server:
    """The row, once it is in one of the states; NotRunning if terakoya ends meanwhile, HubSlow after `seconds`.

    A failure of an earlier time is not yet the answer: the wish to run is taken back with the failure that counts.
    """
    from terakoya.errors import HubSlow
    from terakoya.ops import running
    from terakoya.servers import life

    deadline = time.monotonic() + seconds
    with console(errors=True).status(text):
        while time.monotonic() < deadline:
            row = life.by_id(db, server_id)
            if row.state in states and not (row.state == "failed" and row.wish == "running"):
                return row
            running.supervisor(config)
            time.sleep(0.1)
    raise HubSlow(seconds=int(seconds), log=config.storage.logs / "hub.log")
