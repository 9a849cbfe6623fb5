"""terakoya.toml: every mistake is an error that names the line and what would be right."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from terakoya import configfile
from terakoya.config import Duration
from terakoya.errors import BadSetting, SettingsNotToml, SettingsUnreadable, UnknownSetting
from terakoya.ops import reference


def load(tmp_path: Path, text: str) -> configfile.Config:
    path = tmp_path / "terakoya.toml"
    path.write_text(text, encoding="utf-8")
    return configfile.load(path, personal=True)


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    config = configfile.load(personal=True)
    assert config.path == tmp_path / "terakoya/terakoya.toml"
    assert config.storage.state == tmp_path / "state/terakoya"
    assert config.database_url == f"sqlite:///{tmp_path}/state/terakoya/terakoya.sqlite"


def test_the_administrator_has_the_folders_of_the_system() -> None:
    config = configfile.load(Path("/dev/null"), personal=False)
    folders = config.storage
    assert (folders.state, folders.runtime, folders.logs) == (
        Path("/var/lib/terakoya"),
        Path("/run/terakoya"),
        Path("/var/log/terakoya"),
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        ('[site]\ntitel = "x"', 2, "titel", 'Did you mean "title" under [site]?'),
        ("[sites]\n", 1, "sites", 'Did you mean "site"?'),
        ('# one\n\n[edge]\nlisten = "127.0.0.1:1"\nworker = 3', 5, "worker", '"workers" under [edge]'),
        ("[servers]\nminimum_uid = 5", 2, "minimum_uid", 'Did you mean "minimum_uid" under [accounts]?'),
        ('title = "x"', 1, "title", '"title" under [site]'),
        ("[servers]\nxyzzy = 1", 2, "xyzzy", "`terakoya config show` lists"),
    ],
)
def test_an_unknown_key(tmp_path: Path, text: str, line: int, key: str, hint: str) -> None:
    with pytest.raises(UnknownSetting) as error:
        load(tmp_path, text)
    assert error.value.facts["line"] == line
    assert error.value.facts["key"] == key
    assert hint in error.value.cure


@pytest.mark.parametrize(
    ("text", "line", "key", "part"),
    [
        ('[edge]\n\nlisten = "8000"', 3, "listen", "an address and a port"),
        ('[edge]\nlisten = "127.0.0.1:99999"', 2, "listen", "an address and a port"),
        ('[edge]\ncertificate = "/x"', 1, "certificate_key", "come together"),
        ("[edge]\nplain_http = 1", 2, "plain_http", "another type"),
        ("[edge]\nworkers = -1", 2, "workers", "negative"),
        ("[edge]\nworkers = true", 2, "workers", "another type"),
        ('[edge]\ntrusted_proxies = "10.0.0.0/8"', 2, "trusted_proxies", "another type"),
        ('[accounts]\nsession_idle = "soon"', 2, "session_idle", "a number and a unit"),
        ("[accounts]\nsession_idle = 5", 2, "session_idle", "a number and a unit"),
        ('[accounts]\nsession_idle = "0s"', 2, "session_idle", "more than nothing"),
        ("[servers.environment]\nA = 1", 1, "environment", "another type"),
        ('[servers]\ndefault_url = "lab"', 2, "default_url", "slash"),
        ("[servers]\nstarts_at_once = 0", 2, "starts_at_once", "nothing would ever start"),
        ('[site]\nlanguage = "fr"', 2, "language", "no such translation"),
        ('[site]\nurl = "notebooks.example.org"', 2, "url", "not the address of a site"),
        ('[site]\nurl = "https://example.org/notebooks"', 2, "url", "not the address of a site"),
        ('[site]\nuser_domain = "notebooks.example.org"', 2, "user_domain", "wildcard"),
        ('[processes]\nlog_level = "loud"', 2, "log_level", "no such level"),
        ('[storage]\nstate = "relative/path"', 2, "state", "absolute path"),
    ],
)
def test_an_impossible_value(tmp_path: Path, text: str, line: int, key: str, part: str) -> None:
    with pytest.raises(BadSetting) as error:
        load(tmp_path, text)
    assert (error.value.facts["line"], error.value.facts["key"]) == (line, key)
    assert part in error.value.what
    assert error.value.cure.startswith("Write ")


def test_what_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsNotToml, match="line 2"):
        load(tmp_path, "[site]\ntitle = terakoya")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsUnreadable, match="No such file"):
        configfile.load(tmp_path / "missing.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "terakoya.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsUnreadable):
        configfile.load(path)


FULL = """
[site]
title = 'Say "hi" \\ 寺子屋'
[edge]
listen = "[::]:8443"
trusted_proxies = ["10.0.0.0/8", "::1/128"]
[accounts]
session_idle = "1.5h"
[servers]
environment = { A = "1", "B.C" = "x\\ty\\u007f\\U0001F600" }
[storage]
database = "postgresql://u:p%40ss@db/terakoya"
"""


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    again = load(tmp_path, configfile.dump(config))
    assert again == config
    assert again.accounts.session_idle == 5400
    assert load(tmp_path, reference.commented(config, list(configfile.TABLES))) == config


def test_only_live_settings_change_while_running(tmp_path: Path) -> None:
    now = load(tmp_path, "")
    found = load(tmp_path, '[site]\ntitle = "New"\nurl = "https://x.example"\n[edge]\nlisten = "0.0.0.0:443"')
    merged, waiting = configfile.with_live(now, found)
    assert merged.site.title == "New"
    assert (merged.site.url, merged.edge) == (now.site.url, now.edge)
    assert waiting == ["site.url", "edge.listen"]


@pytest.mark.parametrize(
    ("text", "url", "tls"),
    [
        ("", "http://localhost:8000", False),
        ('[edge]\nlisten = "127.0.0.1:80"', "http://localhost", False),
        ('[edge]\nlisten = "192.0.2.1:443"', "https://192.0.2.1", True),
        ('[edge]\nlisten = "192.0.2.1:80"\nplain_http = true', "http://192.0.2.1", False),
        ('[edge]\nlisten = "[::1]:8000"', "http://localhost:8000", False),
        ('[edge]\nlisten = "[2001:db8::1]:8443"', "https://[2001:db8::1]:8443", True),
        ('[site]\nurl = "https://n.example.org/"', "https://n.example.org", False),
    ],
)
def test_the_public_address(tmp_path: Path, text: str, url: str, tls: bool) -> None:
    config = load(tmp_path, text)
    assert (config.public_url, config.tls) == (url, tls)


def test_every_setting_says_what_it_is() -> None:
    for kind in configfile.TABLES.values():
        for field in dataclasses.fields(kind):
            assert len(field.metadata["about"]) > 20, field.name


def test_the_reference_is_current() -> None:
    page = Path(__file__).parents[1] / "docs/configuration.md"
    assert page.read_text(encoding="utf-8") == reference.markdown(), "run `make docs`"


@pytest.mark.parametrize(
    ("seconds", "text"), [(86400 * 14, '"14d"'), (5400, '"90m"'), (3600, '"1h"'), (90, '"90s"'), (0.5, '"0.5s"')]
)
def test_durations_are_written_in_the_largest_fitting_unit(seconds: float, text: str) -> None:
    assert reference.duration(Duration(seconds)) == text
    assert configfile.convert(Duration, text.strip('"')) == seconds
