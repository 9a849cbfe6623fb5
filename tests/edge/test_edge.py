"""What reaches whom through the real edge and gate."""

import hashlib
import json
import os

import psutil
import pytest

from tests.edge.stage import wait_for
from tests.edge.wire import WebSocket, send

MIB = 1 << 20


def seen(response):
    """The headers that the upstream got."""
    assert response.status_code == 200, response.text
    return {name.lower(): value for name, value in response.json()["headers"]}


def test_the_root_leads_to_the_hub(cast):
    for path in ("/", "/hub"):
        answer = cast.http.get(path)
        assert answer.status_code == 302
        assert answer.headers["location"].endswith("/hub/")


def test_the_hub_knows_host_scheme_and_client(cast):
    got = seen(cast.http.get("/hub/home", headers={"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https"}))
    assert got["host"] == f"127.0.0.1:{cast.stage.port}"
    assert got["x-forwarded-proto"] == "http"
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-host"] == got["host"]


def test_the_hub_gets_its_cookie(cast):
    assert "terakoya-session=" in seen(cast.http.get("/hub/home", headers=cast.as_alice()))["cookie"]


def test_what_is_no_servers_is_the_hubs(cast):
    assert cast.http.get("/favicon.ico").json()["uri"] == "/favicon.ico"
    assert cast.http.get("/userx/alice").json()["uri"] == "/userx/alice"


def test_alice_reaches_her_server_with_its_secret(cast):
    got = seen(cast.http.get("/user/alice/api", headers=cast.as_alice(authorization="Basic eDp5")))
    assert got["authorization"] == "token s3cret-of-1"
    assert got["x-terakoya-user"] == "alice"


def test_the_session_never_reaches_a_server(cast):
    cookie = f"a=1; terakoya-session={cast.alice_cookie}; __Host-terakoya-session=x; terakoya-language=ja; b=2"
    got = seen(cast.http.get("/user/alice/api", headers={"cookie": cookie}))
    assert got["cookie"] == "a=1; b=2"
    got = seen(cast.http.get("/user/alice/api", headers=cast.as_alice()))
    assert "cookie" not in got


def test_two_cookie_headers(cast):
    session = f"terakoya-session={cast.alice_cookie}"
    headers = [("cookie", "a=1"), ("cookie", session), ("cookie", "b=2"), ("cookie", "terakoya-session=x")]
    assert seen(cast.http.get("/user/alice/api", headers=headers))["cookie"] == "a=1,b=2"


def test_a_planted_cookie_does_not_lock_out(cast):
    cookie = f"terakoya-session=planted; terakoya-session={cast.alice_cookie}"
    assert "cookie" not in seen(cast.http.get("/user/alice/api", headers={"cookie": cookie}))


def test_others_cannot(cast):
    assert cast.http.get("/user/alice/api", headers=cast.as_bob()).status_code == 404
    assert cast.http.get("/user/bob/api", headers=cast.as_alice()).status_code == 404
    signed_out = cast.http.get("/user/alice/api")
    assert signed_out.status_code == 403
    assert signed_out.json()["code"] == "signed_out"


@pytest.mark.parametrize(
    "path",
    [
        "/user/bob/../alice/api",
        "/user/bob/%2e%2e/alice/api",
        "/user/./alice/api",
        "/hub/../user/alice/api",
        "/user/ALICE/api",
        "/user/%61lice/api",
    ],
)
def test_bob_finds_no_way_round(cast, path):
    assert cast.http.get(path, headers=cast.as_bob()).status_code == 404


def test_doubled_slashes_are_one(cast):
    line = f"GET //user//bob///api HTTP/1.1\r\nHost: x\r\nCookie: terakoya-session={cast.bob_cookie}\r\n\r\n"
    assert b'"uri": "/user/bob/api"' in send(cast.stage.port, line.encode())


@pytest.mark.parametrize("path", ["/user/bob/..%2falice/api", "/user/bob/..%5calice/api", "/user/bob%2f..%2falice/x"])
def test_escaped_slashes_stay_with_ones_own_server(cast, path):
    answer = cast.http.get(path, headers=cast.as_bob())
    assert answer.status_code == 404 or seen(answer)["x-terakoya-user"] == "bob"


