import pytest
from sqlalchemy import select

from terakoya.accounts import audit, sessions, users
from terakoya.db.models import Server
from terakoya.errors import BadUserName, LastAdministrator, NoSuchUser, UserExists
from terakoya.servers import life


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("alice", "alice"),
        ("ALICE", "alice"),
        ("\uff41\uff4c\uff49\uff43\uff45", "alice"),
        ("Straße", "strasse"),
        ("ﬁona", "fiona"),
        ("K", "k"),
    ],
)
def test_keys(typed, key):
    assert users.key(typed) == key
    assert users.key(users.key(typed)) == key


@pytest.mark.parametrize("name", ["alice", "Taro", "s1234567", "21b12345", "first.last", "a-b_c", "_x", "a" * 32])
def test_good_names(name):
    users.check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 33,
        ".",
        "..",
        ".hidden",
        "-rf",
        "a/b",
        "a%2fb",
        "a\0b",
        "a b",
        "a\nb",
        "a:b",
        "名前",
        "\uff41\uff4c\uff49\uff43\uff45",
        "a@b",
        "a\u202eb",
        "a?b",
    ],
)
def test_bad_names(db, name):
    with pytest.raises(BadUserName):
        users.add(db, name)
    assert users.find(db)[1] == 0


def test_found_in_any_spelling(db, cast):
    assert (
        users.get(db, "ALICE").id
        == cast.alice.id
        == users.get(db, "\uff41\uff4c\uff49\uff43\uff45").id
        == users.by_id(db, cast.alice.id).id
    )


@pytest.mark.parametrize("name", ["", "nobody", "alice\0", "\ud800", "a" * 10_000, "%", "alic_"])
def test_nobody_of_this_name(db, cast, name):
    with pytest.raises(NoSuchUser):
        users.get(db, name)


def test_one_user_for_all_spellings(db, cast):
    with pytest.raises(UserExists):
        users.add(db, "Alice")
    assert users.find(db)[1] == 5


def test_a_user_has_a_server_from_the_first_day(db, cast):
    assert life.get(db, cast.alice.id).state == "stopped"


def test_disabling_ends_sessions_and_wishes_servers_to_stop(db, cast):
    cookie, _ = sessions.open(db, cast.alice.id, lifetime=100, idle=100, user_agent="", address="")
    life.want(db, life.get(db, cast.alice.id).id, "running")
    users.disable(db, "alice", "taro")
    assert sessions.find(db, cookie) is None
    assert life.get(db, cast.alice.id).wish == "stopped"
    assert users.get(db, "alice").disabled_at
    users.enable(db, "alice", "taro")
    assert sessions.find(db, cookie) is None
    assert [row.action for row in audit.search(db, target="alice", actor="taro")] == ["user.enable", "user.disable"]


def test_the_last_administrator_stays(db, cast):
    for leave in (
        lambda: users.disable(db, "taro"),
        lambda: users.remove(db, "taro"),
        lambda: users.set_admin(db, "taro", admin=False),
    ):
        with pytest.raises(LastAdministrator):
            leave()
    users.set_admin(db, "hanako", admin=True)
    users.disable(db, "hanako")
    with pytest.raises(LastAdministrator):  # a disabled one can't administer
        users.remove(db, "taro")
    users.enable(db, "hanako")
    users.remove(db, "taro")


def test_removing_takes_everything_of_the_user_along(db, cast):
    cookie, _ = sessions.open(db, cast.bob.id, lifetime=100, idle=100, user_agent="", address="")
    users.remove(db, "bob", "taro")
    assert sessions.find(db, cookie) is None
    with db.reading() as session:
        assert session.scalars(select(Server).where(Server.user_id == cast.bob.id)).all() == []
    users.add(db, "bob")


def test_preferences(db, cast):
    users.set_preference(db, cast.alice.id, "language", "ja")
    users.set_preference(db, cast.alice.id, "theme", "dark")
    assert users.get(db, "alice").preferences == {"language": "ja", "theme": "dark"}
