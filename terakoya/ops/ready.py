"""Asking a running terakoya over its real port whether it answers."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from terakoya.config import Config


def health(config: Config, seconds: float = 2.0) -> str:
    """Empty if `/hub/health` answers 200 through the edge, else what came instead."""
    try:
        status = _status(config, "/hub/health", seconds)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return "" if status == 200 else f"HTTP status {status}"  # noqa: PLR2004 that is what 200 is called


def _status(config: Config, path: str, seconds: float) -> int:
    public = urlsplit(config.public_url)
    connection = http.client.HTTPConnection(public.hostname or "localhost", timeout=seconds)
    connection.sock = dial(config, public.hostname or "", seconds)
    try:
        connection.request("GET", path, headers={"Host": public.netloc})
        return connection.getresponse().status
    finally:
        connection.close()


def dial(config: Config, name: str, seconds: float) -> socket.socket:
    """A connection to the edge on this machine, wherever the public name points."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}  # noqa: S104 compared, not bound
    plain = socket.create_connection((everywhere.get(config.host, config.host), config.port), seconds)
    if not config.tls:
        return plain
    # We ask whether it answers, and send nothing worth protecting: whose certificate it is does not matter.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=name)
