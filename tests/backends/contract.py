"""What every backend must do. A test module makes a `scene` for its backend and inherits `Contract`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from terakoya.backends.base import Backend, Report, ServerSpec
from terakoya.errors import LauncherUnavailable, StartFailed


@dataclass
class Scene:
    """A backend and the means to make things happen to its servers."""

    backend: Backend
    spec: ServerSpec
    """Of a server that starts."""
    broken: ServerSpec
    """Of one that does not."""
    end: Callable[[str], Awaitable[None]]
    """Ends the server with this key as if by itself."""
    cut: Callable[[], Awaitable[None]]
    """Makes the backend unreachable."""


class Bound:
    """Remembers the addresses that `start` told."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def __call__(self, address: str) -> None:
        self.addresses.append(address)


async def exited(backend: Backend, key: str) -> Report:
    async with asyncio.timeout(20):
        while not (report := await backend.status(key)) or report.status != "exited":  # noqa: ASYNC110 in another process
            await asyncio.sleep(0.02)
    return report


@pytest.mark.anyio
class Contract:
    async def test_a_start_tells_the_address_and_then_runs(self, scene: Scene) -> None:
        bound = Bound()
        report = await scene.backend.start(scene.spec, bound)
        assert (report.key, report.status, [report.address]) == (scene.spec.key, "running", bound.addresses)
        listed = await scene.backend.list()
        assert [(each.key, each.status, each.address) for each in listed] == [(report.key, "running", report.address)]
        assert listed[0].usage.processes >= 1
        assert listed[0].usage.memory_bytes > 0

    async def test_the_same_key_is_started_once(self, scene: Scene) -> None:
        reports = await asyncio.gather(*(scene.backend.start(scene.spec, Bound()) for _ in range(4)))
        again = await scene.backend.start(scene.spec, Bound())
        assert {(report.key, report.address) for report in [*reports, again]} == {(again.key, again.address)}
        assert len(await scene.backend.list()) == 1

    async def test_two_keys_are_two_servers(self, scene: Scene) -> None:
        other = replace(scene.spec, key=scene.spec.key + "-2", base_url=scene.spec.base_url + "second/")
        reports = await asyncio.gather(*(scene.backend.start(spec, Bound()) for spec in (scene.spec, other)))
        assert len({report.address for report in reports}) == 2
        await scene.backend.stop(other.key, 5)
        assert [report.key for report in await scene.backend.list()] == [scene.spec.key]

    async def test_stopped_is_forgotten(self, scene: Scene) -> None:
        await scene.backend.start(scene.spec, Bound())
        await asyncio.gather(*(scene.backend.stop(scene.spec.key, 5) for _ in range(3)))
        assert await scene.backend.list() == []
        assert await scene.backend.status(scene.spec.key) is None

    async def test_stopping_what_is_not_there_succeeds(self, scene: Scene) -> None:
        await scene.backend.stop("never-was", 5)

    async def test_a_start_that_fails_says_why_and_leaves_nothing(self, scene: Scene) -> None:
        with pytest.raises(StartFailed) as failure:
            await scene.backend.start(scene.broken, Bound())
        assert failure.value.facts["reason"]
        assert failure.value.cure
        assert await scene.backend.list() == []

    async def test_what_ended_by_itself_is_listed_until_stopped(self, scene: Scene) -> None:
        await scene.backend.start(scene.spec, Bound())
        await scene.end(scene.spec.key)
        report = await exited(scene.backend, scene.spec.key)
        assert report.reason
        assert [each.key for each in await scene.backend.list()] == [scene.spec.key]
        with pytest.raises(StartFailed):
            await scene.backend.start(scene.spec, Bound())
        await scene.backend.stop(scene.spec.key, 5)
        assert await scene.backend.list() == []

    async def test_stopping_a_start(self, scene: Scene) -> None:
        bound = asyncio.Event()

        async def on_bound(_address: str) -> None:
            bound.set()
            await scene.backend.stop(scene.spec.key, 0)

        with pytest.raises(StartFailed):
            await scene.backend.start(scene.spec, on_bound)
        assert bound.is_set()
        assert await scene.backend.list() == []

    async def test_unreachable_is_neither_exited_nor_empty(self, scene: Scene) -> None:
        await scene.backend.start(scene.spec, Bound())
        await scene.cut()
        for question in (
            scene.backend.list(),
            scene.backend.status(scene.spec.key),
            scene.backend.stop(scene.spec.key, 0),
            scene.backend.start(scene.spec, Bound()),
        ):
            with pytest.raises(LauncherUnavailable):
                await question
