"""Who may ask, and what is not even read further."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terakoya.launcher import protocol
from terakoya.launcher.protocol import BadRequestError
from tests.launcher.stage import SECRET, Stage
from tests.osusers import OsUser

pytestmark = pytest.mark.anyio

anything = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

START = {"verb": "start", "key": "k", "os_name": "alice", "user_name": "alice", "base_url": "/user/alice/"}
START |= {"secret": SECRET}


def raw(stage: Stage, data: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(stage.socket))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return json.loads(sock.makefile().readline())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\n", "bad_request"),
        (b"", "bad_request"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_request"),
        (b"\xff\xfe\n", "bad_request"),
        (b"[]\n", "bad_request"),
        (b"[" * 100_000 + b"\n", "bad_request"),
        (b"{}\n", "unknown_verb"),
        (b'{"verb": "ping"}', "bad_request"),
        (b'{"verb": "reboot"}\n', "unknown_verb"),
        (b'{"verb": ["ping"]}\n', "unknown_verb"),
        (b'{"verb": "ping", "more": 1}\n', "bad_request"),
        (b'{"verb": "stop"}\n', "bad_request"),
        (b'{"verb": "authenticate", "name": 1, "password": "x"}\n', "bad_request"),
    ],
)
def test_garbage(stage: Stage, data: bytes, code: str) -> None:
    assert raw(stage, data)["error"] == code


def test_only_the_named_account_may_ask(stage: Stage, alice: OsUser) -> None:
    """Even where the file's mode would let others connect."""
    assert stat.S_IMODE(stage.socket.stat().st_mode) == 0o660
    script = f"""
import json, os, socket
os.setgroups([]); os.setgid({{gid}}); os.setuid({{uid}})
sock = socket.socket(socket.AF_UNIX); sock.connect({str(stage.socket)!r})
sock.sendall(b'{{{{"verb": "ping"}}}}' + bytes([10]))
print(sock.makefile().readline())
"""
    stage.socket.chmod(0o666)
    try:
        stranger = _run(script.format(uid=alice.uid, gid=alice.gid))
        account = _run(script.format(uid=65534, gid=65534))
    finally:
        stage.socket.chmod(0o660)
    assert stranger == {"error": "refused", "message": f"this socket is not for user {alice.uid}"}
    assert account["root"] is True


def _run(script: str) -> Any:
    import subprocess

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout)


async def test_a_line_without_end(stage: Stage) -> None:
    reader, writer = await asyncio.open_unix_connection(str(stage.socket))
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            writer.write(b"x" * 10_000)
            await writer.drain()
        await reader.read()
    writer.close()
    assert (await stage.client.ping())["version"]


async def test_a_silent_connection_holds_up_nobody(stage: Stage) -> None:
    _, writer = await asyncio.open_unix_connection(str(stage.socket))
    assert (await stage.client.ping())["version"]
    writer.close()


def test_a_second_launcher_does_not_take_over(stage: Stage) -> None:
    first = json.loads((stage.folder / "forkserver.json").read_text())
    second = Stage(stage.folder)
    second.output = stage.folder / "second.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second, "_answers", lambda: second.process and second.process.wait(30) is not None)
        second.up()
    assert second.process
    assert second.process.returncode == 1
    assert "another one already serves" in second.log
    assert json.loads((stage.folder / "forkserver.json").read_text())["pid"] == first["pid"]
    assert stage.socket.exists()


def decoded(message: Any) -> dict[str, Any]:
    return protocol.decode(protocol.encode(message))


def test_a_start_is_filled_in() -> None:
    assert decoded(START) == START | {"default_url": "/lab", "page_config": {}, "environment": {}, "timeout": 60.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", ""),
        ("key", "../../etc"),
        ("key", "a/b"),
        ("key", "a.b"),
        ("key", "k\n"),
        ("key", "x" * 65),
        ("key", None),
        ("os_name", "a\nb"),
        ("os_name", ["root"]),
        ("os_name", "x" * 257),
        ("user_name", "a\0"),
        ("base_url", "/user/alice"),
        ("base_url", "user/alice/"),
        ("base_url", "/user/../"),
        ("base_url", "/user/alice/../"),
        ("base_url", "/user/alice/x/y/"),
        ("base_url", "/user/a b/"),
        ("base_url", "/user/alice/\n"),
        ("base_url", "//user/alice/"),
        ("secret", "short"),
        ("secret", "x" * 40 + "\n"),
        ("secret", "a b" * 10),
        ("default_url", "//evil.example"),
        ("default_url", "https://evil.example"),
        ("default_url", "/lab\r\nX: y"),
        ("page_config", []),
        ("page_config", {"a": 1}),
        ("environment", {"A=B": "x"}),
        ("environment", {"": "x"}),
        ("environment", {"A": "x\0"}),
        ("environment", {"A": "\ud800"}),
        ("timeout", -1),
        ("timeout", True),
        ("timeout", "60"),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("uid", 0),
        ("environment", {"A": "x" * 70_000}),
    ],
)
def test_what_is_not_started(field: str, value: Any) -> None:
    with pytest.raises(BadRequestError):
        decoded(START | {field: value})


@anything
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_understood(data: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        assert protocol.decode(data)["verb"] in protocol.REQUIRED


@anything
@given(
    st.dictionaries(
        st.sampled_from([*START, "environment", "page_config", "timeout", "grace"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_any_fields_are_refused_or_understood(fields: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequestError):
        decoded({**START, **fields})
