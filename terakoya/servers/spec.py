"""From a row and the settings to what a backend is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from terakoya.backends.base import ServerSpec
from terakoya.config import Config
from terakoya.db.models import Server
from terakoya.errors import BadServerOptions

PAGES = ("/lab", "/tree", "/doc")
"""What a server may open with: these and what is below them."""

LONGEST_URL = 512


def base_url(user_name: str, server_name: str) -> str:
    """The path of a server, with a slash at both ends."""
    return f"/user/{quote(user_name)}/" + (f"{quote(server_name)}/" if server_name else "")


def make_spec(server: Server, config: Config, page_config: Mapping[str, str]) -> ServerSpec:
    """`server` with its user loaded; `page_config` is added to what JupyterLab's pages are told."""
    user, base = server.user, base_url(server.user.name, server.name)
    named = {"hubUser": user.name, "hubPrefix": "/hub/", "hubServerName": server.name}
    return ServerSpec(
        key=server.key,
        os_name=user.os_name,
        user_name=user.name,
        base_url=base,
        secret=server.secret,
        default_url=server.options.get("default_url") or config.servers.default_url,
        page_config={**named, "hubHost": config.public_url if config.site.user_domain else "", **page_config},
        environment={
            "JUPYTERHUB_USER": user.name,
            "JUPYTERHUB_SERVER_NAME": server.name,
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_SERVICE_PREFIX": base,
            **config.servers.environment,
        },
        timeout=config.servers.start_timeout,
    )


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a user may choose for a start: so far `default_url`. BadServerOptions."""
    for key in options:
        if key != "default_url":
            raise BadServerOptions(reason=f'there is no option "{str(key)[:64]}"')
    url = options.get("default_url")
    if url is None:
        return {}
    inside = isinstance(url, str) and any(url == page or url.startswith((f"{page}/", f"{page}?")) for page in PAGES)
    if not inside or ".." in url or len(url) > LONGEST_URL or not url.isprintable():
        raise BadServerOptions(reason="default_url must begin with " + " or ".join(PAGES))
    return {"default_url": url}
