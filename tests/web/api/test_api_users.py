"""Users and lists of them."""

import pytest

from terakoya.accounts import users

PAGED = {"Accept": "application/jupyterhub-pagination+json"}


@pytest.fixture
def taro(place):
    return place.key("taro")


ODD_ACTIVITY = [
    {},
    {"last_activity": "yesterday"},
    {"last_activity": "9999-12-31T23:59:59-23:59"},
    {"last_activity": 5},
    {"servers": []},
    {"servers": {"x": {}}},
    {"servers": {"": {"last_activity": "4000-01-01"}}},
]


@pytest.fixture
def database(db):
    return db


def names(answer):
    assert answer.status_code == 200, answer.text
    return [user["name"] for user in answer.json()]


def test_a_user(place, alice):
    model = place.ask("GET", "/users/alice", alice.key).json()
    assert model.pop("created").endswith("Z")
    assert model.pop("last_activity") is None or True
    assert model == {
        "kind": "user", "name": "alice", "admin": False, "roles": ["user"], "groups": [], "server": None,
        "pending": None, "auth_state": None, "servers": {},
    }  # fmt: skip


def test_who_am_i(place):
    me = place.ask("GET", "/user", place.key("alice")).json()
    assert me["name"] == "alice"
    assert "access:servers!user=alice" in me["scopes"]
    assert me["token_id"].startswith("a")
    limited = place.ask("GET", "/user", place.key("taro", "read:users!user=bob")).json()
    assert limited["name"] == "taro"
    assert "servers" not in limited
    assert "read:users!user=bob" in limited["scopes"]


def test_fields_follow_scopes(place):
    def fields(*scopes):
        return set(place.ask("GET", "/users/alice", place.key("alice", *scopes)).json())

    assert fields("read:users:name") == {"kind", "name", "admin"}
    assert fields("read:users:activity") == {"kind", "name", "last_activity"}
    assert fields("read:servers") == {"kind", "name", "admin", "servers"}


def test_the_list(place, taro):
    assert names(place.ask("GET", "/users", taro)) == ["taro", "alice", "bob", "mallory"]
    assert names(place.ask("GET", "/users?sort=name", taro)) == ["alice", "bob", "mallory", "taro"]
    assert names(place.ask("GET", "/users?sort=-name&limit=2", taro)) == ["taro", "mallory"]
    assert names(place.ask("GET", "/users?name_filter=AL", taro)) == ["alice", "mallory"]
    assert names(place.ask("GET", "/users?name_filter=%25", taro)) == []
    place.ask("POST", "/users/bob/server", taro)
    assert names(place.ask("GET", "/users?state=ready", taro)) == ["bob"]
    assert names(place.ask("GET", "/users?state=active", taro)) == ["bob"]
    assert names(place.ask("GET", "/users?state=inactive", taro)) == ["taro", "alice", "mallory"]


def test_a_list_of_a_few(place):
    key = place.key("taro", "list:users!user=bob", "list:users!user=alice")
    assert names(place.ask("GET", "/users", key)) == ["alice", "bob"]
    assert names(place.ask("GET", "/users?sort=-name&name_filter=b", key)) == ["bob"]
    assert names(place.ask("GET", "/users?state=ready", key)) == []


def test_pages(place, taro):
    first = place.ask("GET", "/users?limit=3&sort=name", taro | PAGED).json()
    assert [user["name"] for user in first["items"]] == ["alice", "bob", "mallory"]
    following = first["_pagination"].pop("next")
    assert first["_pagination"] == {"offset": 0, "limit": 3, "total": 4}
    assert (following["offset"], following["limit"]) == (3, 3)
    assert "sort=name" in following["url"]
    last = place.client.get(following["url"], headers=taro | PAGED).json()
    assert [user["name"] for user in last["items"]] == ["taro"]
    assert last["_pagination"]["next"] is None


def test_pages_out_of_bounds_are_brought_within(place, taro):
    for query in ["limit=0", "limit=-5", "offset=-1", "limit=99999999999999999999", f"offset={10**40}"]:
        assert place.ask("GET", f"/users?{query}", taro).status_code == 200, query


