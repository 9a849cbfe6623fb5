"""terakoya doctor: one row for each thing that can be wrong.

To add a check, write a function in terakoya/ops/checks/ and name it in CHECKS. It gets `Facts` and returns a Finding;
whatever it raises becomes a finding too.
"""

from __future__ import annotations

from collections.abc import Callable

from terakoya.config import Config
from terakoya.errors import TerakoyaError
from terakoya.ops.checks import data, files, machine, network, parts
from terakoya.ops.checks.base import Facts, Finding, fail

CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "Python": machine.python,
    "Python for users": machine.python_for_users,
    "Account": machine.account_exists,
    "PAM service": machine.pam_service,
    "Processes of others": machine.proc,
    "File watches": machine.inotify,
    "Folders": files.folders_right,
    "Disk space": files.disk_space,
    "Port": network.port,
    "Certificate": network.certificate,
    "Name": network.name,
    "Envoy": parts.envoy,
    "Launcher": parts.launcher,
    "Fork server": parts.fork_server,
    "Limits": parts.cgroups,
    "Gate": parts.gate,
    "Hub": parts.hub,
    "Database": data.database,
    "Servers": data.servers,
}


def examine(config: Config) -> dict[str, Finding]:
    """Every check's finding, by the check's name."""
    facts = Facts.gather(config)
    return {name: _careful(check, facts) for name, check in CHECKS.items()}


def _careful(check: Callable[[Facts], Finding], facts: Facts) -> Finding:
    """A check that stumbles has found something too."""
    try:
        return check(facts)
    except TerakoyaError as error:
        return fail(error.what, error.cure)
    except Exception as error:  # noqa: BLE001 one broken check must not hide the others
        return fail(f"the check itself failed: {error!r}", "Please report this.")
