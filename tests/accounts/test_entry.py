import pytest

from terakoya.accounts import entry, users
from terakoya.accounts.entry import Rule
from terakoya.db.models import User
from terakoya.errors import BadUserName, NotAllowed


def _user(**values):
    return User(**{"name": "x", "admin": False, "invited": False, "disabled_at": None} | values)


@pytest.mark.parametrize(
    ("rule", "user", "groups", "enters"),
    [
        (Rule(), None, [], False),
        (Rule(), None, ["students"], False),
        (Rule(everybody=True), None, [], True),
        (Rule(groups=["students"]), None, ["students"], True),
        (Rule(groups=["students"]), None, ["staff"], False),
        (Rule(groups=["students"]), _user(), ["staff"], False),
        (Rule(groups=["students"]), _user(invited=True), ["staff"], True),
        (Rule(), _user(admin=True), [], True),
        (Rule(everybody=True), _user(disabled_at=1.0), [], False),
        (Rule(everybody=True), _user(disabled_at=1.0, admin=True, invited=True), [], False),
    ],
)
def test_who_may_enter(rule, user, groups, enters):
    assert entry.may_enter(rule, user, groups) is enters


def test_set_up_once(db):
    assert not entry.is_set_up(db)
    assert entry.rule(db) == Rule()
    admin = entry.set_up(db, "taro", Rule(groups=["students"]))
    assert admin.admin
    assert entry.is_set_up(db)
    assert entry.rule(db) == Rule(groups=["students"])
    with pytest.raises(NotAllowed):
        entry.set_up(db, "mallory", Rule(everybody=True))
    assert users.find(db)[1] == 1


def test_set_up_with_a_bad_name_changes_nothing(db):
    with pytest.raises(BadUserName):
        entry.set_up(db, "../x", Rule(everybody=True))
    assert not entry.is_set_up(db)


def test_set_up_makes_a_user_who_is_there_administrator(db):
    users.add(db, "alice")
    entry.set_up(db, "Alice", Rule(everybody=True))
    assert users.get(db, "alice").admin
    assert users.find(db)[1] == 1


def test_the_rule_changes(db):
    entry.set_rule(db, Rule(everybody=True), "taro")
    entry.set_rule(db, Rule(groups=["a", "b"]), "taro")
    assert entry.rule(db) == Rule(groups=["a", "b"])
