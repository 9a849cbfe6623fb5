"""The gate's end of the Unix sockets: HTTP/1.1 with keep-alive, as much of it as Envoy speaks."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from terakoya.edge.answers import Answerer

MOST_BYTES = 262144
"""A question longer than this did not come from the edge, which allows 96 KiB of headers."""


class GateProtocol(asyncio.Protocol):
    """One connection of the edge. A question is answered before the next one is read."""

    __slots__ = ("_answerer", "_headers", "_parser", "_received", "_transport", "_url")

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._received = 0
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._answerer.measure.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio calls it so
        self._answerer.measure.connections -= 1
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            if self._received > MOST_BYTES:
                self._close()
                return
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def on_message_begin(self) -> None:
        self._headers = {}
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        name = name.lower()
        # The edge joins repeated headers; a second one here would be read differently by others, so both are kept.
        headers[name] = headers[name] + (b"; " if name == b"cookie" else b", ") + value if name in headers else value

    def on_message_complete(self) -> None:
        self._received = 0
        method = self._parser.get_method().decode("ascii")
        if self._transport is not None:
            self._transport.write(self._answerer.answer(method, self._url, self._headers))

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class MetricsProtocol(asyncio.Protocol):
    """Answers every request with the counters and closes."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if b"\r\n\r\n" in self._seen or len(self._seen) > MOST_BYTES:
            body = self._answerer.measure.text(self._answerer.lookup.reads).encode()
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n" % len(body)
            )
            self._transport.write(head + body)
            self._transport.close()
