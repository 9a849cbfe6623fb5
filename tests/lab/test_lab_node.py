"""Where npm keeps its global packages, read from its settings instead of asking npm."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.lab import node


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH with npm and node below <tmp>/usr/bin, and no settings of the system."""
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    for name in ("npm", "node"):
        (programs / name).write_text("")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(node, "SYSTEM_SETTINGS", tmp_path / "npmrc")
    return str(programs)


def test_without_npm_there_is_none(tmp_path: Path) -> None:
    assert node.npm_prefix(tmp_path, {"PATH": str(tmp_path)}) == ""


def test_usually_beside_node(tmp_path: Path, path: str) -> None:
    assert node.npm_prefix(tmp_path, {"PATH": path}) == str(tmp_path / "usr")


def test_the_system_may_say_otherwise(tmp_path: Path, path: str) -> None:
    (tmp_path / "npmrc").write_text("; Debian\nprefix=/usr/local\n")
    assert node.npm_prefix(tmp_path, {"PATH": path}) == "/usr/local"


@pytest.mark.parametrize("line", ["prefix = ${HOME}/own", "prefix=~/own", 'prefix = "{home}/own"'])
def test_the_user_may_say_otherwise(tmp_path: Path, path: str, line: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "npmrc").write_text("prefix=/usr/local\n")
    (home / ".npmrc").write_text(f"audit=false\n{line.replace('{home}', str(home))}\n")
    assert node.npm_prefix(home, {"PATH": path, "HOME": str(home)}) == str(home / "own")


def test_the_environment_wins(tmp_path: Path, path: str) -> None:
    (tmp_path / ".npmrc").write_text("prefix=/elsewhere\n")
    assert node.npm_prefix(tmp_path, {"PATH": path, "NPM_CONFIG_PREFIX": "/mine"}) == "/mine"
