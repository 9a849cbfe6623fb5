"""The command line. One function per command; what is slow to import is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from terakoya.commands import config as config_commands
from terakoya.commands import servers, tokens, users
from terakoya.commands.common import AsJson, ConfigPath, answer, settings

app = typer.Typer(
    name="terakoya",
    help="Notebooks on a server that you reach from anywhere, and a class on the same server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.add_typer(users.app, name="user")
app.add_typer(servers.app, name="server")
app.add_typer(tokens.app, name="token")
app.add_typer(config_commands.app, name="config")


@app.command()
def up(config: ConfigPath = None) -> None:
    """Start terakoya and keep it running until Ctrl-C."""
    from terakoya.commands.up import Terminal
    from terakoya.supervisor import Supervisor

    Supervisor(settings(config), Terminal()).run()


@app.command()
def down(
    keep_servers: Annotated[bool, typer.Option("--keep-servers", help="Leave users' servers running.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Stop terakoya and every user's server."""
    from terakoya.commands import running

    running.down(settings(config), keep_servers=keep_servers, as_json=as_json)


@app.command()
def status(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Say what runs: the processes, the address, how many servers."""
    from terakoya.commands import running

    running.status(settings(config), as_json=as_json)


@app.command()
def doctor(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Check everything that can be wrong, and say how to mend it. Exits with 1 if something is."""
    from terakoya.commands import doctor as command

    sys.exit(command.run(settings(config), as_json=as_json))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    from terakoya import __version__

    answer({"version": __version__}, as_json=as_json, text=f"terakoya {__version__}")


def main() -> None:
    """Run a command; what a person can mend is told as cause and cure, anything else is a bug with its traceback."""
    from terakoya.errors import TerakoyaError

    try:
        app()
    except TerakoyaError as error:
        _explain(error)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)


def _explain(error: Exception) -> None:
    code, what, cure = (str(getattr(error, name)) for name in ("code", "what", "cure"))
    if "--json" in sys.argv:
        json.dump({"error": {"code": code, "what": what, "cure": cure}}, sys.stderr, ensure_ascii=False)
        sys.stderr.write("\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text(what, style="bold red"), soft_wrap=True)
    console.print(Text(cure), soft_wrap=True)


if __name__ == "__main__":
    main()
