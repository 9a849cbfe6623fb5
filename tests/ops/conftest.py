"""Settings in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya import configfile
from terakoya.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Personal mode, everything below tmp_path; nothing is made yet."""
    path = tmp_path / "terakoya.toml"
    folders = "\n".join(f'{name} = "{tmp_path / name}"' for name in ("state", "runtime", "logs"))
    path.write_text(f"[storage]\n{folders}\n", encoding="utf-8")
    return configfile.load(path, personal=True)
