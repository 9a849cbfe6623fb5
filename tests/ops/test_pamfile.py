"""The PAM service file is made once, for the machine's kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.ops import pamfile


@pytest.mark.parametrize(("there", "part"), [("common-auth", "@include common-auth"), ("system-auth", "system-auth")])
def test_it_is_made_for_the_machine(tmp_path: Path, there: str, part: str) -> None:
    (tmp_path / there).touch()
    assert pamfile.ensure(tmp_path)
    assert part in (tmp_path / "terakoya").read_text(encoding="utf-8")
    assert pamfile.used("terakoya", tmp_path) == "terakoya"


def test_an_own_one_is_kept(tmp_path: Path) -> None:
    (tmp_path / "common-auth").touch()
    (tmp_path / "terakoya").write_text("mine", encoding="utf-8")
    assert pamfile.ensure(tmp_path)
    assert (tmp_path / "terakoya").read_text(encoding="utf-8") == "mine"


def test_an_unknown_machine_uses_login(tmp_path: Path) -> None:
    assert not pamfile.ensure(tmp_path)
    assert pamfile.used("terakoya", tmp_path) == "login"
