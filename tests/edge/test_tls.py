"""TLS by terakoya's own authority, HTTP/2, and certificates that change under open connections."""

import socket
import ssl
import subprocess

import httpx
import pytest

from terakoya.ops import authority
from terakoya.ops.certificates import Certificates, ca_fingerprint
from tests.edge.conftest import Cast
from tests.edge.stage import wait_for

LISTEN = '[edge]\nlisten="0.0.0.0:PORT"\n'


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    from tests.edge.stage import Stage

    one = Stage(tmp_path_factory.mktemp("e"), "", LISTEN).up()
    made = Cast(one)
    yield made
    made.http.close()
    one.down()


def trusting(people):
    return ssl.create_default_context(cafile=str(authority.public_path(people.stage.config)))


def url(people, path):
    return f"https://localhost:{people.stage.port}{path}"


def serial(people):
    context = trusting(people)
    with (
        socket.create_connection(("127.0.0.1", people.stage.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as made,
    ):
        return made.getpeercert()["serialNumber"]


def test_whoever_trusts_the_authority_gets_in(people):
    with httpx.Client(verify=trusting(people)) as http:
        headers = {"cookie": f"__Host-terakoya-session={people.alice_cookie}"}
        got = dict(http.get(url(people, "/user/alice/api"), headers=headers).json()["headers"])
        assert got["X-Forwarded-Proto"] == "https"
        assert "Cookie" not in got
        # Over https only the cookie that no other host can plant counts.
        other = {"cookie": f"terakoya-session={people.alice_cookie}"}
        assert http.get(url(people, "/user/alice/api"), headers=other).status_code == 403


def test_no_strict_transport_security_with_an_own_authority(people):
    with httpx.Client(verify=trusting(people)) as http:
        assert "strict-transport-security" not in http.get(url(people, "/hub/home")).headers


def test_the_fingerprint_is_that_of_the_file(people):
    path = authority.public_path(people.stage.config)
    command = ["openssl", "x509", "-in", str(path), "-noout", "-fingerprint", "-sha256"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]
    assert told == ca_fingerprint(people.stage.config)


def test_http2_and_versions(people):
    for offered, spoken in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
        context = trusting(people)
        context.set_alpn_protocols(offered)
        with (
            socket.create_connection(("127.0.0.1", people.stage.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as made,
        ):
            assert made.selected_alpn_protocol() == spoken
            assert made.version() in {"TLSv1.2", "TLSv1.3"}


def curl(people, *arguments):
    ca = str(authority.public_path(people.stage.config))
    command = ["curl", "--silent", "--show-error", "--cacert", ca, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def test_requests_over_http2(people):
    cookie = f"Cookie: a=1; __Host-terakoya-session={people.alice_cookie}; b=2"
    order = f"x-envoy-original-dst-host: 127.0.0.1:{people.bob_port}"
    said = curl(people, "--http2", "-w", "%{http_version}", "-H", cookie, "-H", order, url(people, "/user/alice/api"))
    assert said.endswith("2")
    assert '["Authorization", "token s3cret-of-1"]' in said
    assert '["Cookie", "a=1; b=2"]' in said


def test_http_is_sent_to_https(people):
    answer = httpx.get(f"http://127.0.0.1:{people.stage.port}/user/alice/lab?x=1")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"https://127.0.0.1:{people.stage.port}/user/alice/lab?x=1"


def test_a_new_certificate_without_a_dropped_connection(people):
    before = serial(people)
    context = trusting(people)
    with (
        socket.create_connection(("127.0.0.1", people.stage.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as kept,
    ):

        def ask():
            kept.sendall(b"GET /hub/home HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return kept.recv(65536)

        assert b"200 OK" in ask()
        (people.stage.config.storage.state / "authority/server.pem").unlink()
        Certificates(people.stage.config).publish()
        wait_for(lambda: serial(people) != before, what="the new certificate")
        assert b"200 OK" in ask()
