import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from terakoya.accounts import permissions
from terakoya.errors import BadTokenRequest
from terakoya.web.api.scopes import EVERYTHING_OWNED, SCOPES, Grants, asked_for, held, held_by

NAMES = ("alice", "bob", "taro")
SCOPE = st.builds(
    lambda name, limit: name + limit,
    st.sampled_from(["inherit", "self", *SCOPES]),
    st.sampled_from(["", "!user", "!user=alice", "!user=bob", "!server=alice/", "!server=bob/lab"]),
).filter(lambda scope: not scope.startswith(("inherit!", "self!")))


def test_everything_that_comes_with_a_scope_is_a_scope():
    assert {included for _, with_it in SCOPES.values() for included in with_it} <= SCOPES.keys()


def test_tokens_can_be_made_with_these_scopes_and_no_others():
    assert SCOPES.keys() | EVERYTHING_OWNED.keys() == permissions.SCOPES


@pytest.mark.parametrize(
    ("scopes", "scope", "user", "server", "covered"),
    [
        (["inherit"], "read:users", "alice", None, True),
        (["inherit"], "read:users", "bob", None, False),
        (["self"], "start:servers", "alice", "", True),
        (["read:servers"], "read:users:name", "alice", None, True),
        (["read:servers"], "start:servers", "alice", "", False),
        (["servers!user=alice"], "start:servers", "alice", "lab", True),
        (["servers!user=bob"], "start:servers", "alice", "lab", False),
        (["servers!user=bob"], "start:servers", "bob", "lab", False),
        (["servers!server=alice/lab"], "start:servers", "alice", "lab", True),
        (["servers!server=alice/lab"], "start:servers", "alice", "", False),
        (["servers!server=alice/lab"], "start:servers", "alice", None, False),
        (["servers!server=alice/lab"], "read:users:name", "alice", None, True),
        (["servers!server=ALICE/"], "delete:servers", "alice", "", True),
        (["access:servers!user"], "access:servers", "alice", "", True),
        (["admin:users"], "delete:users", "bob", None, False),
        ([], "read:users:name", "alice", None, False),
    ],
)
def test_a_users_token(scopes, scope, user, server, covered):
    assert held("alice", admin=False, token_scopes=scopes).covers(scope, user, server) is covered


@pytest.mark.parametrize(
    ("scopes", "scope", "user", "covered"),
    [
        (["inherit"], "delete:users", "bob", True),
        (["inherit"], "access:servers", "bob", False),
        (["inherit"], "access:servers", "taro", True),
        (["self"], "read:users", "bob", False),
        (["admin:users"], "list:users", "bob", True),
        (["admin:users"], "start:servers", "bob", False),
        (["list:users!user=bob"], "list:users", "bob", True),
        (["list:users!user=bob"], "list:users", "alice", False),
        (["delete:servers", "read:users:activity", "list:users", "read:servers"], "delete:servers", "bob", True),
        (["delete:servers", "read:users:activity", "list:users", "read:servers"], "delete:users", "bob", False),
    ],
)
def test_an_administrators_token(scopes, scope, user, covered):
    assert held("taro", admin=True, token_scopes=scopes).covers(scope, user) is covered


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "nonsense",
        "read:users!",
        "read:users!user=",
        "read:users!group=x",
        "inherit!user=alice",
        "self!",
        "users!server=a",
        "users!server=a/b/c",
        "users!user=a/b",
        "\ud800",
        "x" * 10_000,
    ],
)
def test_what_is_no_scope_is_refused(scope):
    with pytest.raises(BadTokenRequest):
        asked_for([scope], "alice")


@given(st.lists(SCOPE, max_size=4), st.sampled_from(NAMES), st.booleans())
def test_a_token_never_gives_more_than_its_user_has(scopes, user, admin):
    token, owner = held(user, admin=admin, token_scopes=scopes), held_by(user, admin=admin)
    assert token <= owner
    for scope in SCOPES:
        for other in NAMES:
            for server in (None, "", "lab"):
                assert not token.covers(scope, other, server) or owner.covers(scope, other, server)


@given(st.lists(SCOPE, max_size=4), st.lists(SCOPE, max_size=4), st.sampled_from(NAMES))
def test_what_two_share_is_in_both(one, other, user):
    left, right = asked_for(one, user), asked_for(other, user)
    assert (left & right) <= left
    assert (left & right) <= right
    assert (left & right).reaches == (right & left).reaches


@given(st.lists(SCOPE, max_size=4), st.booleans())
@example(["tokens!server=alice/", "read:tokens"], False)
def test_scopes_are_written_as_they_are_read(scopes, admin):
    grants = held("alice", admin=admin, token_scopes=scopes)
    again = asked_for(grants.written(), "alice")
    assert grants <= again
    assert again & held_by("alice", admin=admin) == grants


def test_nothing_is_held_by_nothing():
    assert not Grants({}).touches("read:users:name", "alice")
    assert Grants({}).written() == []