@pytest.mark.parametrize(
    "name",
    [
        "x-envoy-original-dst-host",
        "X-Envoy-Original-Dst-Host",
        "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-auth-headers-to-remove",
        "x-envoy-internal",
        "x-envoy-anything",
        "x-terakoya-user",
        "x-terakoya-anything",
        "forwarded",
        "x-real-ip",
        "x-original-url",
    ],
)
def test_clients_give_no_orders(cast, name):
    value = f"127.0.0.1:{cast.bob_port}"
    for path, headers in (("/user/alice/api", cast.as_alice()), ("/hub/home", {})):
        answer = cast.http.get(path, headers=headers | {name: value})
        assert value not in seen(answer).values()
    answer = cast.http.get("/user/alice/api", headers=cast.as_alice() | {name: value})
    assert seen(answer)["authorization"] == "token s3cret-of-1"


def test_nobody_chooses_the_upstream_of_the_hub(cast):
    answer = cast.http.get("/hub/home", headers={"x-envoy-original-dst-host": f"127.0.0.1:{cast.alice_port}"})
    assert answer.json()["pid"] == cast.stage.processes["hub"].pid


def test_tokens(cast):
    value = cast.stage.token(cast.alice)
    for headers in ({"authorization": f"token {value}"}, {"authorization": f"Bearer {value}"}):
        assert seen(cast.http.put("/user/alice/api", headers=headers))["authorization"] == "token s3cret-of-1"
    assert cast.http.get(f"/user/alice/api?a=b&token={value}").status_code == 200
    assert cast.http.get("/user/bob/api", headers={"authorization": f"token {value}"}).status_code == 404
    assert cast.http.get("/user/alice/api", headers={"authorization": "token wrong"}).json()["code"] == "bad_token"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method(cast, method):
    answer = cast.http.request(method, "/user/alice/api", headers=cast.as_alice())
    assert answer.status_code == (405 if method == "HEAD" else 200)
    refused = cast.http.request(method, "/user/alice/api")
    assert refused.status_code == 403


def test_websocket(cast):
    one = WebSocket(cast.stage.port, "/user/alice/ws", cast.as_alice())
    assert one.status == 101
    got = json.loads(one.receive())
    assert got["Authorization"] == "token s3cret-of-1"
    assert "Cookie" not in got
    assert one.ask("hello") == "hello"
    one.close()


def test_websockets_refused(cast):
    for headers in ({}, cast.as_bob(), cast.as_alice() | {"sec-fetch-site": "cross-site"}):
        one = WebSocket(cast.stage.port, "/user/alice/ws", headers)
        one.close()
        assert one.status in {403, 404}


def test_events_are_not_held_back(cast):
    with cast.http.stream("GET", "/user/alice/events", headers=cast.as_alice()) as answer:
        parts = answer.iter_text()
        assert next(parts) == "data: 1\n\n"
        cast.http.get("/user/alice/release", headers=cast.as_alice())
        assert next(parts) == "data: 2\n\n"


@pytest.mark.parametrize(("accepted", "used"), [("br", "br"), ("gzip", "gzip"), ("gzip, deflate, br, zstd", "br")])
def test_compression(cast, accepted, used):
    answer = cast.http.get("/user/alice/text", headers=cast.as_alice(**{"accept-encoding": accepted}))
    assert answer.headers["content-encoding"] == used
    assert answer.headers["etag"].startswith('W/"')
    again = cast.http.get(
        "/user/alice/text",
        headers=cast.as_alice(**{"accept-encoding": accepted, "if-none-match": answer.headers["etag"]}),
    )
    assert again.status_code == 304


@pytest.mark.parametrize("query", ["?type=image/png", "?type=application/octet-stream", "?type=text/event-stream"])
def test_what_is_not_compressed(cast, query):
    answer = cast.http.get("/user/alice/text" + query, headers=cast.as_alice())
    assert "content-encoding" not in answer.headers


def test_what_is_encoded_already_stays(cast):
    with cast.http.stream("GET", "/user/alice/text?encoded=1", headers=cast.as_alice()) as answer:
        assert b"".join(answer.iter_raw()).startswith(b"a line that comes again")


def memory(process):
    return psutil.Process(process.pid).memory_info().rss


