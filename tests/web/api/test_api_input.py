"""Whatever is sent, the answer is an explained refusal and never the hub's fault."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terakoya.errors import ApiRequestTooLarge, BadApiRequest
from terakoya.web.api.bodies import (
    MOST_BYTES,
    Activity,
    NewToken,
    NewUser,
    NewUsers,
    StartOptions,
    StopOptions,
    UserChange,
    checked,
    parsed,
)

ENDPOINTS = [
    ("POST", "/users"),
    ("POST", "/users/carol"),
    ("PATCH", "/users/alice"),
    ("POST", "/users/alice/activity"),
    ("POST", "/users/alice/tokens"),
    ("POST", "/users/alice/server"),
    ("DELETE", "/users/alice/server"),
]
MODELS = [NewUsers, NewUser, UserChange, StartOptions, StopOptions, NewToken, Activity]
KEYS = sorted({field for model in MODELS for field in model.model_fields} | {"username", "password"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)

ODD = {
    "not JSON": b"{",
    "form": b"note=x",
    "not UTF-8": b'{"note": "\xff"}',
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"5",
    "NUL": rb'{"note": "a\u0000b"}',
    "half a character": rb'{"note": "\ud800"}',
    "not a number": b'{"note": NaN}',
    "too many digits": b'{"note": ' + b"9" * 5000 + b"}",
    "too deep": b'{"note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.fixture
def database(db):
    return db


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_odd_bodies(place, method, path):
    key = place.key("taro")
    for what, raw in ODD.items():
        answer = place.client.request(method, "/hub/api" + path, headers=key, content=raw)
        assert answer.status_code == 400, (what, answer.text)
        assert answer.json()["cure"]


def test_nothing_and_null_are_an_empty_object():
    assert checked(NewToken, parsed(b"  ")) == checked(NewToken, parsed(b"null")) == NewToken()
    assert parsed(rb'{"note": "a\\u0000b"}') == {"note": r"a\u0000b"}


@pytest.mark.parametrize("announced", [True, False])
def test_too_much(place, announced):
    raw = b" " * (MOST_BYTES + 1)
    content = raw if announced else (raw[at : at + 1000] for at in range(0, len(raw), 1000))
    answer = place.client.post("/hub/api/users", headers=place.key("taro"), content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, ApiRequestTooLarge.__name__)


@given(st.sampled_from(MODELS), st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_body_is_understood_or_refused(model, raw):
    try:
        value = checked(model, parsed(raw))
    except BadApiRequest:
        return
    assert isinstance(value, model)


NAMES = st.text(min_size=1, max_size=40).map(lambda text: text.replace("/", "").strip(".") or "x")


@pytest.mark.parametrize(
    "path",
    ["/users/{}", "/users/alice/servers/{}", "/users/alice/servers/{}/progress", "/users/alice/tokens/{}", "/{}"],
)
def test_odd_names_in_addresses(place, path):
    from urllib.parse import quote

    key = place.key("taro")

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(NAMES)
    def ask(name):
        answer = place.client.get("/hub/api" + path.format(quote(name, safe="")), headers=key)
        assert answer.status_code < 500
        assert answer.json()

    ask()
    for raw in ("%00", "a%00b", "%ff", "%ed%a0%80", "..%2f..", "%2e%2e", "x" * 5000):
        assert place.client.get("/hub/api" + path.format(raw), headers=key).status_code < 500


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_odd_objects(place, method, path):
    key = place.key("mallory")
    keys = {"alice": place.key("alice"), "taro": place.key("taro"), "mallory": key}

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(JSON, st.sampled_from(sorted(keys)))
    def ask(value, who):
        value = {name: part for name, part in value.items() if name != "auth"} if isinstance(value, dict) else value
        answer = place.client.request(method, "/hub/api" + path, headers=keys[who], content=json.dumps(value).encode())
        assert answer.status_code < 500, answer.text

    ask()


def test_headers_of_another_kind(place):
    for header in (
        "token",
        "Basic YTpi",
        "bearer \u00e9".encode("latin-1"),
        "token " + "x" * 5000,
        "Token a b c",
    ):
        answer = place.client.get("/hub/api/user", headers={"Authorization": header})
        assert answer.status_code == 403
