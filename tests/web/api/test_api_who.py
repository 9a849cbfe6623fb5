"""Who may do what: user or token and endpoint to status."""

import pytest

from terakoya.accounts import sessions, users

NOBODY, FORGED = "nobody", "forged"

WHO = {
    NOBODY: None,
    FORGED: None,
    "alice": ("alice", ()),
    "bob": ("bob", ()),
    "taro": ("taro", ()),
    "alice:name": ("alice", ("read:users:name",)),
    "alice:read": ("alice", ("read:users",)),
    "alice:servers": ("alice", ("servers",)),
    "alice:lab": ("alice", ("servers!server=alice/gpu",)),
    "alice:tokens": ("alice", ("tokens",)),
    "alice:admin": ("alice", ("admin:users", "admin:servers")),
    "bob:alice": ("bob", ("servers!user=alice", "read:users!user=alice")),
    "taro:list": ("taro", ("list:users",)),
    "taro:listbob": ("taro", ("list:users!user=bob",)),
    "taro:self": ("taro", ("self",)),
    "taro:culler": ("taro", ("list:users", "read:servers", "read:users:activity", "delete:servers")),
}

TABLE = [
    # endpoint, {who: status}; everybody else gets `otherwise`
    ("GET", "", {}, 200),
    ("GET", "/", {}, 200),
    ("GET", "/health", {}, 200),
    ("GET", "/nothing", {}, 404),
    ("PUT", "/users", {}, 405),
    ("GET", "/info", {"taro": 200}, 403),
    ("GET", "/user", {NOBODY: 403, FORGED: 403}, 200),
    ("GET", "/users", {"taro": 200, "taro:list": 200, "taro:listbob": 200, "taro:culler": 200}, 403),
    ("GET", "/groups", {"taro": 200, "taro:list": 200, "taro:listbob": 200, "taro:culler": 200}, 403),
    (
        "GET",
        "/users/alice",
        {
            NOBODY: 403,
            FORGED: 403,
            "alice:tokens": 403,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
            "alice:lab": 200,
            "alice:admin": 200,
        },
        200,
    ),
    ("GET", "/users/nobody", {NOBODY: 403, FORGED: 403}, 404),
    (
        "GET",
        "/users/alice/server",
        {
            "alice": 200,
            "taro": 200,
            "alice:servers": 200,
            "alice:admin": 200,
            "taro:culler": 200,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "GET",
        "/users/alice/servers/gpu",
        {
            "alice:lab": 404,
            "alice": 404,
            "taro": 404,
            "alice:servers": 404,
            "alice:admin": 404,
            "taro:culler": 404,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "DELETE",
        "/users/alice/server",
        {
            "alice": 204,
            "taro": 204,
            "alice:servers": 204,
            "alice:admin": 204,
            "taro:culler": 204,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "DELETE",
        "/users/alice/servers/gpu",
        {
            "alice": 404,
            "taro": 404,
            "alice:servers": 404,
            "alice:admin": 404,
            "alice:lab": 404,
            "taro:culler": 404,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "GET",
        "/users/alice/tokens",
        {
            "alice": 200,
            "taro": 200,
            "alice:tokens": 200,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "POST",
        "/users/alice/tokens",
        {"alice": 201, "alice:tokens": 201, "bob": 404, "bob:alice": 404, "taro:listbob": 404, "taro:self": 404},
        403,
    ),
    (
        "GET",
        "/users/alice/tokens/a99",
        {
            "alice": 404,
            "taro": 404,
            "alice:tokens": 404,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    (
        "DELETE",
        "/users/alice/tokens/a99",
        {
            "alice": 404,
            "taro": 404,
            "alice:tokens": 404,
            "bob": 404,
            "bob:alice": 404,
            "taro:listbob": 404,
            "taro:self": 404,
        },
        403,
    ),
    ("POST", "/users/carol", {"taro": 201}, 403),
    ("PATCH", "/users/alice", {"taro": 200, "bob": 404, "bob:alice": 404, "taro:listbob": 404, "taro:self": 404}, 403),
    ("DELETE", "/users/alice", {"taro": 204, "bob": 404, "bob:alice": 404, "taro:listbob": 404, "taro:self": 404}, 403),
]


@pytest.mark.parametrize(
    ("method", "path", "statuses", "otherwise"), TABLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_who_may_do_what(place, method, path, statuses, otherwise):
    found = {}
    for who, of in WHO.items():
        key = {"Authorization": "token forged"} if who == FORGED else place.key(*_flat(of)) if of else None
        answer = place.ask(method, path, key)
        _undo(place, method, path, answer.status_code)
        assert answer.headers["X-JupyterHub-Version"]
        if answer.status_code >= 400:
            assert answer.json()["status"] == answer.status_code
            assert {"message", "cure"} <= answer.json().keys()
        found[who] = answer.status_code
    assert found == {who: statuses.get(who, otherwise) for who in WHO}


def _undo(place, method, path, status):
    """So that everybody asks the same."""
    if method == "POST" and path == "/users/carol" and status == 201:
        users.remove(place.db, "carol")
    if method == "DELETE" and path == "/users/alice" and status == 204:
        users.add(place.db, "alice")


def _flat(of):
    name, scopes = of
    return name, *scopes


def test_a_stranger_sees_no_difference_between_a_user_and_nobody(place):
    key = place.key("mallory")
    for path in ("", "/server", "/tokens", "/tokens/a1", "/server/progress"):
        there = place.ask("GET", f"/users/bob{path}", key).json()
        nobody = place.ask("GET", f"/users/eve{path}", key).json()
        del there["incident"], nobody["incident"]
        assert there == {**nobody, "message": nobody["message"].replace("eve", "bob")}


def test_a_session_is_its_user(place, config):
    user = users.get(place.db, "alice")
    cookie, _ = sessions.open(place.db, user.id, lifetime=600, idle=600, user_agent="", address="")
    place.client.cookies.set("terakoya-session", cookie)
    assert place.ask("GET", "/user").json()["name"] == "alice"
    assert place.ask("GET", "/users/alice/tokens").status_code == 200
    # A page of another site can't use it, the hub's own pages can.
    assert place.ask("POST", "/users/alice/tokens").status_code == 403
    assert place.ask("POST", "/users/alice/tokens", {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert place.ask("POST", "/users/alice/tokens", {"Sec-Fetch-Site": "same-origin"}).status_code == 201


def test_a_disabled_user_is_nobody(place, alice):
    assert place.ask("GET", "/user", alice.key).status_code == 200
    users.disable(place.db, "alice")
    assert place.ask("GET", "/user", alice.key).status_code == 403


def test_names_are_found_in_any_spelling(place, alice):
    for name in ("ALICE", "\uff21lice", "%41lice"):
        assert place.ask("GET", f"/users/{name}", alice.key).json()["name"] == "alice"
