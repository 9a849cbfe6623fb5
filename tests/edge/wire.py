"""Bytes by hand, for what a well-behaved client would never send, and websockets without a library's opinion."""

import base64
import hashlib
import os
import re
import socket
import struct


def send(port, data, seconds=10, quiet=0.5):
    """Sends and gives everything that comes back until the edge closes or has said nothing more for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as made:
        made.sendall(data)
        got = b""
        try:
            while part := made.recv(65536):
                got += part
                made.settimeout(quiet)
        except (ConnectionResetError, TimeoutError):
            pass
        return got


def statuses(got):
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


class WebSocket:
    """A client's end; small messages only."""

    def __init__(self, port, path, headers, host="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.status = statuses(head)[0]
        self.head = head.decode("latin-1")
        if self.status == 101:
            expected = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            assert base64.b64encode(expected).decode() in self.head

    def _more(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("closed")
        self.buffer += part

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        head = struct.pack("!BB", 0x81, 0x80 | len(data)) if len(data) < 126 else b""
        assert head
        masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(data))
        self.socket.sendall(head + mask + masked)

    def receive(self):
        while True:
            if len(self.buffer) >= 2:
                length, start = self.buffer[1] & 127, 2
                if length == 126 and len(self.buffer) >= 4:
                    length, start = struct.unpack("!H", self.buffer[2:4])[0], 4
                if length < 126 or start == 4:
                    end = start + length
                    if len(self.buffer) >= end:
                        data, self.buffer = self.buffer[start:end], self.buffer[end:]
                        return data.decode()
            self._more()

    def ask(self, text):
        self.send(text)
        return self.receive()

    def close(self):
        self.socket.close()
