"""The list of users stays quick with many of them: two queries, and the database reads no more than it shows."""

import pytest
from sqlalchemy import event, insert, text

from terakoya.accounts import listing, users
from terakoya.db.models import User
from terakoya.servers import life, rows


def _names(found):
    return [user.name for user in found[0]]


def test_searching_and_sorting(db, cast):
    assert _names(users.find(db)) == ["alice", "bob", "hanako", "mallory", "taro"]
    assert _names(users.find(db, sort="-name", limit=2)) == ["taro", "mallory"]
    assert _names(users.find(db, search="AL")) == ["alice", "mallory"]
    assert _names(users.find(db, search="\uff41\uff4c")) == ["alice", "mallory"]
    assert _names(users.find(db, search="%")) == []
    assert _names(users.find(db, search="\0")) == ["alice", "bob", "hanako", "mallory", "taro"]
    assert _names(users.find(db, admin=True)) == ["taro"]
    assert users.find(db, offset=3, limit=1)[1] == 5
    assert _names(users.find(db, offset=3, limit=1)) == ["mallory"]
    assert _names(users.find(db, sort="nonsense")) == _names(users.find(db))


def test_by_state(db, cast):
    life.begin(db, life.get(db, cast.alice.id).id)
    server, _ = life.begin(db, life.get(db, cast.bob.id).id)
    life.ready(db, server.id, server.key, "127.0.0.1:1")
    users.disable(db, "mallory")
    assert _names(users.find(db, state="active")) == ["alice", "bob"]
    assert _names(users.find(db, state="ready")) == ["bob"]
    assert _names(users.find(db, state="starting")) == ["alice"]
    assert _names(users.find(db, state="inactive")) == ["hanako", "mallory", "taro"]
    assert _names(users.find(db, state="disabled")) == ["mallory"]
    assert "mallory" not in _names(users.find(db, state="enabled"))


def test_those_that_were_never_active_come_last(db, cast):
    for name, at in (("bob", 100.0), ("alice", 200.0)):
        with db.session() as session:
            users.fetch(session, name).last_activity = at
    assert _names(users.find(db, sort="-last_activity"))[:2] == ["alice", "bob"]
    assert _names(users.find(db, sort="last_activity"))[:2] == ["bob", "alice"]


SERVERS = """
INSERT INTO servers (user_id, name, state, wish, reason, detail, key, address, secret, changed_at, options, kernels,
    kernels_busy, cpu, memory)
SELECT id, '', CASE WHEN id <= 100 THEN 'running' ELSE 'stopped' END,
    CASE WHEN id <= 100 THEN 'running' ELSE 'stopped' END, '', '', 'k' || id, '', '', 0, '{}', 0, 0, 0, 0
FROM users
"""


@pytest.fixture(params=[2_000, 50_000])
def school(db, request):
    """Many users with a server each, a hundred of which run."""
    with db.session() as session:
        everyone = [{"name": f"s{n:06}", "name_key": f"s{n:06}", "os_name": f"s{n:06}"} for n in range(request.param)]
        for start in range(0, len(everyone), 5_000):
            session.execute(insert(User), everyone[start : start + 5_000])
        session.execute(text(SERVERS))
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return db


@pytest.fixture
def queries(db):
    """Every statement that the database is sent."""
    seen = []

    def note(_connection, _cursor, statement, *_others):
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    return seen


def test_three_queries_whatever_the_number(school, queries):
    found, total = users.find(school, offset=1_500, limit=50)
    servers = life.of_users(school, [user.id for user in found])
    assert (len(found), len(servers)) == (50, 50)
    assert total >= 2_000
    assert len(queries) == 3
    assert found[0].name == "s001500"


def _plan(database, query):
    compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.engine.connect() as connection:
        return "\n".join(str(tuple(row)) for row in connection.execute(text(f"{word} {compiled}".replace(":", "\\:"))))


def test_the_database_reads_no_more_than_it_must(school, queries):
    _a_page_by_name_is_read_from_the_index(school)
    _those_that_run_are_found_from_the_servers(school)
    _the_loop_looks_only_at_what_runs(school, queries)


def _a_page_by_name_is_read_from_the_index(school):
    plan = _plan(school, listing.page([], "name", 200, 50))
    assert "uq_users_name_key" in plan or "sqlite_autoindex_users" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def _the_loop_looks_only_at_what_runs(school, queries):
    queries.clear()
    found = rows.unsettled(school)
    assert len(found) == 100
    assert len(queries) == 1
    plan = _plan(school, rows.unsettled_query())
    assert "ix_servers_state" in plan
    assert "ix_servers_wish" in plan
    assert "SCAN servers" not in plan
    assert "Seq Scan on servers" not in plan


def _those_that_run_are_found_from_the_servers(school):
    plan = _plan(school, listing.page(listing.conditions("", "ready", None), "name", 0, 50))
    assert "ix_servers_state" in plan
    assert len(users.find(school, state="ready")[0]) == 100
