"""Every command and every metric stands in the documentation, and nothing there that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from terakoya.cli import app
from terakoya.db.engine import Database
from terakoya.edge.measure import Measure
from terakoya.web.metrics import exposition

ROOT = Path(__file__).parents[1]


def commands(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    for name, sub in inner.items():
        yield from commands(sub, (*path, name))
    if not inner:
        yield " ".join(path)


def test_commands() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    documented = {" ".join(words.split()) for words in re.findall(r"^\| `(terakoya(?: [a-z]+)+)", text, re.MULTILINE)}
    assert documented == set(commands(get_command(app), ("terakoya",)))


def test_metrics(sqlite_db: Database) -> None:
    given = exposition(sqlite_db).decode() + Measure().text(0)
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(terakoya_[a-z_]+)`", text)) == set(re.findall(r"^# HELP (\w+)", given, re.MULTILINE))


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
