"""What every benchmark ends with: a table for people, and one line of JSON, the last one, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, float | None, float | None, float | None]
"""What was measured, ours, the peer's, and the ratio that counts."""


def show(title: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """Print the table, then `facts` as JSON."""
    table = Table(title=title)
    table.add_column("")
    for name in ("terakoya", "peer", "ratio"):
        table.add_column(name, justify="right")
    for label, *values in rows:
        table.add_row(label, *("" if value is None else _number(value) for value in values))
    Console(width=100).print(table)
    print(json.dumps(rounded(facts)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def rounded(value: Any) -> Any:
    """Four significant figures: more would be noise."""
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
