"""A port that is taken is noticed before anything starts."""

from __future__ import annotations

import dataclasses
import os
import socket

import pytest

from terakoya.config import Config
from terakoya.errors import AddressUnusable, PortTaken
from terakoya.ops import ports


def listening_on(config: Config, address: str) -> Config:
    return dataclasses.replace(config, edge=dataclasses.replace(config.edge, listen=address))


@pytest.mark.parametrize("reuse", [False, True])
def test_the_program_is_named(config: Config, reuse: bool) -> None:
    with socket.socket() as other:
        if reuse:  # as Envoy does: another edge must not share the port in silence
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as error:
            ports.check(listening_on(config, f"127.0.0.1:{port}"))
    assert f"(process {os.getpid()}) already listens on 127.0.0.1:{port}" in error.value.what
    ports.check(listening_on(config, f"127.0.0.1:{port}"))


def test_an_address_of_another_machine(config: Config) -> None:
    with pytest.raises(AddressUnusable, match=r"192\.0\.2\.1:8000"):
        ports.check(listening_on(config, "192.0.2.1:8000"))
