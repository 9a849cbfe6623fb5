"""The programs that make up a running terakoya: how each is called and as whom it runs."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from terakoya.config import Config
from terakoya.ops import pamfile
from terakoya.ops.logs import Log
from terakoya.ops.processes import Program

KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""What the web-facing processes need of our environment."""

FIRST_FREE_PORT = 1024
"""Ports below it need a right that only root can give."""

USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PYTHON = str(Path(sys.prefix).resolve() / "bin" / Path(sys.executable).name)
"""This Python by its real place: users can't follow a link in a folder that is closed to them."""


def settings_copy(config: Config) -> Path:
    """The settings as they were resolved, readable for the account."""
    return config.storage.runtime / "terakoya.toml"


def environment(config: Config, account: pwd.struct_passwd) -> dict[str, str]:
    """What every process is given: nothing that the shell of whoever typed `terakoya up` happened to have."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = {"HOME": str(config.storage.state), "USER": account.pw_name, "LOGNAME": account.pw_name}
    return {"PATH": USUAL_PATH, "LANG": "C.UTF-8"} | kept | own


def python(*arguments: object) -> tuple[str, ...]:
    """This Python, isolated: neither the current folder nor the user's own packages are imported from."""
    return (PYTHON, "-I", *map(str, arguments))


def log(config: Config, account: pwd.struct_passwd, name: str) -> Log:
    # The edge opens its own log by name to write about requests; the others are only given a descriptor.
    return Log(config.storage.logs / f"{name}.log", account.pw_gid, account.pw_uid if name == "edge" else 0)


def launcher(config: Config, account: pwd.struct_passwd) -> Program:
    """The only one that is root; in personal mode it keeps one's own environment for one's own servers."""
    storage = config.storage
    options = {
        "--socket": config.socket("launcher"),
        "--servers": storage.runtime / "servers",
        "--logs": storage.logs / "servers",
        "--account": account.pw_name,
        "--pam-service": pamfile.used(config.accounts.pam_service),
        "--minimum-uid": config.accounts.minimum_uid,
        "--server-python": PYTHON,
    }
    arguments = [part for pair in options.items() for part in pair]
    return Program(
        "launcher",
        python("-m", "terakoya.launcher", *arguments),
        log(config, account, "launcher"),
        confined=False,
        environment=dict(os.environ) if config.personal else environment(config, account) | {"HOME": "/"},
        umask=0o022,
    )


def hub(config: Config, account: pwd.struct_passwd) -> Program:
    arguments = ["-m", "terakoya.web", "--config", settings_copy(config)]
    return _web(config, account, "hub", python(*arguments, *(["--personal"] if config.personal else [])))


def gate_metrics(config: Config) -> Path:
    """The Unix socket on which the gate tells its counters."""
    return config.storage.runtime / "gate-metrics.sock"


def gate(config: Config, account: pwd.struct_passwd) -> Program:
    """The gate learns its few settings from its arguments; only the database's address may hold a password."""
    arguments: list[object] = ["-m", "terakoya.edge.gate", "--socket", config.socket("gate")]
    arguments += ["--metrics-socket", gate_metrics(config)]
    arguments += ["--hub-url", config.public_url, "--user-domain", config.site.user_domain]
    arguments += ["--secure"] if config.secure else []
    extra = {"TERAKOYA_DATABASE": config.database_url}
    return _web(config, account, "gate", python(*arguments), extra=extra)


def edge(config: Config, account: pwd.struct_passwd, command: tuple[str, ...]) -> Program:
    return _web(config, account, "edge", command, low_port=config.port < FIRST_FREE_PORT)


def task(config: Config, account: pwd.struct_passwd, module: str) -> Program:
    """Something short that must run as the account, such as bringing the database up to date."""
    arguments = ["-m", module, "--config", settings_copy(config)]
    return _web(config, account, "hub", python(*arguments, *(["--personal"] if config.personal else [])))


def _web(
    config: Config,
    account: pwd.struct_passwd,
    name: str,
    argv: tuple[str, ...],
    *,
    extra: dict[str, str] | None = None,
    low_port: bool = False,
) -> Program:
    return Program(
        name,
        argv,
        log(config, account, name),
        account="" if config.personal else account.pw_name,
        low_port=low_port,
        environment=environment(config, account) | (extra or {}),
    )
