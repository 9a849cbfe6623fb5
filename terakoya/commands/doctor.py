"""terakoya doctor: the findings as a table."""

from __future__ import annotations

from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from terakoya.commands.common import console, print_json
from terakoya.config import Config
from terakoya.ops import doctor

MARKS = {"ok": ("ok", "green"), "warn": ("look", "yellow"), "fail": ("wrong", "bold red")}


def run(config: Config, *, as_json: bool) -> int:
    """Print every finding; 1 if something is wrong, else 0."""
    if as_json:
        findings = doctor.examine(config)
        print_json([{"check": name, **asdict(finding)} for name, finding in findings.items()])
    else:
        with console(errors=True).status("Examining"):
            findings = doctor.examine(config)
        made = Table("", "Check", "Finding", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for name, finding in findings.items():
            mark, style = MARKS[finding.state]
            said = Text(finding.cause)
            if finding.cure:
                said.append(f"\n{finding.cure}", style="cyan")
            made.add_row(Text(mark, style=style), name, said)
        console().print(made)
    return int(any(finding.state == "fail" for finding in findings.values()))
