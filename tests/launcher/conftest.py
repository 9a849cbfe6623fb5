from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.stage import Stage
from tests.osusers import OsUser, OsUsers, module_os_users, os_users

__all__ = ["module_os_users", "os_users"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def stage(module_os_users: OsUsers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One launcher as root, for tests that leave it as it is."""
    yield from _stage(tmp_path_factory.mktemp("launcher"))


@pytest.fixture
def own_stage(os_users: OsUsers, tmp_path: Path) -> Iterator[Stage]:
    """A launcher that a test may kill."""
    yield from _stage(tmp_path)


@pytest.fixture(scope="module")
def alice(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("alice")


@pytest.fixture(scope="module")
def bob(module_os_users: OsUsers) -> OsUser:
    return module_os_users.make("bob")


def _stage(folder: Path) -> Iterator[Stage]:
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o711)  # users must get at their runtime folders in it
    stage = Stage(folder)
    try:
        stage.up()
        yield stage
    finally:
        stage.down()
