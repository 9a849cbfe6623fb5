"""Addresses of users' servers, and which addresses a sign-in may lead to."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from terakoya import origins
from terakoya.config import Config

_ODD = re.compile(r"[\x00-\x20\x7f\\]")
"""What browsers drop or turn into a slash while they read an address."""
LONGEST = 4000


def user_host(config: Config, key: str) -> str:
    """The host name of a user's own origin, such as alice.notebooks.example.org.

    "" without `user_domain`, and for a name that can't stand in a host name: whoever has it has no server then.
    """
    domain = config.site.user_domain
    label = origins.label(key)
    return f"{label}{domain[1:].lower()}" if domain and label else ""


def user_origin(config: Config, key: str) -> str:
    """Scheme, host and port of a user's own origin; "" without `user_domain`, where all share the hub's."""
    host = user_host(config, key)
    if not host:
        return ""
    public = urlsplit(config.public_url)
    return f"{public.scheme}://{host}" + (f":{public.port}" if public.port else "")


def server_path(name: str, server: str = "") -> str:
    """Where a server is, with a slash at the end."""
    return f"/user/{quote(name)}/" + (f"{quote(server)}/" if server else "")


def safe_next(config: Config, wanted: str, key: str = "") -> str:
    """`wanted` if it is a page of this site or of the own origin of the user `key`, else ""."""
    if not wanted or _ODD.search(wanted) or len(wanted) > LONGEST:
        return ""
    if wanted.startswith("/"):
        return "" if wanted.startswith("//") else wanted
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return ""
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if origin == config.public_url.lower():
        return wanted[len(origin) :] if wanted[len(origin) :].startswith("/") and parts.path[:2] != "//" else ""
    return wanted if key and origin == user_origin(config, key) else ""


def own_path(wanted: str, key: str) -> str:
    """The path and query of `wanted` if they lie below the server of the user `key`, else ""."""
    path = wanted if wanted.startswith("/") else "/" + wanted.partition("://")[2].partition("/")[2]
    return path if re.match(rf"/user/{re.escape(quote(key))}(/|\?|$)", path, re.IGNORECASE) else ""
