"""The fake backend and the local one, with real servers, keep the same contract."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from terakoya.backends.base import ServerSpec
from terakoya.backends.fake import FakeBackend
from terakoya.backends.local import LocalBackend
from terakoya.errors import NoSystemAccount
from tests.backends.contract import Bound, Contract, Scene
from tests.launcher.stage import SECRET, Stage
from tests.osusers import OsUsers, folder_for_all, module_os_users

__all__ = ["module_os_users"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spec(key: str, name: str) -> ServerSpec:
    return ServerSpec(key=key, os_name=name, user_name=name, base_url=f"/user/{name}/", secret=SECRET)


class TestFake(Contract):
    @pytest.fixture
    def scene(self) -> Scene:
        backend = FakeBackend(failing={"mallory": "your home is full"})

        async def end(key: str) -> None:
            backend.exit(key)

        async def cut() -> None:
            backend.away = True

        return Scene(backend, spec("one", "alice"), spec("two", "mallory"), end, cut)


@pytest.fixture(scope="module")
def users(module_os_users: OsUsers) -> tuple[str, str]:
    alice, broken = module_os_users.make("alice"), module_os_users.make("broken")
    config = broken.home / ".jupyter"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text("import os\nos._exit(3)\n")
    os.chown(config, broken.uid, broken.gid)
    return alice.name, broken.name


@pytest.fixture(scope="module")
def stage(users: tuple[str, str]) -> Iterator[Stage]:
    for folder in folder_for_all():
        stage = Stage(folder)
        stage.up()
        yield stage
        stage.down()


class TestLocal(Contract):
    @pytest.fixture
    def scene(self, stage: Stage, users: tuple[str, str], tmp_path: Path) -> Iterator[Scene]:
        backend = LocalBackend(stage.client)

        async def end(key: str) -> None:
            os.kill((await stage.one(key))["pid"], signal.SIGKILL)

        async def cut() -> None:
            stage.client._path = str(tmp_path / "nobody-listens")

        yield Scene(backend, spec("one", users[0]), spec("two", users[1]), end, cut)
        stage.client._path = str(stage.socket)
        asyncio.run(backend.stop("one", 0))

    async def test_an_account_that_is_not_there(self, scene: Scene) -> None:
        with pytest.raises(NoSystemAccount):
            await scene.backend.start(spec("three", "nosuchuser"), Bound())
