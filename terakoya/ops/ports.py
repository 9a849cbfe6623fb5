"""Whether the address of the edge is free, and whose it is if not."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

import psutil

from terakoya.config import Config
from terakoya.errors import AddressUnusable, NeedsRoot, PortTaken


def check(config: Config) -> None:
    """Try to listen where the edge will; PortTaken names the program that does already."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    host = "127.0.0.1" if config.host == "localhost" else config.host
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without SO_REUSEPORT, on purpose: with it two edges would share the port and answer in turns.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, config.port))
            probe.listen(1)
        except OSError as error:
            raise _explained(error, config) from error


def _explained(error: OSError, config: Config) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(program=_owner(config.port), address=config.edge.listen, path=config.path)
    if error.errno == errno.EACCES and os.geteuid() != 0:
        return NeedsRoot(reason=f"ports below 1024 such as {config.port} are reserved for it")
    return AddressUnusable(address=config.edge.listen, reason=error.strerror, path=config.path)


def _owner(port: int) -> str:
    """The program that listens on `port`, as far as we may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                with suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "Another program"
