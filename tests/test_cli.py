"""The command line on a database of its own, with nothing running."""

from __future__ import annotations

import json
import os
import pwd
import stat
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import pytest

from terakoya.cli import main
from terakoya.db import migrate  # noqa: F401 imported once for all forks

ME = pwd.getpwuid(os.geteuid()).pw_name
ACCOUNT = "nobody"
"""As root, the account that files must belong to."""


@dataclass
class Cli:
    """Runs commands with settings in a folder of the test's own.

    Each in a fork of this process: as root a command gives up its rights for good, and a fork has imported already
    what a new Python would spend a second on.
    """

    place: Path

    def __call__(self, *arguments: str, code: int = 0) -> str:
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            pid = os.fork()
            if pid == 0:
                self._child(arguments, out, err)
            ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            out.seek(0)
            err.seek(0)
            said, complained = out.read(), err.read()
        assert ended == code, said + complained
        return said if code == 0 else complained

    def _child(self, arguments: tuple[str, ...], out: IO[str], err: IO[str]) -> None:
        code = 99
        try:
            sys.stdout, sys.stderr, sys.argv = out, err, ["terakoya", *arguments]
            os.environ |= {"TERAKOYA_CONFIG": str(self.place / "terakoya.toml"), "COLUMNS": "200"}
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:  # noqa: BLE001 a fork of pytest must never go on as pytest
            traceback.print_exc(file=err)
        finally:
            out.flush()
            err.flush()
            os._exit(code)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def error(self, *arguments: str) -> dict[str, str]:
        """The error, as scripts see it."""
        made: dict[str, str] = json.loads(self(*arguments, "--json", code=1))["error"]
        return made


@pytest.fixture
def cli() -> Iterator[Cli]:
    with TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        folders = "\n".join(f'{kind} = "{place / kind}"' for kind in ("state", "runtime", "logs"))
        text = f'[storage]\n{folders}\n[processes]\naccount = "{ACCOUNT}"\n[accounts]\nminimum_uid = 1\n'
        (place / "terakoya.toml").write_text(text, encoding="utf-8")
        yield Cli(place)


def test_users_come_and_go(cli: Cli) -> None:
    name = ME if os.geteuid() else "daemon"
    assert cli.json("user", "list") == []
    assert "There are no such users" in cli("user", "list")
    assert cli.json("user", "add", "alice", "--account", name, "--admin")["admin"] is True
    cli("user", "add", "bob", "--account", name)
    assert cli.error("user", "add", "ALICE", "--account", name)["code"] == "UserExists"
    assert [user["name"] for user in cli.json("user", "list")] == ["alice", "bob"]
    assert cli.json("user", "disable", "bob")["disabled"] is True
    assert [user["name"] for user in cli.json("user", "list", "--state", "disabled")] == ["bob"]
    assert cli.json("user", "enable", "bob")["disabled"] is False
    assert cli.error("user", "admin", "alice", "--off")["code"] == "LastAdministrator"
    assert cli.json("user", "admin", "bob")["admin"] is True
    assert cli.json("user", "admin", "alice", "--off")["admin"] is False
    assert "bob" in cli("user", "list")
    assert cli.json("user", "remove", "alice") == {"name": "alice", "removed": True}
    assert [user["name"] for user in cli.json("user", "list")] == ["bob"]


def test_an_account_that_does_not_exist(cli: Cli) -> None:
    error = cli.error("user", "add", "nobody-is-called-this")
    assert error["code"] == "NoSystemAccount"
    assert "Make it first" in error["cure"]


def test_a_name_that_can_not_be(cli: Cli) -> None:
    assert cli.error("user", "add", "../etc")["code"] == "BadUserName"


def test_tokens_are_shown_once(cli: Cli) -> None:
    name = ME if os.geteuid() else "daemon"
    cli("user", "add", "alice", "--account", name)
    made = cli.json("token", "make", "alice", "--note", "grades", "--lifetime", "1h")
    assert made["expires_at"] - made["created_at"] == 3600
    assert len(made["token"]) >= 40
    listed = cli.json("token", "list", "alice")
    assert [(token["id"], token["note"]) for token in listed] == [(made["id"], "grades")]
    assert made["token"] not in json.dumps(listed)
    assert "grades" in cli("token", "list", "alice")
    cli("token", "remove", "alice", str(made["id"]))
    assert cli.json("token", "list", "alice") == []
    assert cli.error("token", "remove", "alice", str(made["id"]))["code"] == "NoSuchToken"
    assert cli.error("token", "make", "alice", "--lifetime", "soon")["code"] == "BadTokenRequest"
    assert cli.error("token", "make", "mallory")["code"] == "NoSuchUser"


def test_a_link_signs_a_user_in(cli: Cli) -> None:
    name = ME if os.geteuid() else "daemon"
    cli("user", "add", "alice", "--account", name)
    assert cli("user", "link", "alice").startswith("http://localhost:8000/hub/enter-link?code=")
    cli("user", "add", "bob", "--account", name)
    cli("user", "disable", "bob")
    assert cli.error("user", "link", "bob")["code"] == "NotAllowed"


def test_the_first_link_can_be_had_again(cli: Cli) -> None:
    assert cli("user", "link").startswith("http://localhost:8000/hub/welcome?code=")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_what_root_makes_belongs_to_the_account(cli: Cli) -> None:
    cli("user", "list")
    made = cli.place / "state"
    paths = [made, *made.iterdir()]
    assert len(paths) > 1
    for path in paths:
        assert path.owner() == ACCOUNT
        assert not stat.S_IMODE(path.stat().st_mode) & 0o007


def test_nothing_runs(cli: Cli) -> None:
    for command in (["status"], ["server", "start", "alice"], ["server", "stop", "alice"]):
        error = cli.error(*command)
        assert error["code"] == "NotRunning"
        assert "terakoya up" in error["cure"]
    assert cli.json("server", "list") == []
    assert cli.json("down") == {"supervisor": False, "servers": 0, "left": 0}


def test_settings_are_shown_and_checked(cli: Cli) -> None:
    assert cli.json("config", "show", "edge")["edge"]["listen"] == "127.0.0.1:8000"
    assert 'state = "' in cli("config", "show")
    assert cli.json("config", "check")["right"] is True
    path = cli.place / "terakoya.toml"
    path.write_text('[edge]\nlistn = "127.0.0.1:80"\n', encoding="utf-8")
    error = cli.error("config", "check")
    assert error["code"] == "UnknownSetting"
    assert f"{path}, line 2" in error["what"]
    assert 'Did you mean "listen"' in error["cure"]
    told = cli("config", "check", code=1)
    assert 'there is no setting "listn"' in told
    assert "Traceback" not in told


def test_doctor_finds_nothing_wrong_before_the_first_start(cli: Cli) -> None:
    config = cli.place / "terakoya.toml"
    config.write_text(config.read_text(encoding="utf-8") + '[edge]\nlisten = "127.0.0.1:1"\n', encoding="utf-8")
    if os.geteuid() == 0:
        findings = {row["check"]: row for row in cli.json("doctor")}
        assert findings["Port"]["state"] == "ok"
        assert findings["Python for users"] | {"cause": ""} == findings["Python for users"] | {
            "state": "ok",
            "cause": "",
        }
        assert findings["Database"]["cause"] == "made at the first start"
        assert "Envoy 1." in findings["Envoy"]["cause"]


def test_version_and_help(cli: Cli) -> None:
    assert cli("version").startswith("terakoya ")
    assert set(cli.json("version")) == {"version"}
    assert "Start terakoya" in cli("--help")
