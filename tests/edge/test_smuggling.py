"""Requests that two programs might read differently: one of them must never be the edge."""

import pytest

from tests.edge.wire import send, statuses

INNER = b"GET /user/alice/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def request(cast, *lines, body=b"", start=b"POST /user/bob/api HTTP/1.1", host=True):
    cookie = f"Cookie: terakoya-session={cast.bob_cookie}".encode()
    head = [start, *([b"Host: 127.0.0.1"] if host else []), cookie, b"Sec-Fetch-Site: same-origin", *lines]
    return b"\r\n".join([*head, b"", b""]) + body


SHAPES = {
    "length and chunks": ([b"Content-Length: 6", b"Transfer-Encoding: chunked"], b"0\r\n\r\n" + INNER),
    "two lengths": ([b"Content-Length: 0", b"Content-Length: 45"], INNER),
    "two lengths in one": ([b"Content-Length: 0, 45"], INNER),
    "a signed length": ([b"Content-Length: +45"], INNER),
    "a length of letters": ([b"Content-Length: 4x"], INNER),
    "a bad chunk": ([b"Transfer-Encoding: chunked"], b"zz\r\nhello\r\n0\r\n\r\n" + INNER),
    "an unknown coding": ([b"Transfer-Encoding: xchunked"], INNER),
    "a coding after chunked": ([b"Transfer-Encoding: chunked, identity"], b"0\r\n\r\n" + INNER),
    "chunked twice": ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], b"0\r\n\r\n" + INNER),
    "space before the colon": ([b"Content-Length : 45"], INNER),
    "space before the colon of chunks": ([b"Transfer-Encoding : chunked"], b"0\r\n\r\n" + INNER),
    "a NUL": ([b"X-A: a\0b"], b""),
    "a name with a space": ([b"X A: b"], b""),
    "an empty name": ([b": b"], b""),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(cast, shape):
    lines, body = SHAPES[shape]
    got = send(cast.stage.port, request(cast, *lines, body=body))
    assert b"/smuggled" not in got
    assert statuses(got)
    assert set(statuses(got)) <= {400, 403, 404, 501}, got


def test_a_chunk_longer_than_said(cast):
    """The edge reads on after it; what follows is then a request like any other, signed out."""
    got = send(cast.stage.port, request(cast, b"Transfer-Encoding: chunked", body=b"1\r\nhello\r\n0\r\n\r\n" + INNER))
    assert statuses(got)[1:] in ([], [403])
    assert b'"body": "h"' in got
    assert b"smuggled" not in got


def test_a_bare_carriage_return_ends_no_header(cast):
    got = send(cast.stage.port, request(cast, b"X-A: a\rX-Envoy-Original-Dst-Host: 127.0.0.1:1"))
    assert statuses(got)[0] == 400 or b'["X-A", "aX-Envoy-Original-Dst-Host: 127.0.0.1:1"]' in got


def test_a_folded_header_gives_no_orders(cast):
    folded = request(cast, b"X-A: a\r\n X-Envoy-Original-Dst-Host: 127.0.0.1:1", start=b"GET /user/bob/api HTTP/1.1")
    got = send(cast.stage.port, folded)
    assert statuses(got)[0] == 400 or b"X-Envoy-Original-Dst-Host: 127.0.0.1:1" in got.partition(b'"X-A"')[2]
    assert b"token s3cret-of-1" not in got


def test_a_line_feed_in_a_header_starts_no_new_one_unseen(cast):
    sly = request(cast, b"X-A: a\nX-Terakoya-User: root", start=b"GET /user/bob/api HTTP/1.1")
    got = send(cast.stage.port, sly)
    assert b"root" not in got


def test_absolute_form_is_read_as_the_rest_reads_it(cast):
    line = b"GET http://evil.example/user/alice/api HTTP/1.1"
    assert statuses(send(cast.stage.port, request(cast, start=line)))[0] == 404
    line = f"GET http://127.0.0.1:{cast.alice_port}/user/bob/api HTTP/1.1".encode()
    got = send(cast.stage.port, request(cast, start=line))
    assert b"token s3cret-of-2" in got


def test_connect_opens_no_tunnel(cast):
    for target in (f"127.0.0.1:{cast.alice_port}", "/user/bob/api"):
        got = send(cast.stage.port, request(cast, start=f"CONNECT {target} HTTP/1.1".encode()))
        assert statuses(got)[0] in {400, 403, 404, 405}


def test_other_protocols_are_not_spoken(cast):
    got = send(cast.stage.port, request(cast, b"Connection: upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"))
    assert statuses(got) == [200]
    assert statuses(send(cast.stage.port, b"GET /user/alice/api\r\n\r\n")) in ([400], [426], [])


def test_no_host(cast):
    assert statuses(send(cast.stage.port, request(cast, host=False)))[0] == 400


def test_headers_too_large(cast):
    got = send(cast.stage.port, request(cast, b"X-A: " + b"a" * 200_000))
    assert statuses(got)[0] == 431


def test_connection_header_removes_nothing_of_ours(cast):
    for name in ("authorization", "cookie", "x-terakoya-user", "x-envoy-original-dst-host"):
        line = f"Connection: close, {name}".encode()
        got = send(cast.stage.port, request(cast, line, start=b"GET /user/bob/api HTTP/1.1"))
        assert statuses(got)[0] in {200, 400, 403}
        if statuses(got)[0] == 200:
            assert b"token s3cret-of-2" in got
            assert cast.bob_cookie.encode() not in got


def test_headers_with_underscores_are_dropped(cast):
    got = send(cast.stage.port, request(cast, b"X_Terakoya_User: root", start=b"GET /user/bob/api HTTP/1.1"))
    assert statuses(got)[0] == 200
    assert b"root" not in got
