"""A database for every test that asks for one: SQLite, and a real PostgreSQL of the test session's own."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from terakoya.db import migrate
from terakoya.db.engine import Database
from terakoya.db.models import Base
from tests.cast import Cast

BIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Gives the URL of a new, empty database of a PostgreSQL that only this test session uses."""
    if not (BIN / "initdb").exists():
        pytest.skip(f"PostgreSQL is not installed in {BIN}")
    folder = Path(tempfile.mkdtemp(prefix="terakoya-pg-"))
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        shutil.chown(folder, "postgres", "postgres")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=60"
    try:
        _run("initdb", "-D", folder / "data", "-A", "trust", "-U", "tester", "--no-sync", "--no-instructions")
        _run("pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
        numbers = itertools.count()
        with psycopg.connect(host=str(folder), user="tester", dbname="postgres", autocommit=True) as connection:

            def make() -> str:
                name = f"test{next(numbers)}"
                connection.execute(f"CREATE DATABASE {name}")
                return f"postgresql://tester@/{name}?host={folder}"

            yield make
    finally:
        if (folder / "data/postmaster.pid").exists():
            _run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _run(program: str, *arguments: object) -> None:
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*as_postgres, str(BIN / program), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'terakoya.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(request.getfixturevalue("sqlite_url"))
    else:
        database = Database(request.getfixturevalue("postgres")())
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgres_with_tables(postgres: Callable[[], str]) -> Iterator[Database]:
    """A migrated database, emptied after every test: making a new one takes half a second."""
    database = Database(postgres())
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with tables and nothing in them."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_db")
        return
    url = request.getfixturevalue("postgres_with_tables").url
    database = Database(url.render_as_string(hide_password=False))
    yield database
    with database.session() as session:
        session.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY CASCADE"))
    database.close()


@pytest.fixture
def sqlite_db(sqlite_url: str) -> Iterator[Database]:
    """For tests that are about something else than the database."""
    database = Database(sqlite_url)
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def cast(db: Database) -> Cast:
    """taro, hanako, alice, bob and mallory."""
    return Cast.enrol(db)
