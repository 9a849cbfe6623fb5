import pytest

from terakoya.accounts.permissions import RIGHTS, is_scope, may
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import Server, Token, User

TARO = User(id=1, name="taro", admin=True, disabled_at=None)
ALICE = User(id=2, name="alice", admin=False, disabled_at=None)
BOB = User(id=3, name="bob", admin=False, disabled_at=None)
GONE = User(id=4, name="gone", admin=True, disabled_at=1.0)
HERS = Server(user_id=2, name="")
HER_LAB = Server(user_id=2, name="lab")
HER_TOKEN = Token(user_id=2)


@pytest.mark.parametrize(
    ("who", "action", "thing", "allowed"),
    [
        (ALICE, "open server", HERS, True),
        (BOB, "open server", HERS, False),
        (TARO, "open server", HERS, False),
        (TARO, "visit server", HERS, True),
        (BOB, "visit server", HERS, False),
        (ALICE, "start server", HERS, True),
        (BOB, "start server", HERS, False),
        (TARO, "stop server", HERS, True),
        (ALICE, "list users", None, False),
        (TARO, "list users", None, True),
        (ALICE, "make administrator", ALICE, False),
        (ALICE, "disable user", ALICE, False),
        (TARO, "make token", ALICE, False),
        (TARO, "remove token", HER_TOKEN, True),
        (BOB, "remove token", HER_TOKEN, False),
        (GONE, "list users", None, False),
        (TARO, "read audit", None, True),
    ],
)
def test_users(who, action, thing, allowed):
    assert may(who, action, thing) is allowed
    assert may(Visitor(who), action, thing) is allowed
    assert may(Visitor(who, token=Token(scopes=["inherit"])), action, thing) is allowed
    assert not may(Visitor(who, token=Token(scopes=[])), action, thing)


@pytest.mark.parametrize(
    ("who", "scope", "action", "thing", "allowed"),
    [
        (ALICE, "access:servers", "open server", HERS, True),
        (ALICE, "access:servers", "stop server", HERS, False),
        (ALICE, "access:servers!server=alice/lab", "open server", HER_LAB, True),
        (ALICE, "access:servers!server=alice/lab", "open server", HERS, False),
        (ALICE, "access:servers!server=alice/", "open server", HERS, True),
        (ALICE, "access:servers!user=bob", "open server", HERS, False),
        (ALICE, "access:servers!user=alice", "open server", HERS, True),
        (ALICE, "servers!user", "start server", HERS, True),
        (BOB, "access:servers!user=alice", "open server", HERS, False),
        (ALICE, "self", "start server", HERS, True),
        (TARO, "self", "stop server", HERS, False),
        (TARO, "servers", "stop server", HERS, True),
        (TARO, "admin:users!user=alice", "disable user", ALICE, True),
        (TARO, "admin:users!user=alice", "disable user", BOB, False),
        (ALICE, "admin:users", "list users", None, False),
    ],
)
def test_tokens_narrow(who, scope, action, thing, allowed):
    assert is_scope(scope)
    assert may(Visitor(who, token=Token(scopes=[scope])), action, thing) is allowed


def test_mallory_may_nothing_to_others():
    mallory = User(id=9, name="mallory", admin=False, disabled_at=None)
    assert [action for action in RIGHTS if may(mallory, action, ALICE) or may(mallory, action)] == []


def test_an_unknown_action_is_a_bug():
    with pytest.raises(KeyError):
        may(TARO, "fly")
