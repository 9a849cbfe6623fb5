"""What the gate reads and writes, on both kinds of database."""

import time
from hashlib import sha256

import psycopg
import pytest

from terakoya.db.engine import Database
from terakoya.db.models import Base, Server, Session, Token, User
from terakoya.edge.activity import Activity, writer
from terakoya.edge.answers import Answerer, strip
from terakoya.edge.decide import Pass, Policy
from terakoya.edge.lookup import DatabaseDown, connect
from terakoya.edge.measure import Measure

COOKIE = "a" * 43
TOKEN = "b" * 43


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, sqlite_url):
    return sqlite_url if request.param == "sqlite" else request.getfixturevalue("postgres")()


@pytest.fixture
def database(url):
    made = Database(url)
    Base.metadata.create_all(made.engine)
    with made.session() as db:
        alice = User(name="Alice", name_key="alice", os_name="alice", admin=True)
        db.add(alice)
        db.flush()
        db.add(Server(user_id=alice.id, state="running", address="127.0.0.1:1", secret="s"))
        db.add(Server(user_id=alice.id, name="big", state="stopped"))
        expires = time.time() + 60
        db.add(Session(hash=sha256(COOKIE.encode()).digest(), user_id=alice.id, host="h", expires_at=expires))
        db.add(Token(hash=sha256(TOKEN.encode()).digest(), user_id=alice.id, scopes=["inherit", "x"]))
    yield made
    made.close()


@pytest.fixture
def lookup(url, database):
    made = connect(url)
    made.fresh()
    yield made
    made.close()


def test_what_is_read(lookup):
    session = lookup.session(sha256(COOKIE.encode()).digest())
    assert (session.name, session.admin, session.disabled, session.host, session.kind) == (
        "Alice",
        True,
        False,
        "h",
        "session",
    )
    token = lookup.token(sha256(TOKEN.encode()).digest())
    assert (token.scopes, token.expires_at, token.kind) == (("inherit", "x"), None, "token")
    owner = lookup.owner("alice")
    assert owner.name == "Alice"
    assert owner.servers[""].address == "127.0.0.1:1"
    assert owner.servers["big"].state == "stopped"
    assert lookup.owner("nobody") is None
    assert lookup.session(b"x" * 32) is None
    assert lookup.token(b"x" * 32) is None


def test_a_user_without_servers(lookup, database):
    with database.session() as db:
        db.add(User(name="bob", name_key="bob", os_name="bob"))
    lookup.fresh()
    assert lookup.owner("bob").servers == {}


def test_changes_are_seen(lookup, database):
    digest = sha256(COOKIE.encode()).digest()
    assert lookup.session(digest)
    with database.session() as db:
        db.query(User).one().disabled_at = 1.0
    lookup.fresh()
    assert lookup.session(digest).disabled
    assert lookup.owner("alice").disabled
    with database.session() as db:
        db.query(Session).delete()
    lookup.fresh()
    assert lookup.session(digest) is None


def test_nothing_can_be_written(lookup):
    with pytest.raises(DatabaseDown):
        lookup._rows("DELETE FROM users WHERE name = {}", "Alice")
    lookup._tried = 0.0
    lookup.fresh()
    assert lookup.owner("alice")


def test_sqlite_is_asked_only_after_a_change(sqlite_url):
    database = Database(sqlite_url)
    Base.metadata.create_all(database.engine)
    database.close()
    lookup = connect(sqlite_url)
    for _ in range(10):
        lookup.fresh()
        lookup.owner("alice")
    assert lookup.reads == 1
    lookup.close()


def test_activity_is_written(url, database, lookup):
    activity = Activity()
    now = time.time()
    session = lookup.session(sha256(COOKIE.encode()).digest())
    token = lookup.token(sha256(TOKEN.encode()).digest())
    server = lookup.owner("alice").servers[""]
    for visitor in (session, token):
        activity.seen(Pass(server, visitor), now)
    write = writer(url)
    batch = activity.take()
    write(batch)
    assert activity.take() == {}
    with database.reading() as db:
        seen = [
            db.query(Session).one().last_seen,
            db.query(Token).one().last_activity,
            db.query(Server).filter_by(name="").one().last_activity,
            db.query(User).one().last_activity,
        ]
    assert seen == [now] * 4
    # A later time from elsewhere stays.
    activity.give_back({table: dict.fromkeys(times, now - 100) for table, times in batch.items()})
    write(activity.take())
    with database.reading() as db:
        assert db.query(Session).one().last_seen == now


def test_an_answer_from_end_to_end(url, database):
    answerer = Answerer(Policy("http://hub"), connect(url), Activity(), Measure())
    answer = answerer.answer("GET", b"/user/Alice/x", {b"host": b"h", b"authorization": b"token " + TOKEN.encode()})
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nx-envoy-original-dst-host: 127.0.0.1:1\r\nauthorization: token s\r\n")
    refused = answerer.answer("HEAD", b"/user/Alice/x", {b"host": b"h"})
    assert refused.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert refused.endswith(b"\r\n\r\n")
    answerer.lookup.close()


def test_another_file_in_the_place_of_the_database(sqlite_url, tmp_path):
    def make(url, name):
        database = Database(url)
        Base.metadata.create_all(database.engine)
        with database.session() as db:
            db.add(User(name=name, name_key=name, os_name=name))
        database.close()

    make(sqlite_url, "alice")
    make(f"sqlite:///{tmp_path}/other.sqlite", "bob")
    lookup = connect(sqlite_url)
    lookup.fresh()
    assert lookup.owner("alice")
    (tmp_path / "other.sqlite").rename(tmp_path / "terakoya.sqlite")
    lookup._looked = -1e9
    lookup.fresh()
    assert lookup.owner("alice") is None
    assert lookup.owner("bob")
    lookup.close()


def test_a_lost_connection_is_made_anew(postgres):
    url = postgres()
    database = Database(url)
    Base.metadata.create_all(database.engine)
    database.close()
    lookup = connect(url)
    lookup.fresh()
    assert lookup.owner("alice") is None
    with psycopg.connect(url, autocommit=True) as other:
        ours = "pid <> pg_backend_pid() AND datname = current_database()"
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    assert lookup.owner("alice") is None
    assert lookup.reads == 2
    lookup.close()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/x.sqlite", "postgresql+psycopg://nobody@/x?host=/nowhere"])
def test_a_database_that_is_not_there(url):
    lookup = connect(url)
    for _ in range(2):
        with pytest.raises(DatabaseDown) as error:
            lookup.fresh()
        assert str(error.value)


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        (b"a=1", b"a=1"),
        (b"terakoya-session=x", b""),
        (b"a=1; terakoya-session=x; b=2", b"a=1; b=2"),
        (b"terakoya-session=x;a=1", b"a=1"),
        (b"a=1,terakoya-session=x,b=2", b"a=1,b=2"),
        (b"__Host-terakoya-session=x; terakoya-lang=ja; xterakoya-=1", b"xterakoya-=1"),
        (b"a=terakoya-x", b"a=terakoya-x"),
        (b"", b""),
    ],
)
def test_our_cookies_are_taken_out(cookie, kept):
    assert strip(cookie) == kept
