from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.stage import Stage
from tests.osusers import OsUser, OsUsers, folder_for_all, module_os_users, open_folder, os_users

__all__ = ["module_os_users", "open_folder", "os_users"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def stage(module_os_users: OsUsers) -> Iterator[Stage]:
    """One launcher as root, for tests that leave it as it is."""
    for folder in folder_for_all():
        yield from _stage(folder)


@pytest.fixture
def own_stage(os_users: OsUsers, open_folder: Path) -> Iterator[Stage]:
    """A launcher that a test may kill."""
    yield from _stage(open_folder)


@pytest.fixture
def personal_stage(os_users: OsUsers, open_folder: Path) -> Iterator[tuple[Stage, OsUser]]:
    """A launcher that an ordinary user runs, and that user."""
    user = os_users.make("me")
    os.chown(open_folder, user.uid, user.gid)
    for stage in _stage(open_folder, account=user.name, as_user=user):
        yield stage, user


@pytest.fixture(scope="module")
def alice(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("alice")


@pytest.fixture(scope="module")
def bob(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("bob")


def _stage(folder: Path, **how: Any) -> Iterator[Stage]:
    stage = Stage(folder, **how)
    try:
        stage.up()
        yield stage
    finally:
        stage.down()
