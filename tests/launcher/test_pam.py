"""Signing in, with real accounts and real PAM."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from terakoya.launcher import pam
from tests.launcher.stage import Stage
from tests.osusers import OsUser, OsUsers

pytestmark = pytest.mark.anyio


async def sign_in(stage: Stage, name: str, password: str, **more: Any) -> dict[str, Any]:
    return await stage.client.authenticate(name, password, "192.0.2.1", **more)


async def denied(stage: Stage, name: str, password: str) -> bool:
    answer = await sign_in(stage, name, password)
    return answer == {"result": "denied", "os_name": "", "uid": -1, "groups": [], "message": ""}


async def test_a_right_password_opens(stage: Stage, alice: OsUser) -> None:
    answer = await sign_in(stage, alice.name, alice.password)
    assert answer == {"result": "ok", "os_name": alice.name, "uid": alice.uid, "groups": [alice.name], "message": ""}


async def test_every_failure_looks_the_same(stage: Stage, alice: OsUser) -> None:
    for name, password in [
        (alice.name, "wrong"),
        (alice.name, ""),
        ("nosuchuser", "wrong"),
        ("", alice.password),
        ("root", "wrong"),
        ("nobody", ""),
        ("daemon", ""),
        (alice.name.upper(), alice.password),
        (alice.name + "\n", alice.password),
        ("../" + alice.name, alice.password),
        (alice.name + "\0", alice.password),
        (alice.name, alice.password + "\0"),
        (alice.name, alice.password + "\0junk"),
        (alice.name, alice.password[:-1]),
        (alice.name, "x" * 10_000),
        (alice.name, "\u3042" * 10_000),
        ("x" * 10_000, alice.password),
        (alice.name, "\ud800"),
        ("\ud800", alice.password),
    ]:
        assert await denied(stage, name, password), (name[:40], password[:40])


async def test_a_failure_does_not_wait(stage: Stage, alice: OsUser) -> None:
    """PAM's own delay is off: how long a failure takes is for the hub to even out."""
    started = time.monotonic()
    assert await denied(stage, alice.name, "wrong")
    assert time.monotonic() - started < 1.5


async def test_a_locked_account(stage: Stage, module_os_users: OsUsers) -> None:
    user = module_os_users.make("locked")
    module_os_users.change("usermod", "-L", user.name)
    assert await denied(stage, user.name, user.password)


async def test_an_expired_account(stage: Stage, module_os_users: OsUsers) -> None:
    user = module_os_users.make("expired")
    module_os_users.change("chage", "-E", "0", user.name)
    assert await denied(stage, user.name, user.password)


async def test_a_shell_that_lets_nobody_in_passes(stage: Stage, module_os_users: OsUsers) -> None:
    user = module_os_users.make("nologin", shell="/usr/sbin/nologin")
    assert (await sign_in(stage, user.name, user.password))["result"] == "ok"


async def test_a_password_that_must_be_changed(stage: Stage, module_os_users: OsUsers) -> None:
    user = module_os_users.make("change")
    module_os_users.change("chage", "-d", "0", user.name)
    assert (await sign_in(stage, user.name, user.password))["result"] == "must_change"
    assert await denied(stage, user.name, "wrong")
    new = "an entirely different one"
    assert (await sign_in(stage, user.name, "wrong", new_password=new))["result"] == "denied"
    refused = await sign_in(stage, user.name, user.password, new_password="a")
    assert refused["result"] == "refused_new_password"
    assert refused["message"]
    assert (await sign_in(stage, user.name, user.password, new_password=user.password))["result"] != "ok"
    assert (await sign_in(stage, user.name, user.password, new_password=new + "\0"))["result"] == "denied"
    assert (await sign_in(stage, user.name, user.password, new_password=new))["result"] == "ok"
    assert await denied(stage, user.name, user.password)
    assert (await sign_in(stage, user.name, new))["result"] == "ok"