def test_a_large_upload_and_download_in_constant_memory(cast):
    edge = cast.stage.processes["edge"]
    before = memory(edge)
    most = 0
    digest = hashlib.sha256()
    chunk = os.urandom(MIB)

    def body():
        nonlocal most
        for _ in range(200):
            digest.update(chunk)
            most = max(most, memory(edge))
            yield chunk

    answer = cast.http.put("/user/alice/sink", headers=cast.as_alice(), content=body())
    assert answer.json() == {"size": 200 * MIB, "sha256": digest.hexdigest()}
    size = 0
    with cast.http.stream("GET", f"/user/alice/big?n={200 * MIB}", headers=cast.as_alice()) as answer:
        for part in answer.iter_raw():
            size += len(part)
            most = max(most, memory(edge))
    assert size == 200 * MIB
    assert most - before < 40 * MIB


def test_the_log_has_every_request_and_no_query(cast):
    secret = "never-in-a-log"
    cast.http.get(f"/user/alice/logged?token={secret}", headers=cast.as_alice())
    path = cast.stage.config.storage.logs / "edge.log"
    line = wait_for(
        lambda: next((found for found in cast.stage.log_lines() if found["path"] == "/user/alice/logged"), None)
    )
    assert line["user"] == "alice"
    assert line["status"] == 200
    assert line["method"] == "GET"
    assert line["address"] == "127.0.0.1"
    assert secret not in path.read_text()
    assert cast.alice_cookie not in path.read_text()


def test_refusals_speak_the_readers_language(cast):
    for spoken, word in (("ja", "ありません"), ("en-GB,en;q=0.9,ja;q=0.1", "nothing here")):
        headers = cast.as_bob(accept="text/html", **{"accept-language": spoken, "sec-fetch-mode": "navigate"})
        answer = cast.http.get("/user/alice/lab", headers=headers)
        assert answer.status_code == 404
        assert word in answer.text
        assert answer.headers["content-type"].startswith("text/html")
        assert not [name for name in answer.headers if name.startswith("x-envoy")]


def test_a_server_that_does_not_answer_is_explained(cast):
    carol = cast.stage.user("carol")
    cast.stage.server(carol, port=1)
    headers = {"cookie": f"terakoya-session={cast.stage.sign_in(carol)}"}
    answer = cast.http.get("/user/carol/lab", headers=headers)
    assert answer.status_code == 503
    assert "not answering" in answer.json()["message"]
    page = cast.http.get("/user/carol/lab", headers=headers | {"accept": "text/html"})
    assert page.status_code == 503
    assert "not answering" in page.text
    assert "応答していません" in page.text
    assert '<meta http-equiv="refresh"' in page.text  # which soon finds it running, or the reason why it is not
    sent = headers | {"accept": "text/html", "sec-fetch-site": "same-origin"}
    form = cast.http.post("/user/carol/lab", headers=sent)
    assert "not answering" in form.text
    assert "refresh" not in form.text


def test_a_server_that_does_not_run_is_explained(cast):
    dave = cast.stage.user("dave")
    headers = {"cookie": f"terakoya-session={cast.stage.sign_in(dave)}"}
    answer = cast.http.get("/user/dave/api", headers=headers)
    assert answer.status_code == 503
    assert answer.json()["code"] == "not_running"
    assert answer.headers["content-type"] == "application/json"
    page = cast.http.get("/user/dave/lab?a=b", headers=headers | {"accept": "text/html"})
    assert page.status_code == 302
    assert page.headers["location"].endswith("/hub/spawn/dave?next=%2Fuser%2Fdave%2Flab%3Fa%3Db")


def test_the_admin_interface_is_a_socket_of_ones_own(cast):
    mode = cast.stage.config.socket("edge").stat().st_mode
    assert mode & 0o777 == 0o600
    assert cast.stage.config.socket("gate").stat().st_mode & 0o777 == 0o600


def test_activity_is_written(cast):
    from terakoya.db.models import Server, Session, User

    cast.http.get("/user/alice/api", headers=cast.as_alice())

    def written():
        with cast.stage.database.reading() as db:
            user, server = db.get(User, cast.alice), db.query(Server).filter_by(user_id=cast.alice).one()
            session = db.query(Session).filter_by(user_id=cast.alice).first()
            return user.last_activity and server.last_activity and session.last_seen >= session.created_at

    wait_for(written)


def test_the_gate_counts(cast):
    cast.http.get("/user/alice/api", headers=cast.as_alice())
    text = cast.stage.metrics()
    assert 'terakoya_gate_decisions_total{outcome="passed",code=""}' in text
    assert "terakoya_gate_seconds_count" in text
