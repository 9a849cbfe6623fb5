"""terakoya status and terakoya down."""

from __future__ import annotations

from rich.text import Text

from terakoya.commands.common import ago, console, print_json, table
from terakoya.config import Config
from terakoya.ops import lock, ready, running, shutdown


def status(config: Config, *, as_json: bool) -> None:
    """What runs; NotRunning if nothing does."""
    pid = running.supervisor(config)
    health = ready.health(config)
    processes = running.state(config).get("processes", {})
    servers = running.server_count(config)
    if as_json:
        facts = {"pid": pid, "address": config.public_url, "healthy": not health, "health": health or "ok"}
        print_json(facts | {"servers": servers, "processes": processes})
        return
    out = console()
    out.print(f"terakoya runs at [bold cyan]{config.public_url}[/] (process {pid}).")
    out.print("[green]It answers.[/]" if not health else f"[red]It does not answer: {health}.[/]")
    if servers is None:
        out.print("[yellow]How many servers run can't be told: the launcher did not answer.[/]")
    else:
        out.print(f"Users' servers running: {servers}")
    rows = [
        (name, facts["pid"] or Text("down", style="red"), ago(facts["since"]), facts["restarts"] or "")
        for name, facts in processes.items()
    ]
    table(["Process", "Number", "Started", "Restarts"], rows, empty="")


def down(config: Config, *, keep_servers: bool, as_json: bool) -> None:
    """Stop, and say what was stopped."""
    with console(errors=True).status("Stopping" if lock.holder(config.storage.runtime) else "Looking for servers"):
        outcome = shutdown.down(config, keep_servers=keep_servers)
    if as_json:
        print_json({"supervisor": outcome.supervisor, "servers": outcome.servers, "left": outcome.left})
        return
    out = console()
    out.print("terakoya has stopped." if outcome.supervisor else "terakoya was not running.")
    if outcome.servers:
        out.print(f"Users' servers stopped: {outcome.servers}")
    if outcome.left:
        out.print(f"[red]Users' servers that could not be stopped: {outcome.left}[/]")
