"""One running terakoya for all tests of this folder, with taro as its administrator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.osusers import OsUser, OsUsers, os_users
from tests.running import House, house
from tests.system.desk import Person, welcome

__all__ = ["os_users"]

SERVERS = '[servers]\nstart_timeout = "20s"\nstop_timeout = "1s"\n'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one process: they share one running product."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("system"))
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root, for accounts and their servers"))


@pytest.fixture(scope="session")
def cast() -> Iterator[dict[str, OsUser]]:
    users = OsUsers()
    try:
        yield {name: users.make(name) for name in ("taro", "alice", "bob")}
    finally:
        users.remove_all()


@pytest.fixture(scope="session")
def school(cast: dict[str, OsUser]) -> Iterator[House]:
    with house() as made:
        made.settings.write_text(made.settings.read_text(encoding="utf-8") + SERVERS, encoding="utf-8")
        made.up()
        welcome(made, cast["taro"])
        yield made


@pytest.fixture
def taro(school: House, cast: dict[str, OsUser]) -> Iterator[Person]:
    """The administrator, signed in; his own server is no matter here."""
    with Person(school, cast["taro"]) as person:
        yield person


@pytest.fixture
def alice(school: House, cast: dict[str, OsUser]) -> Iterator[Person]:
    with Person(school, cast["alice"]) as person:
        yield person


@pytest.fixture
def bob(school: House, cast: dict[str, OsUser]) -> Iterator[Person]:
    """bob, signed in, with nothing running and no settings of an earlier test."""
    with Person(school, cast["bob"]) as person:
        person.settle()
        person.configure("")
        yield person
        person.configure("")
