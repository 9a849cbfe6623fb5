"""Folders are made with the right owners, and nothing that others prepared is trusted."""

from __future__ import annotations

import dataclasses
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from terakoya.config import Config
from terakoya.errors import FolderUnsafe
from terakoya.ops import folders

ME = pwd.getpwuid(os.geteuid())
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_personal_folders_are_mine_alone(config: Config) -> None:
    folders.prepare(config, ME)
    folders.prepare(config, ME)
    for path in (config.storage.state, config.storage.runtime, config.storage.logs / "servers"):
        assert (mode(path), path.stat().st_uid) == (0o700, os.geteuid())
    assert [folders.problem(folder) for folder in folders.wanted(config, ME)] == [""] * 5


def test_a_folder_left_open_is_closed(config: Config) -> None:
    config.storage.state.mkdir()
    config.storage.state.chmod(0o777)
    folders.prepare(config, ME)
    assert mode(config.storage.state) == 0o700


def test_a_symbolic_link_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    config.storage.runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderUnsafe, match="symbolic link"):
        folders.prepare(config, ME)
    assert mode(tmp_path / "elsewhere") == 0o755


def test_a_file_is_refused(config: Config) -> None:
    config.storage.runtime.write_text("", encoding="utf-8")
    with pytest.raises(FolderUnsafe):
        folders.prepare(config, ME)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that other accounts can reach; pytest's own is closed to them."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def many_users(config: Config, place: Path) -> Config:
    storage = dataclasses.replace(config.storage, state=place / "state", runtime=place / "runtime", logs=place / "logs")
    return dataclasses.replace(config, personal=False, storage=storage)


@root_only
def test_the_account_owns_the_state_and_only_may_add_to_the_runtime_folder(config: Config, open_place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    config = many_users(config, open_place)
    folders.prepare(config, nobody)
    facts = {folder.path.name: folder.path.stat() for folder in folders.wanted(config, nobody)}
    assert (facts["state"].st_uid, mode(config.storage.state)) == (nobody.pw_uid, 0o750)
    assert (facts["runtime"].st_uid, facts["runtime"].st_gid) == (0, nobody.pw_gid)
    assert mode(config.storage.runtime) == 0o1771
    assert mode(config.storage.runtime / "servers") == 0o711
    assert mode(config.storage.logs) == 0o750


@root_only
def test_a_folder_of_another_account_is_refused(config: Config, open_place: Path) -> None:
    config = many_users(config, open_place)
    config.storage.runtime.mkdir()
    os.chown(config.storage.runtime, 12345, 12345)
    with pytest.raises(FolderUnsafe, match="belongs to number 12345"):
        folders.prepare(config, pwd.getpwnam("nobody"))


@root_only
@pytest.mark.parametrize(("owner", "bits", "why"), [(12345, 0o755, "belongs to"), (0, 0o777, "others may write")])
def test_a_parent_in_other_hands_is_refused(config: Config, open_place: Path, owner: int, bits: int, why: str) -> None:
    parent = open_place / "parent"
    parent.mkdir()
    os.chown(parent, owner, owner)
    parent.chmod(bits)
    with pytest.raises(FolderUnsafe, match=why):
        folders.prepare(many_users(config, parent), pwd.getpwnam("nobody"))


@root_only
def test_a_link_that_somebody_else_laid_on_the_way_is_refused(config: Config, open_place: Path) -> None:
    (open_place / "real").mkdir()
    link = open_place / "link"
    link.symlink_to(open_place / "real")
    folders.prepare(many_users(config, link), pwd.getpwnam("nobody"))
    os.lchown(link, 12345, 12345)
    with pytest.raises(FolderUnsafe, match="belongs to"):
        folders.prepare(many_users(config, link), pwd.getpwnam("nobody"))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / "target").write_text("precious", encoding="utf-8")
    path.symlink_to(tmp_path / "target")
    folders.write_private(path, "new")
    assert (path.read_text(encoding="utf-8"), mode(path)) == ("new", 0o640)
    assert (tmp_path / "target").read_text(encoding="utf-8") == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "target"]
