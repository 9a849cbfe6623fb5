"""The answers: users, servers and tokens in the shapes that the ecosystem's tools read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from terakoya.config import Config
from terakoya.db.models import Server, Token, User
from terakoya.servers.life import ACTIVE
from terakoya.web.api.scopes import Grants
from terakoya.web.hosts import server_path, user_origin

PENDING = {"starting": "spawn", "stopping": "stop"}
"""Our states that the ecosystem calls pending, in its words."""

READABLE: dict[str, frozenset[str]] = {
    # scope: the fields of a user that it shows
    "read:users": frozenset(
        {"kind", "name", "admin", "roles", "groups", "server", "pending", "created", "last_activity", "auth_state"}
    ),
    "read:users:name": frozenset({"kind", "name", "admin"}),
    "read:users:groups": frozenset({"kind", "name", "groups"}),
    "read:users:activity": frozenset({"kind", "name", "last_activity"}),
    "read:servers": frozenset({"kind", "name", "servers"}),
}


@dataclass(frozen=True)
class Addresses:
    """Where things are."""

    config: Config

    def server(self, user: User, server: str) -> str:
        """The path of a server."""
        return server_path(user.name, server)

    def full_server(self, user: User, server: str) -> str:
        """The whole address of a server, on its user's own origin where there are such."""
        return (user_origin(self.config, user.name_key) or self.config.public_url) + server_path(user.name, server)

    def progress(self, user: User, server: str) -> str:
        """The path under which a start reports."""
        name = f"servers/{quote(server)}" if server else "server"
        return f"/hub/api/users/{quote(user.name)}/{name}/progress"

    def full_progress(self, user: User, server: str) -> str:
        return self.config.public_url + self.progress(user, server)


def timestamp(seconds: float | None) -> str | None:
    """ISO 8601 in UTC with microseconds, as `2026-01-31T12:00:00.000000Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def server_model(user: User, server: Server, where: Addresses) -> dict[str, Any]:
    """One server. `reason` is ours: why it failed, in a sentence for its user."""
    return {
        "name": server.name,
        "display_name": server.name,
        "full_name": f"{user.name}/{server.name}",
        "last_activity": timestamp(server.last_activity),
        "started": timestamp(server.started_at) if is_active(server) else None,
        "pending": PENDING.get(server.state),
        "ready": server.state == "running",
        "stopped": not is_active(server),
        "url": where.server(user, server.name),
        "user_options": server.options or {},
        "progress_url": where.progress(user, server.name),
        "full_url": where.full_server(user, server.name),
        "full_progress_url": where.full_progress(user, server.name),
        "reason": server.reason if server.state == "failed" else None,
    }


def is_active(server: Server) -> bool:
    """Whether something of it runs, be it on its way up or down."""
    return server.state in ACTIVE


def user_model(
    user: User, servers: Iterable[Server], where: Addresses, grants: Grants, *, include_stopped: bool = False
) -> dict[str, Any]:
    """One user: the fields, and of the servers those, that `grants` let the caller see. Empty if none."""
    servers = list(servers)
    usual = next((server for server in servers if server.name == ""), None)
    seen = [
        server
        for server in servers
        if (include_stopped or is_active(server)) and grants.covers("read:servers", user.name_key, server.name)
    ]
    model = {
        "kind": "user",
        "name": user.name,
        "admin": user.admin,
        "roles": ["user", "admin"] if user.admin else ["user"],
        "groups": [],
        "server": where.server(user, "") if usual and usual.state == "running" else None,
        "pending": PENDING.get(usual.state) if usual else None,
        "created": timestamp(user.created_at),
        "last_activity": timestamp(user.last_activity),
        "auth_state": None,
        "servers": {server.name: server_model(user, server, where) for server in seen},
    }
    readable: set[str] = set()
    for scope, fields in READABLE.items():
        if grants.covers(scope, user.name_key) or (scope == "read:servers" and seen):
            readable |= fields
    return {field: value for field, value in model.items() if field in readable}


def token_model(user: User, token: Token, effective: Grants) -> dict[str, Any]:
    """A token without its value. `effective`: what it is good for now."""
    return {
        "user": user.name,
        "id": f"a{token.id}",
        "kind": "api_token",
        "roles": [],
        "scopes": effective.written(),
        "created": timestamp(token.created_at),
        "last_activity": timestamp(token.last_activity),
        "expires_at": timestamp(token.expires_at),
        "note": token.note,
        "session_id": None,
        "oauth_client": "terakoya",
    }
