"""The machine: Python, accounts, PAM, the kernel's settings."""

from __future__ import annotations

import pwd
import subprocess
import sys
from pathlib import Path

from terakoya.ops import pamfile, programs
from terakoya.ops.checks.base import Facts, Finding, fail, ok, warn

FEWEST_WATCHES = 8192


def python(_: Facts) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return ok(f"Python {version} ({programs.PYTHON})")


def python_for_users(facts: Facts) -> Finding:
    """Users' servers run on this Python as those users: somebody without any rights must be able to."""
    if not facts.root:
        return ok("you run it yourself")
    nobody = pwd.getpwnam("nobody")
    drop = ["setpriv", "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups", "--"]
    code = "import terakoya.config, jupyter_server"
    command = [*drop, programs.PYTHON, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["nobody knows why"])[-1]
        return fail(
            f"users can't run {programs.PYTHON}: {why}",
            "Put terakoya where every user may read, or run `make install` as root, which makes such a place.",
        )
    return ok("every user can run it")


def account_exists(facts: Facts) -> Finding:
    name = facts.config.processes.account
    if facts.account is None:
        return warn(f'there is no account "{name}" yet', "`terakoya up` as root makes it.")
    return ok(f"{facts.account.pw_name} (number {facts.account.pw_uid})")


def pam_service(facts: Facts) -> Finding:
    """A PAM service without a file is answered by `other`, which refuses everybody."""
    service = facts.config.accounts.pam_service
    if (pamfile.SERVICES / service).exists():
        return ok(f"{pamfile.SERVICES / service}")
    if not facts.root:
        return ok(f"there is no {pamfile.SERVICES / service}; `login` is used")
    cure = f"Make {pamfile.SERVICES / service}; `terakoya up` makes /etc/pam.d/terakoya by itself."
    return warn(f"there is no {pamfile.SERVICES / service}; `login` is used", cure)


def proc(facts: Facts) -> Finding:
    """Whether users see each other's processes. Nothing secret stands in them, so both are right."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options = line.split()[:4]
        if where == "/proc" and kind == "proc" and ("hidepid=2" in options or "hidepid=invisible" in options):
            return _hidden(facts)
    return ok("users see each other's processes, as is usual; nothing secret stands there")


def _hidden(facts: Facts) -> Finding:
    if facts.root or facts.config.personal:
        return ok("users don't see each other's processes")
    return warn("processes of others are hidden, so not everything can be checked", "Run doctor as root.")


def inotify(_: Facts) -> Finding:
    path = Path("/proc/sys/fs/inotify/max_user_watches")
    if not path.exists():
        return ok("not limited")
    watches = int(path.read_text(encoding="ascii"))
    if watches < FEWEST_WATCHES:
        cure = "Set fs.inotify.max_user_watches = 65536 in /etc/sysctl.d/60-terakoya.conf and run sysctl --system."
        return warn(f"a user may watch only {watches} files", cure)
    return ok(f"{watches} for each user")
