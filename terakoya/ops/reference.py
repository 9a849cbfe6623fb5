"""The settings explained, made from terakoya/config.py: docs/configuration.md and `terakoya config show`."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
import typing
from pathlib import Path
from typing import Any

from terakoya import configfile
from terakoya.config import Config, Duration, default_paths

INTRODUCTION = """\
# Configuration

<!-- Made from terakoya/config.py by `make docs`; change it there. -->

One file holds every setting: `/etc/terakoya/terakoya.toml`, or in personal mode `~/.config/terakoya/terakoya.toml`.
Another is named with `--config FILE` or the environment variable `TERAKOYA_CONFIG`. No file is needed: everything has
a default. A key that does not exist, or a value that can't be, is an error that names the line.

`terakoya config show` prints the settings in use, `terakoya config check` says whether the file is right.
Settings marked *live* change on `kill -HUP` of the supervisor (its number is in `terakoya status`), the others at the
next start. Durations are written as `"90s"`, `"15m"`, `"12h"` or `"14d"`.
"""


def markdown() -> str:
    """The page docs/configuration.md."""
    parts = [INTRODUCTION]
    for table, kind in configfile.TABLES.items():
        about = (kind.__doc__ or "").partition(": ")[2].rstrip(".")
        parts.append(f"\n## [{table}]\n\n{about[:1].upper()}{about[1:]}.\n\n")
        parts.append("| Setting | Kind | Default | Meaning |\n|---|---|---|---|\n")
        parts += [_row(table, field, kind) for field in dataclasses.fields(kind)]
    return "".join(parts)


def _row(table: str, field: dataclasses.Field[Any], kind: type) -> str:
    what = typing.get_type_hints(kind)[field.name]
    about = field.metadata["about"] + (" *Live.*" if field.metadata["live"] else "")
    cells = (f"`{field.name}`", _kind(what), _default(table, field), about)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _kind(what: Any) -> str:
    names = {Duration: "duration", Path: "path", str: "text", bool: "true or false", int: "number"}
    return names.get(what) or ("list of texts" if typing.get_origin(what) is list else "table of texts")


def _default(table: str, field: dataclasses.Field[Any]) -> str:
    if table == "storage" and field.name in {"state", "runtime", "logs"}:
        folders = dict(zip(("state", "runtime", "logs"), default_paths(personal=False)[1:], strict=True))
        return f"`{folders[field.name]}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{configfile.written(field.default_factory())}`"
    default = field.default
    return f"`{duration(default) if isinstance(default, float) else configfile.written(default)}`"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that gives a whole number."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f'"{seconds / length:.0f}{unit}"'
    return configfile.written(float(seconds))


def commented(config: Config, tables: list[str]) -> str:
    """The settings in use as TOML, each under its meaning."""
    lines: list[str] = []
    for table in tables:
        section = getattr(config, table)
        lines += [*([""] if lines else []), f"[{table}]"]
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            lines += textwrap.wrap(field.metadata["about"], 110, initial_indent="# ", subsequent_indent="# ")
            text = duration(value) if isinstance(value, float) else configfile.written(value)
            lines.append(f"{field.name} = {text}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
