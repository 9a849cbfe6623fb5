import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from terakoya.accounts import audit, codes, tokens, users
from terakoya.db.models import Code, Token
from terakoya.errors import BadTokenRequest, CodeUsedUp, NoSuchToken


def test_a_token_is_its_users(db, cast):
    value, token = tokens.make(db, cast.alice.id, "ci", 60, ["inherit"], 3600)
    visitor = tokens.find(db, value)
    assert (visitor.user.name, visitor.token.id, visitor.session) == ("alice", token.id, None)
    assert tokens.get(db, cast.alice.id, token.id).last_activity
    assert [row.note for row in tokens.listed(db, cast.alice.id)] == ["ci"]
    assert tokens.find(db, value[:-1]) is None
    with pytest.raises(NoSuchToken):
        tokens.get(db, cast.bob.id, token.id)
    with pytest.raises(NoSuchToken):
        tokens.remove(db, cast.bob.id, token.id)
    tokens.remove(db, cast.alice.id, token.id, "taro")
    assert tokens.find(db, value) is None
    removed, made = audit.search(db, target="alice")[:2]
    assert (removed.action, removed.actor, made.action, made.actor) == ("token.remove", "taro", "token.make", "alice")


def test_a_token_ends(db, cast):
    value, token = tokens.make(db, cast.alice.id, "", None, ["self"], 3600)
    assert token.expires_at == pytest.approx(time.time() + 3600, abs=5)
    with db.session() as session:
        session.execute(update(Token).values(expires_at=time.time() - 1))
    assert tokens.find(db, value) is None
    assert tokens.listed(db, cast.alice.id) == []
    tokens.sweep(db)


def test_a_token_rests_while_its_user_is_disabled(db, cast):
    value, _ = tokens.make(db, cast.alice.id)
    users.disable(db, "alice")
    assert tokens.find(db, value) is None
    users.enable(db, "alice")
    assert tokens.find(db, value)


@pytest.mark.parametrize(
    "given",
    [{"lifetime": 0}, {"lifetime": -1}, {"lifetime": 3601}, {"lifetime": float("nan")}, {"lifetime": float("inf")},
     {"scopes": ["root"]}, {"scopes": ["access:servers!"]}, {"scopes": ["access:servers!user=../x"]}],
)  # fmt: skip
def test_bad_wishes(db, cast, given):
    with pytest.raises(BadTokenRequest):
        tokens.make(db, cast.alice.id, "", **{"lifetime": None, "max_lifetime": 3600} | given)


def test_a_code_opens_once(db):
    code = codes.make(db, "sign-in", {"user_id": 7}, 60)
    assert codes.use(db, "sign-in", code) == {"user_id": 7}
    with pytest.raises(CodeUsedUp):
        codes.use(db, "sign-in", code)


def test_a_code_is_for_its_purpose_and_time(db):
    code = codes.make(db, "welcome", {}, 60)
    for purpose, value in (("sign-in", code), ("welcome", code + "x"), ("welcome", ""), ("welcome", "é")):
        with pytest.raises(CodeUsedUp):
            codes.use(db, purpose, value)
    with db.session() as session:
        session.execute(update(Code).values(expires_at=time.time() - 1))
    with pytest.raises(CodeUsedUp):
        codes.use(db, "welcome", code)
    codes.sweep(db)


def test_of_many_at_once_one_gets_in(db):
    code = codes.make(db, "welcome", {"n": 1}, 60)

    def use(_):
        try:
            return codes.use(db, "welcome", code)
        except CodeUsedUp:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert [told for told in pool.map(use, range(16)) if told] == [{"n": 1}]
