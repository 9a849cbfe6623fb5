"""The upstream of both proxies: a small JSON answer to every request, and a websocket that says everything back.

As little work as possible, so that the proxies are measured. `python -m bench.echo PORT`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import sys

import httptools
import uvloop

BODY = b'{"kernels": 1, "connections": 0, "started": "2026-01-01T00:00:00Z"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(asyncio.Protocol):
    """One connection: HTTP until somebody upgrades it."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.key = b""
        self.upgraded = False
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.upgraded:
            self.frames(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.upgraded = True
            accept = base64.b64encode(hashlib.sha1(self.key + MAGIC).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            self.transport.write(head + b"sec-websocket-accept: " + accept + b"\r\n\r\n")

    def on_header(self, name, value):
        if name.lower() == b"sec-websocket-key":
            self.key = value

    def on_message_complete(self):
        if not self.parser.should_upgrade():
            self.transport.write(ANSWER)

    def frames(self, data):
        """Small masked frames, each sent back unmasked."""
        self.buffer += data
        while len(self.buffer) >= 6:
            length = self.buffer[1] & 127
            if len(self.buffer) < 6 + length:
                return
            mask = self.buffer[2:6]
            payload = bytes(byte ^ mask[place & 3] for place, byte in enumerate(self.buffer[6 : 6 + length]))
            self.transport.write(struct.pack("!BB", self.buffer[0], length) + payload)
            self.buffer = self.buffer[6 + length :]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
