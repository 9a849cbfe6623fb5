"""The system account of the web-facing processes."""

from __future__ import annotations

import os
import pwd
import subprocess

from terakoya.config import Config
from terakoya.errors import AccountUnusable


def ensure(config: Config) -> pwd.struct_passwd:
    """The account that hub, gate and edge run as: one's own in personal mode, else made if missing."""
    if config.personal:
        return pwd.getpwuid(os.geteuid())
    name = config.processes.account
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        account = _make(name)
    if account.pw_uid == 0:
        raise AccountUnusable(name=name, reason="the web-facing processes must not be root")
    return account


def _make(name: str) -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    nowhere = ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, *nowhere, "--", name], check=True, capture_output=True, text=True)
        return pwd.getpwnam(name)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        reason = getattr(error, "stderr", "").strip() or str(error)
        raise AccountUnusable(name=name, reason=reason) from error


def become(account: pwd.struct_passwd) -> None:
    """Give up root for good, so that everything made from now on belongs to `account`."""
    if os.geteuid() == account.pw_uid:
        return
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    if os.getresuid() != (account.pw_uid,) * 3 or os.getresgid() != (account.pw_gid,) * 3:
        raise AccountUnusable(name=account.pw_name, reason="root could not be given up")