def test_odd_queries(place, taro):
    for query in ["limit=x", "offset=1.5", "state=odd", "sort=password", "name_filter=a%00"]:
        answer = place.ask("GET", f"/users?{query}", taro)
        assert (answer.status_code, answer.json()["status"]) == (400, 400), query


def test_adding(place, taro):
    assert place.ask("POST", "/users/carol", taro, json={"admin": True}).json()["admin"] is True
    assert place.ask("POST", "/users/carol", taro).status_code == 409
    assert place.ask("POST", "/users/CAROL", taro).status_code == 409
    unknown = place.ask("POST", "/users/eve", taro)
    assert (unknown.status_code, unknown.json()["code"]) == (409, "NoSystemAccount")
    assert place.ask("POST", "/users/a%20b", taro).status_code == 400


def test_adding_several(place, taro):
    made = place.ask("POST", "/users", taro, json={"usernames": ["alice", "carol", "dave", "carol"]})
    assert made.status_code == 201
    assert names_of(made) == ["carol", "dave"]
    assert place.ask("POST", "/users", taro, json={"usernames": ["carol"]}).status_code == 409
    assert place.ask("POST", "/users", taro, json={"usernames": []}).status_code == 400
    bad = place.ask("POST", "/users", taro, json={"usernames": ["hanako", "no/pe"]})
    assert bad.status_code == 400
    assert place.ask("GET", "/users/hanako", taro).status_code == 404
    few = place.key("taro", "admin:users!user=hanako")
    assert place.ask("POST", "/users", few, json={"usernames": ["hanako", "eve"]}).status_code == 403
    assert place.ask("POST", "/users", few, json={"usernames": ["hanako"]}).status_code == 201


def names_of(answer):
    return [user["name"] for user in answer.json()]


def test_changing(place, taro):
    assert place.ask("PATCH", "/users/alice", taro, json={"admin": True}).json()["admin"] is True
    assert users.get(place.db, "alice").admin
    assert place.ask("PATCH", "/users/alice", taro, json={"name": "alice", "admin": False}).status_code == 200
    assert place.ask("PATCH", "/users/alice", taro, json={"name": "eve"}).status_code == 400
    last = place.ask("PATCH", "/users/taro", taro, json={"admin": False})
    assert (last.status_code, last.json()["code"]) == (409, "LastAdministrator")
    assert place.ask("PATCH", "/users/alice", taro, json={"admin": "false"}).status_code == 400


def test_removing(place, taro):
    assert place.ask("DELETE", "/users/taro", taro).status_code == 400
    assert place.ask("DELETE", "/users/bob", taro).status_code == 204
    assert place.ask("DELETE", "/users/bob", taro).status_code == 404


def test_activity(place, alice):
    place.ask("POST", "/users/alice/server", alice.key)
    at = "2026-01-02T03:04:05Z"
    server = place.ask("GET", "/users/alice/server", alice.key).json()
    early = {"last_activity": "2001-01-02T03:04:05", "servers": {"": {"last_activity": "2001-01-01T00:00:00+09:00"}}}
    assert place.ask("POST", "/users/alice/activity", alice.key, json=early).status_code == 200
    assert place.ask("GET", "/users/alice/server", alice.key).json()["last_activity"] == server["last_activity"]
    bob = place.key("bob")
    assert (
        place.ask("POST", "/users/bob/activity", bob, json={"last_activity": "2001-01-02T03:04:05Z"}).status_code == 200
    )
    for odd in ODD_ACTIVITY:
        assert place.ask("POST", "/users/alice/activity", alice.key, json=odd).status_code == 400
    missing = place.ask("POST", "/users/alice/activity", alice.key, json={"servers": {"x": {"last_activity": at}}})
    assert missing.status_code == 404


def test_information(place, taro):
    root = place.ask("GET", "")
    assert root.status_code == 200
    assert root.json()["version"] == root.headers["X-JupyterHub-Version"]
    assert root.headers["Access-Control-Allow-Origin"] == "*"
    info = place.ask("GET", "/info", taro).json()
    assert {"version", "python", "sys_executable", "spawner", "authenticator"} <= info.keys()
    assert place.ask("GET", "/groups", taro).json() == []
    assert place.ask("GET", "/services", taro).json() == {}
