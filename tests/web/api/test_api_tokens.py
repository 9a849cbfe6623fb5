"""Tokens, and how programs get one with a password."""

import time

import pytest
from sqlalchemy import select

from terakoya.accounts import digests, users
from terakoya.db.models import Session, Token

SIGNED = {"auth": {"username": "alice", "password": "ecila"}, "note": "an editor"}


def test_from_making_to_removing(place, alice):
    made = place.ask("POST", "/users/alice/tokens", alice.key, json={"note": "mine", "expires_in": 60})
    assert made.status_code == 201
    token = made.json()
    value = token.pop("token")
    assert token["note"] == "mine"
    assert token["user"] == "alice"
    assert token["kind"] == "api_token"
    with place.db.reading() as session:
        row = session.scalar(select(Token).where(Token.note == "mine"))
    assert row.hash == digests.digest(value)
    assert row.expires_at == pytest.approx(time.time() + 60, abs=20)
    assert place.ask("GET", f"/users/alice/tokens/{token['id']}", alice.key).json() == token
    listed = place.ask("GET", "/users/alice/tokens", alice.key)
    assert token in listed.json()["api_tokens"]
    assert value not in listed.text
    new = {"Authorization": f"Bearer {value}"}
    assert place.ask("GET", "/user", new).json()["token_id"] == token["id"]
    assert place.ask("DELETE", f"/users/alice/tokens/{token['id']}", new).status_code == 204
    assert place.ask("GET", "/user", new).status_code == 403
    assert place.ask("DELETE", f"/users/alice/tokens/{token['id']}", alice.key).status_code == 404


@pytest.mark.parametrize(
    "content_type", [None, "text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"]
)
def test_an_editor_signs_in_with_a_password(place, content_type):
    import json

    headers = {"Content-Type": content_type} if content_type else {}
    made = place.client.post("/hub/api/users/alice/tokens", content=json.dumps(SIGNED), headers=headers)
    assert made.status_code == 201
    key = {"Authorization": f"token {made.json()['token']}"}
    assert place.ask("GET", "/users/alice?include_stopped_servers", key).json()["servers"][""]["stopped"]
    assert place.ask("POST", "/users/alice/server", key).status_code == 201
    assert place.ask("DELETE", f"/users/alice/tokens/{made.json()['id']}", key).status_code == 204
    with place.db.reading() as session:
        assert session.scalar(select(Session)) is None, "a program keeps no session"


@pytest.mark.parametrize(
    "auth",
    [
        {"username": "alice", "password": "wrong"},
        {"username": "nobody", "password": "wrong"},
        {"username": "alice", "password": "x" * 10_000},
    ],
)
def test_a_wrong_password_takes_its_time(place, auth):
    begun = time.monotonic()
    answer = place.ask("POST", "/users/alice/tokens", json={"auth": auth})
    assert (answer.status_code, answer.json()["code"]) == (403, "SignInRefused")
    assert 2.0 <= time.monotonic() - begun < 4.0


def test_a_password_makes_tokens_for_its_owner_only(place):
    answer = place.ask("POST", "/users/bob/tokens", json=SIGNED)
    assert answer.status_code == 404
    assert place.ask("POST", "/users/alice/tokens", json={"note": "no password"}).status_code == 403
    assert place.ask("POST", "/users/alice/tokens", json={"auth": {"username": "alice"}}).status_code == 400


def test_a_token_gives_no_more_than_its_maker_has(place):
    limited = place.key("alice", "tokens", "read:users")
    inherited = place.ask("POST", "/users/alice/tokens", limited)
    assert inherited.status_code == 201
    assert "servers!user=alice" not in inherited.json()["scopes"]
    for scopes in (["inherit"], ["self"], ["servers"], ["access:servers!user=alice"]):
        answer = place.ask("POST", "/users/alice/tokens", limited, json={"scopes": scopes})
        assert (answer.status_code, answer.json()["code"]) == (403, "NotAllowed")
    assert place.ask("POST", "/users/alice/tokens", limited, json={"scopes": ["read:users"]}).status_code == 201


def test_nobody_makes_tokens_for_others(place):
    taro = place.key("taro")
    assert place.ask("POST", "/users/alice/tokens", taro, json={"scopes": ["access:servers"]}).status_code == 403
    place.key("alice")
    token = place.ask("GET", "/users/alice/tokens", taro).json()["api_tokens"][0]
    assert place.ask("DELETE", f"/users/alice/tokens/{token['id']}", taro).status_code == 204


def test_somebody_elses_token_is_not_found_under_ones_own_name(place, alice):
    place.key("bob")
    with place.db.reading() as session:
        of_bob = session.scalar(select(Token).where(Token.user_id == users.get(place.db, "bob").id))
    assert place.ask("GET", f"/users/alice/tokens/a{of_bob.id}", alice.key).status_code == 404
    assert place.ask("DELETE", f"/users/alice/tokens/a{of_bob.id}", alice.key).status_code == 404


def test_odd_ids(place, alice):
    for token_id in ["a", "1", "b1", "a-1", "a1.0", "a" + "9" * 30, "a\u0661", "a 1"]:
        assert place.ask("GET", f"/users/alice/tokens/{token_id}", alice.key).status_code == 404, token_id


ODD_WISHES = [
    {"expires_in": 0},
    {"expires_in": -1},
    {"expires_in": 10**12},
    {"expires_in": 10**400},
    {"expires_in": "60"},
    {"expires_in": True},
    {"scopes": []},
    {"scopes": "self"},
    {"scopes": ["nonsense"]},
    {"scopes": [1]},
    {"roles": ["admin"]},
    {"note": "x" * 256},
    {"note": 5},
]


def test_odd_wishes(place, alice):
    for wanted in ODD_WISHES:
        answer = place.ask("POST", "/users/alice/tokens", alice.key, json=wanted)
        assert (answer.status_code, answer.json()["status"]) == (400, 400), wanted
