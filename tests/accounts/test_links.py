"""Links: the first one, one's own in personal mode, and what follows one."""

from __future__ import annotations

import dataclasses

import pytest

from terakoya import configfile
from terakoya.accounts import audit, entry, links, sessions, users
from terakoya.errors import CodeUsedUp, NoSuchUser, NotAllowed

SHARED = configfile.load(personal=False)
PERSONAL = dataclasses.replace(SHARED, personal=True)


def code_of(link: str) -> str:
    return link.partition("code=")[2]


def test_until_somebody_set_it_up_the_first_link_leads_to_the_welcome_page(db):
    for config in (SHARED, PERSONAL):
        assert links.first(db, config, "alice").startswith(f"{config.public_url}/hub/welcome?code=")


def test_afterwards_only_the_one_person_of_personal_mode_gets_one(db):
    entry.set_up(db, "alice", entry.Rule(everybody=True))
    assert links.first(db, SHARED, "alice") == ""
    assert "/hub/enter-link?code=" in links.first(db, PERSONAL, "alice")


def test_a_link_signs_in_once_and_leaves_a_trace(db, cast):
    code = code_of(links.sign_in(db, SHARED, "alice"))
    cookie, user = links.follow(db, SHARED, code, "Firefox", "192.0.2.1")
    assert user.name == "alice"
    assert sessions.find(db, cookie).user.id == cast.alice.id
    assert audit.search(db, action="sign-in.link")[0].address == "192.0.2.1"
    with pytest.raises(CodeUsedUp):
        links.follow(db, SHARED, code, "Firefox", "192.0.2.1")


def test_nobody_disabled_gets_or_uses_one(db, cast):
    code = code_of(links.sign_in(db, SHARED, "alice"))
    users.disable(db, "alice")
    with pytest.raises(CodeUsedUp):
        links.follow(db, SHARED, code, "", "")
    with pytest.raises(NotAllowed):
        links.sign_in(db, SHARED, "alice")
    with pytest.raises(NoSuchUser):
        links.sign_in(db, SHARED, "nobody")
