"""Every setting: its name in `terakoya.toml`, type, default and meaning. `terakoya.configfile` reads the file.

A table of the file is a class here, a key of the table a field. What a field means stands in its `about`;
`docs/configuration.md` and `terakoya config show` are made from it. `live` settings change on SIGHUP.
Durations are seconds, written as "90s", "15m", "12h" or "14d".
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NewType

Duration = NewType("Duration", float)
"""Seconds."""


def _setting(default: Any, about: str, *, live: bool = False) -> Any:
    metadata = {"about": about, "live": live}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Site:
    """[site]: what visitors see."""

    title: str = _setting("terakoya", "The name of this place, shown on every page.", live=True)
    message: str = _setting("", "A line shown on the sign-in page, for example whom to ask for help.", live=True)
    url: str = _setting(
        "",
        "The address under which browsers reach this server, such as https://notebooks.example.org. "
        "Empty: derived from `listen`.",
    )
    user_domain: str = _setting(
        "",
        'With "*.notebooks.example.org" the server of every user has a web address of its own, and administrators may '
        "visit. Needs a wildcard DNS entry and certificate. Empty: all share the address of the hub.",
    )
    language: str = _setting("", 'Language of the pages: "en" or "ja". Empty: what the browser asks for.', live=True)


@dataclass(frozen=True)
class Edge:
    """[edge]: the address, certificates and what stands in front."""

    listen: str = _setting("127.0.0.1:8000", "Address and port to listen on; [::]:443 and 0.0.0.0:443 mean all.")
    certificate: str = _setting(
        "",
        "Path of the TLS certificate chain (PEM), re-read when it changes. Empty: plain HTTP on loopback, beyond it a "
        "certificate of terakoya's own authority.",
    )
    certificate_key: str = _setting("", "Path of the certificate's private key (PEM).")
    plain_http: bool = _setting(
        False, "Listen beyond loopback without TLS. Only for a trusted reverse proxy that adds TLS."
    )
    trusted_proxies: list[str] = _setting(
        [],
        "Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8.",
    )
    workers: int = _setting(0, "Threads of the edge. 0: one for each processor, at most 4.")


@dataclass(frozen=True)
class Accounts:
    """[accounts]: signing in."""

    pam_service: str = _setting(
        "terakoya",
        "PAM service that checks passwords (/etc/pam.d/...); where it is missing, `login` is used.",
        live=True,
    )
    minimum_uid: int = _setting(1000, "Accounts of the machine below this number can't sign in.")
    session_lifetime: Duration = _setting(Duration(14 * 86400.0), "How long a sign-in lasts at most.", live=True)
    session_idle: Duration = _setting(
        Duration(7 * 86400.0), "A sign-in ends when it was not used for this long.", live=True
    )
    token_lifetime: Duration = _setting(
        Duration(365 * 86400.0), "The longest life of a token for scripts; also the default.", live=True
    )


@dataclass(frozen=True)
class Servers:
    """[servers]: the users' notebook servers."""

    default_url: str = _setting("/lab", "What opens first: /lab for JupyterLab, /tree for Notebook.", live=True)
    named: int = _setting(3, "How many named servers a user may have beside the usual one. 0: none.", live=True)
    start_timeout: Duration = _setting(Duration(60.0), "A server not ready after this time has failed.", live=True)
    stop_timeout: Duration = _setting(
        Duration(10.0), "A server told to stop may save for this long before it is ended.", live=True
    )
    starts_at_once: int = _setting(8, "How many servers are started at the same moment; the others wait in line.")
    environment: dict[str, str] = _setting({}, "Environment variables given to every server.", live=True)


@dataclass(frozen=True)
class Storage:
    """[storage]: where things are kept."""

    state: Path = _setting(Path(), "Folder of the database, keys and certificates. Kept across restarts; back it up.")
    runtime: Path = _setting(
        Path(), "Folder of sockets and running servers' files. Emptied by a restart of the machine."
    )
    logs: Path = _setting(Path(), "Folder of the logs of terakoya itself and of users' servers.")
    database: str = _setting(
        "", "Database URL, for example postgresql://user@host/terakoya. Empty: SQLite in the state folder."
    )


@dataclass(frozen=True)
class Processes:
    """[processes]: how terakoya itself runs."""

    account: str = _setting("terakoya", "The system account of the web-facing processes; made if missing (as root).")
    log_level: str = _setting("info", "What is logged: debug, info, warning or error.", live=True)


@dataclass(frozen=True)
class Config:
    """All settings. `path` is the file they came from, or where it would be; `personal`: one account, no root."""

    site: Site
    edge: Edge
    accounts: Accounts
    servers: Servers
    storage: Storage
    processes: Processes
    path: Path
    personal: bool

    @property
    def database_url(self) -> str:
        return self.storage.database or f"sqlite:///{self.storage.state / 'terakoya.sqlite'}"

    @property
    def host(self) -> str:
        """The address part of `listen`."""
        return self.edge.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.edge.listen.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        return self.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def tls(self) -> bool:
        """Whether the edge itself speaks TLS."""
        return bool(self.edge.certificate) or not (self.on_loopback or self.edge.plain_http)

    @property
    def public_url(self) -> str:
        """Where browsers find the hub, without a slash at the end."""
        if self.site.url:
            return self.site.url.rstrip("/")
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        host = "localhost" if self.on_loopback or self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 compared, not bound
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    @property
    def secure(self) -> bool:
        """Whether browsers reach the hub by https."""
        return self.public_url.startswith("https:")

    def socket(self, process: str) -> Path:
        """The Unix socket of `hub`, `gate`, `launcher` or `edge` (its admin interface)."""
        return self.storage.runtime / f"{process}.sock"


def default_paths(*, personal: bool) -> tuple[Path, Path, Path, Path]:
    """Where terakoya.toml, state, runtime files and logs are when nothing else is said."""
    if not personal:
        return (
            Path("/etc/terakoya/terakoya.toml"),
            Path("/var/lib/terakoya"),
            Path("/run/terakoya"),
            Path("/var/log/terakoya"),
        )
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / "terakoya"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "terakoya/terakoya.toml"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/terakoya-{os.getuid()}") / "terakoya"  # noqa: S108 made 0700 and checked
    return config, state, runtime, state / "logs"
