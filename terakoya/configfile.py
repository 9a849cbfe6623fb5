"""Reads terakoya.toml. Everything wrong in it is an error that names the line and the nearest right key."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

from terakoya import config as schema
from terakoya.config import Config, default_paths
from terakoya.errors import BadSetting, SettingsNotToml, SettingsUnreadable, UnknownSetting

TABLES: dict[str, type] = {
    "site": schema.Site,
    "edge": schema.Edge,
    "accounts": schema.Accounts,
    "servers": schema.Servers,
    "storage": schema.Storage,
    "processes": schema.Processes,
}

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def load(path: Path | None = None, *, personal: bool | None = None) -> Config:
    """Settings from `path`, which must exist if given, over the defaults."""
    personal = os.geteuid() != 0 if personal is None else personal
    usual, state, runtime, logs = default_paths(personal=personal)
    text = _read(path) if path else (_read(usual) if usual.exists() else "")
    path = path or usual
    tables = _tables(path, text)
    storage = {"state": state, "runtime": runtime, "logs": logs} | tables.pop("storage", {})
    made = {name: kind(**tables.get(name, {})) for name, kind in TABLES.items() if name != "storage"}
    config = Config(**made, storage=schema.Storage(**storage), path=path, personal=personal)
    _check_together(config, text)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsUnreadable(path=path, reason=getattr(error, "strerror", None) or error) from error


def _tables(path: Path, text: str) -> dict[str, dict[str, Any]]:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsNotToml(path=path, reason=error) from error
    tables = {}
    for table, values in raw.items():
        if table not in TABLES or not isinstance(values, dict):
            raise UnknownSetting(path=path, line=line_of(text, table), key=table, hint=_hint(table, None))
        tables[table] = _values(path, text, table, values)
    return tables


def _values(path: Path, text: str, table: str, values: dict[str, Any]) -> dict[str, Any]:
    kinds = typing.get_type_hints(TABLES[table])
    made = {}
    for key, value in values.items():
        if key not in kinds:
            raise UnknownSetting(path=path, line=line_of(text, key, table), key=key, hint=_hint(key, table))
        try:
            made[key] = convert(kinds[key], value)
        except ValueError as error:
            line, expected = line_of(text, key, table), expectation(kinds[key])
            facts = {"path": path, "line": line, "key": key, "value": repr(value)}
            raise BadSetting(**facts, reason=error, expected=expected) from None
    return made


def convert(kind: Any, value: Any) -> Any:
    """`value` as TOML gave it, as `kind`; ValueError says what is wrong."""
    if kind is schema.Duration:
        return _duration(value)
    if kind is Path:
        if not isinstance(value, str) or not value.startswith("/"):
            raise ValueError("it is not an absolute path")
        return Path(value)
    origin = typing.get_origin(kind)
    if origin in {list, dict}:
        inner = value.values() if origin is dict and isinstance(value, dict) else value
        if not isinstance(value, origin) or not all(isinstance(part, str) for part in inner):
            raise ValueError("it has another type")
        return value
    if type(value) is not kind:
        raise ValueError("it has another type")
    if kind is int and value < 0:
        raise ValueError("it is negative")
    return value


def _duration(value: Any) -> schema.Duration:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration needs a number and a unit")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds <= 0:
        raise ValueError("it is not more than nothing")
    return schema.Duration(seconds)


def expectation(kind: Any) -> str:
    """What may be written for a setting of this kind, in words."""
    words = {
        schema.Duration: 'a duration such as "90s", "15m", "12h" or "14d"',
        Path: "an absolute path in quotes",
        str: "text in quotes",
        bool: "true or false",
        int: "a whole number, not negative",
    }
    return words.get(kind) or (
        'a list such as ["a", "b"]' if typing.get_origin(kind) is list else 'a table such as { NAME = "value" }'
    )


def _hint(key: str, table: str | None) -> str:
    """The nearest right key, and where it belongs."""
    known = {name: [f.name for f in dataclasses.fields(kind)] for name, kind in TABLES.items()}
    if table is None:
        names = list(known) + [name for names in known.values() for name in names]
    else:
        names = known[table] + [name for names in known.values() for name in names]
    near = difflib.get_close_matches(key, names, 1, 0.5)
    if not near:
        return "`terakoya config show` lists every setting with its meaning."
    homes = [name for name, keys in known.items() if near[0] in keys]
    place = f" under [{table if table in homes else homes[0]}]" if homes else ""
    return f'Did you mean "{near[0]}"{place}? `terakoya config show` lists every setting.'


def line_of(text: str, key: str, table: str | None = None) -> int:
    """The line on which `key` stands (within [table] if given), counted from 1; 1 if it can't be found."""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if header:
            current = header[1].split(".")[0]
            if table is None and key == current:
                return number
        named = re.match(r"\s*[\"']?" + re.escape(key) + r"[\"']?\s*[=.]", line)
        if (named and table in {None, current}) or (header and table == current and header[1].endswith("." + key)):
            return number
    return 1


