"""What changes in the database counts from the very next request on."""

import time

import pytest

from terakoya.db.models import Server, Session, Token, User
from tests.edge.conftest import Cast


@pytest.fixture
def people(stage):
    made = Cast(stage().up())
    yield made
    made.http.close()


def status(people, headers=None):
    return people.http.get("/user/alice/api", headers=headers or people.as_alice()).status_code


def change(people, act):
    assert status(people) == 200
    assert status(people) == 200
    with people.stage.database.session() as db:
        act(db)
    return status(people)


def test_signing_out(people):
    assert change(people, lambda db: db.query(Session).filter_by(user_id=people.alice).delete()) == 403


def test_disabling(people):
    def disable(db):
        db.get(User, people.alice).disabled_at = time.time()

    assert change(people, disable) == 403


def test_a_server_that_moved(people):
    def move(db):
        server = db.query(Server).filter_by(user_id=people.alice).one()
        server.address, server.secret = f"127.0.0.1:{people.bob_port}", "another"

    assert change(people, move) == 200
    answer = people.http.get("/user/alice/api", headers=people.as_alice()).json()
    assert ["Authorization", "token another"] in answer["headers"]


def test_a_server_that_stopped(people):
    def stop(db):
        db.query(Server).filter_by(user_id=people.alice).one().state = "stopped"

    assert change(people, stop) == 503


def test_removing_a_token(people):
    value = people.stage.token(people.alice)
    headers = {"authorization": f"token {value}"}
    assert status(people, headers) == 200
    with people.stage.database.session() as db:
        db.query(Token).delete()
    assert status(people, headers) == 403


def test_removing_a_user(people):
    assert change(people, lambda db: db.delete(db.get(User, people.alice))) == 403


def test_a_hundred_times_in_a_row(people):
    """No request slips through between a committed change and the next one."""
    for _ in range(100):
        value = people.stage.sign_in(people.alice)
        headers = {"cookie": f"terakoya-session={value}"}
        assert status(people, headers) == 200
        with people.stage.database.session() as db:
            db.query(Session).filter_by(user_id=people.alice).delete()
        assert status(people, headers) == 403


def test_running_out(people):
    value = people.stage.sign_in(people.alice, lifetime=1.0)
    headers = {"cookie": f"terakoya-session={value}"}
    assert status(people, headers) == 200
    deadline = time.monotonic() + 5
    while status(people, headers) == 200:
        assert time.monotonic() < deadline