async def test_a_new_password_is_not_taken_without_need(stage: Stage, bob: OsUser) -> None:
    assert (await sign_in(stage, bob.name, bob.password, new_password="never to be set"))["result"] == "ok"
    assert await denied(stage, bob.name, "never to be set")


async def test_fifty_at_once(stage: Stage, alice: OsUser, bob: OsUser) -> None:
    """None is falsely refused, and none falsely let in."""
    attempts = [(user, right) for user in (alice, bob) for right in (True, False) * 13]
    answers = await asyncio.gather(
        *(sign_in(stage, user.name, user.password if right else "wrong") for user, right in attempts)
    )
    assert [answer["result"] for answer in answers] == ["ok" if right else "denied" for _, right in attempts]


async def test_passwords_are_not_logged(stage: Stage, alice: OsUser) -> None:
    await sign_in(stage, alice.name, "a-wrong-password-that-is-seen")
    assert "a-wrong-password-that-is-seen" not in stage.log
    assert alice.password not in stage.log
    assert f"sign-in of '{alice.name}' from 192.0.2.1: denied" in stage.log


async def test_accounts(stage: Stage, alice: OsUser) -> None:
    names = {person["name"]: person for person in await stage.client.accounts()}
    assert names[alice.name] == {"name": alice.name, "uid": alice.uid, "full_name": "", "groups": [alice.name]}
    assert not names.keys() & {"root", "nobody", "daemon"}
    found = {"exists": True, "uid": alice.uid, "home": str(alice.home), "groups": [alice.name]}
    assert await stage.client.account(alice.name) == found
    for name in ("root", "nobody", "nosuchuser", "", "a\0b", "\ud800"):
        assert await stage.client.account(name) == {"exists": False, "uid": -1, "home": "", "groups": []}


async def test_without_root_only_ones_own_password(personal_stage: tuple[Stage, OsUser], os_users: OsUsers) -> None:
    """pam_unix asks its helper program then, and somebody who reaps that program would make it fail."""
    (stage, alice), bob = personal_stage, os_users.make("bob")
    assert not (await stage.client.ping())["root"]
    attempts = [True, False] * 25
    answers = await asyncio.gather(
        *(sign_in(stage, alice.name, alice.password if right else "wrong") for right in attempts)
    )
    assert [answer["result"] for answer in answers] == ["ok" if right else "denied" for right in attempts]
    assert await denied(stage, bob.name, bob.password)
    assert [person["name"] for person in await stage.client.accounts()] == [alice.name]


async def test_a_crowd_holds_up_nobody_else(stage: Stage) -> None:
    """More sign-ins than places wait in line; other verbs do not."""
    crowd = [asyncio.create_task(stage.client.authenticate("nosuchuser", "wrong")) for _ in range(100)]
    assert (await stage.client.ping())["root"]
    assert {answer["result"] for answer in await asyncio.gather(*crowd)} == {"denied"}


@pytest.mark.parametrize(
    ("changing", "prompt", "answer"),
    [
        (False, "Password: ", "old one"),
        (True, "Current password: ", "old one"),
        (True, "(current) UNIX password: ", "old one"),
        (True, "Old Password: ", "old one"),
        (True, "New password: ", "new one"),
        (True, "Retype new password: ", "new one"),
        (True, "Reenter new Password: ", "new one"),
        (True, "Verification code: ", None),
    ],
)
def test_what_pam_asks_for(changing: bool, prompt: str, answer: str | None) -> None:
    transaction = pam.Transaction("login", "alice", pam.Attempt("alice", "old one", "new one"))
    transaction._changing = changing
    message = SimpleNamespace(msg_style=1, msg=prompt.encode())
    if answer is None:
        with pytest.raises(ValueError):
            transaction._reply(message)
    else:
        assert transaction._reply(message) == answer


def test_the_service_that_is_not_set_up() -> None:
    assert pam.service("terakoya-of-no-machine") == "login"
    assert pam.service("../pam.d/login") == "login"
    assert pam.service("su") == "su"