def _check_together(config: Config, text: str) -> None:
    """What single values can't show: addresses, pairs, choices."""

    def refuse(table: str, key: str, reason: str, expected: str) -> None:
        value = repr(getattr(getattr(config, table), key))
        line = line_of(text, key, table)
        raise BadSetting(path=config.path, line=line, key=key, value=value, reason=reason, expected=expected)

    host, colon, port = config.edge.listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004 the ports that exist
        refuse("edge", "listen", "it is not an address and a port", '"127.0.0.1:8000" or "[::]:443"')
    if bool(config.edge.certificate) != bool(config.edge.certificate_key):
        missing = "certificate_key" if config.edge.certificate else "certificate"
        refuse("edge", missing, "certificate and key come together", "the paths of both, or neither")
    if config.site.language not in {"", "en", "ja"}:
        refuse("site", "language", "there is no such translation", '"en", "ja" or ""')
    if config.site.url and not re.fullmatch(r"https?://[^/\s?#]+/?", config.site.url):
        refuse("site", "url", "it is not the address of a site", '"https://notebooks.example.org"')
    if config.site.user_domain and not re.fullmatch(r"\*(\.[A-Za-z0-9-]+)+", config.site.user_domain):
        refuse("site", "user_domain", "it is not a wildcard domain", '"*.notebooks.example.org"')
    if not config.servers.default_url.startswith("/"):
        refuse("servers", "default_url", "it does not begin with a slash", '"/lab" or "/tree"')
    if config.processes.log_level not in {"debug", "info", "warning", "error"}:
        refuse("processes", "log_level", "there is no such level", '"debug", "info", "warning" or "error"')
    if config.servers.starts_at_once < 1:
        refuse("servers", "starts_at_once", "nothing would ever start", "a whole number of at least 1")


def with_live(now: Config, found: Config) -> tuple[Config, list[str]]:
    """`now` with the live settings of `found`, and the names of the others that differ and wait for a restart."""
    sections, waiting = {}, []
    for table, kind in TABLES.items():
        old, new = getattr(now, table), getattr(found, table)
        changed = {f for f in dataclasses.fields(kind) if getattr(old, f.name) != getattr(new, f.name)}
        waiting += [f"{table}.{f.name}" for f in dataclasses.fields(kind) if f in changed and not f.metadata["live"]]
        live = {f.name: getattr(new, f.name) for f in changed if f.metadata["live"]}
        sections[table] = dataclasses.replace(old, **live)
    return dataclasses.replace(now, **sections), waiting


def dump(config: Config) -> str:
    """Every setting of `config` as TOML that `load` turns into the same settings again."""
    lines = []
    for table, kind in TABLES.items():
        lines.append(f"[{table}]")
        section = getattr(config, table)
        lines += [f"{f.name} = {written(getattr(section, f.name))}" for f in dataclasses.fields(kind)]
    return "\n".join(lines) + "\n"


def written(value: Any) -> str:
    """One value as TOML. Durations are the only fractions there are, and are written in seconds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f'"{value:f}'.rstrip("0").rstrip(".") + 's"'
    if isinstance(value, list):
        return "[" + ", ".join(written(part) for part in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{written(key)} = {written(part)}" for key, part in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, int):
        return str(value)
    # JSON's quoting is TOML's, but for U+007F, which TOML wants escaped too.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
