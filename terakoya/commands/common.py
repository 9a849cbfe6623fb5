"""What every command shares: its options, the way to the settings and the database, and how answers look."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terakoya.config import Config

if TYPE_CHECKING:
    from rich.console import Console

    from terakoya.db.engine import Database

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="TERAKOYA_CONFIG",
        help="The settings file; usually it is found by itself.",
        readable=False,  # not asked here: our own message says what to do
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

ACTOR = "command line"
"""Who did it, in the audit, when it was done here."""


def settings(path: Path | None) -> Config:
    from terakoya import configfile

    return configfile.load(path.absolute() if path else None)


@contextmanager
def database(config: Config) -> Iterator[Database]:
    """The database, made or brought up to date first. Root becomes the account, so that files belong to it."""
    from terakoya.db import migrate
    from terakoya.db.engine import Database
    from terakoya.ops import account, folders

    owner = account.ensure(config)
    folders.prepare(config, owner)
    account.become(owner)
    os.environ["HOME"] = str(config.storage.state)
    os.umask(0o077)
    db = Database(config.database_url)
    try:
        migrate.upgrade(db)
        yield db
    finally:
        db.close()


def actor() -> str:
    """The name that the audit shows: who typed the command, also behind sudo."""
    return f"{ACTOR} ({os.environ.get('SUDO_USER') or os.environ.get('USER') or os.geteuid()})"


def console(*, errors: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=errors, highlight=False)


def answer(data: Any, *, as_json: bool, text: str) -> None:
    """One fact: JSON for scripts, a sentence for people."""
    if as_json:
        print_json(data)
    else:
        console().print(text, markup=True)


def print_json(data: Any) -> None:
    json.dump(data, sys.stdout, indent=None if not sys.stdout.isatty() else 2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Rows for people; what is empty is said in a sentence."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        console().print(empty)
        return
    made = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console().print(made)


def ago(at: float | None) -> str:
    """How long ago, in the largest fitting unit."""
    return "never" if at is None else f"{span(time.time() - at)} ago"


def until(at: float | None) -> str:
    """How soon, in the largest fitting unit."""
    return "never" if at is None else f"in {span(at - time.time())}"


def span(seconds: float) -> str:
    """A length of time, in the largest fitting unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(number: int) -> str:
    """Bytes for people."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= step:
            return f"{number / step:.1f} {unit}"
    return f"{number} B"
