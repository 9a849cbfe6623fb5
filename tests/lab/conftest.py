from __future__ import annotations

from tests.lab.servers import one_fork_server
from tests.osusers import module_os_users, os_users

__all__ = ["module_os_users", "one_fork_server", "os_users"]
