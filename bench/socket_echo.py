"""A websocket client that only measures: one short message at a time, there and back."""

from __future__ import annotations

import base64
import os
import socket
import time

MESSAGE = b'{"channel": "shell", "content": {"code": "1+1"}}'


def round_trips(port: int, path: str, cookie: str, messages: int) -> list[float]:
    """Seconds for each message."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _open(made, port, path, cookie)
        frame = bytes([0x81, 0x80 | len(MESSAGE)]) + bytes(4) + MESSAGE
        taken = []
        for _ in range(messages):
            began = time.perf_counter()
            made.sendall(frame)
            _read(made, len(MESSAGE) + 2)
            taken.append(time.perf_counter() - began)
        return taken


def _open(made: socket.socket, port: int, path: str, cookie: str) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Cookie: {cookie}"]
    lines += [f"Origin: http://127.0.0.1:{port}", "", ""]
    made.sendall("\r\n".join(lines).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += made.recv(1)
    if b" 101 " not in head:
        raise SystemExit(f"no websocket: {head.decode()}")


def _read(made: socket.socket, length: int) -> None:
    while length:
        part = made.recv(length)
        if not part:
            raise SystemExit("the websocket was closed")
        length -= len(part)
