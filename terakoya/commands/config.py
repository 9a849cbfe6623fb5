"""terakoya config: the settings as they are, and whether they are right."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from terakoya.commands.common import AsJson, ConfigPath, answer, console, print_json, settings

app = typer.Typer(help="The settings: show, check.", no_args_is_help=True)


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="Only this table, such as edge.", show_default=False)] = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting with its value and meaning, as a file that can be used."""
    from terakoya import configfile
    from terakoya.errors import UnknownSetting
    from terakoya.ops import reference

    found = settings(config)
    if table and table not in configfile.TABLES:
        hint = "The tables are " + ", ".join(configfile.TABLES) + "."
        raise UnknownSetting(path=found.path, line=1, key=table, hint=hint)
    tables = [table] if table else list(configfile.TABLES)
    if as_json:
        print_json({name: _plain(getattr(found, name)) for name in tables})
        return
    from rich.syntax import Syntax

    text = reference.commented(found, tables)
    out = console()
    if out.is_terminal:
        out.print(Syntax(text, "toml", background_color="default", word_wrap=True))
    else:
        typer.echo(text, nl=False)


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file; usually the one in use.", show_default=False)] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a settings file is right; if not, which line is wrong and how to mend it."""
    found = settings(file or config)
    exists = found.path.exists()
    text = f"[green]{found.path} is right.[/]" if exists else f"There is no {found.path}; the defaults are used."
    answer({"path": str(found.path), "exists": exists, "right": True}, as_json=as_json, text=text)


def _plain(section: Any) -> dict[str, Any]:
    values = ((field.name, getattr(section, field.name)) for field in dataclasses.fields(section))
    return {name: str(value) if isinstance(value, Path) else value for name, value in values}
