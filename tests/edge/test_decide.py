import pytest

from terakoya.edge.decide import Owner, Pass, Policy, Redirect, Refuse, Request, Server, Visitor, decide, key_of, place

NOW = 1000.0
HUB = "https://hub.example.org"
PLAIN = Policy(HUB, "", secure=True)
DOMAIN = Policy(HUB + ":8443", "nb.example.org", secure=True)

USUAL = Server(1, "running", "127.0.0.1:4001", "secret1")
BIG = Server(2, "running", "127.0.0.1:4002", "secret2")
ALICE = Owner(1, "alice", "alice", disabled=False, servers={"": USUAL, "big": BIG})
BOB = Owner(2, "bob", "bob", disabled=False, servers={"": Server(3, "running", "127.0.0.1:4003", "secret3")})
CASED = Owner(1, "Alice", "alice", disabled=False, servers={"": USUAL})

PAGE = {"accept": "text/html,*/*;q=0.8", "mode": "navigate", "site": "none"}
API = {"accept": "application/json", "mode": "cors", "site": "same-origin"}
SOCKET = {"websocket": True, "site": "same-origin", "mode": "websocket"}


def get(path, method="GET", host="hub.example.org", **fields):
    return Request(method, path, host, **fields)


def session(user_id=1, name="alice", *, admin=False, disabled=False, expires_at=2000.0, host=""):
    return Visitor(user_id, name, admin, disabled, expires_at, "session", 7, host=host)


def token(*scopes, user_id=1, name="alice", disabled=False, expires_at=None, admin=False):
    return Visitor(user_id, name, admin, disabled, expires_at, "token", 8, scopes=scopes or ("inherit",))


def server_of(owner, state, address="127.0.0.1:9"):
    return owner._replace(servers={"": Server(1, state, address, "s")})


YES = Pass(USUAL, session())
LOGIN = Redirect(f"{HUB}/hub/login?next=%2Fuser%2Falice%2Flab%3Fa%3D1%26b")
ALICE_ORIGIN = {"host": "alice.nb.example.org:8443"}
HERE = session(host="alice.nb.example.org")
VISIT = session(9, "root", admin=True, host="alice.nb.example.org")

CASES = {
    # nobody known
    "signed out, page": (PLAIN, get("/user/alice/lab?a=1&b", **PAGE), None, ALICE, LOGIN),
    "signed out, old browser": (PLAIN, get("/user/alice/lab?a=1&b", accept="text/html"), None, ALICE, LOGIN),
    "signed out, nobody's page": (PLAIN, get("/user/alice/lab?a=1&b", **PAGE), None, None, LOGIN),
    "signed out, api": (PLAIN, get("/user/alice/api", **API), None, ALICE, Refuse(403, "signed_out")),
    "signed out, websocket": (PLAIN, get("/user/alice/ws", **SOCKET), None, ALICE, Refuse(403, "signed_out")),
    "signed out, form": (PLAIN, get("/user/alice/x", "POST", **PAGE), None, ALICE, Refuse(403, "signed_out")),
    "bad token": (PLAIN, get("/user/alice/x", token_sent=True), None, ALICE, Refuse(403, "bad_token")),
    # alice at her own
    "page": (PLAIN, get("/user/alice/lab", **PAGE), session(), ALICE, YES),
    "api": (PLAIN, get("/user/alice/api", **API), session(), ALICE, YES),
    "websocket": (PLAIN, get("/user/alice/ws", **SOCKET), session(), ALICE, YES),
    "save": (PLAIN, get("/user/alice/api", "PUT", **API), session(), ALICE, YES),
    "expired": (PLAIN, get("/user/alice/lab?a=1&b", **PAGE), session(expires_at=NOW), ALICE, LOGIN),
    "disabled": (PLAIN, get("/user/alice/lab?a=1&b", **PAGE), session(disabled=True), ALICE, LOGIN),
    # at somebody else's
    "bob at alice's": (PLAIN, get("/user/alice/lab", **PAGE), session(2, "bob"), ALICE, Refuse(404, "not_yours")),
    "bob's token": (PLAIN, get("/user/alice/"), token(user_id=2, name="bob"), ALICE, Refuse(404, "not_yours")),
    "nobody's": (PLAIN, get("/user/eve/lab", **PAGE), session(), None, Refuse(404, "not_yours")),
    "administrator": (PLAIN, get("/user/alice/", **PAGE), session(9, admin=True), ALICE, Refuse(404, "not_yours")),
    "administrator's token": (
        PLAIN, get("/user/alice/"), token(user_id=9, admin=True), ALICE, Refuse(404, "not_yours")),
    # tokens
    "token": (PLAIN, get("/user/alice/api", "POST"), token(), ALICE, Pass(USUAL, token())),
    "token, socket": (PLAIN, get("/user/alice/ws", websocket=True), token(), ALICE, Pass(USUAL, token())),
    "token, from elsewhere": (
        PLAIN, get("/user/alice/", "PUT", site="cross-site"), token(), ALICE, Pass(USUAL, token())),
    "token, no scope": (PLAIN, get("/user/alice/"), token("read:users"), ALICE, Refuse(403, "out_of_scope")),
    "token, expired": (
        PLAIN, get("/user/alice/", token_sent=True), token(expires_at=NOW - 1), ALICE, Refuse(403, "bad_token")),
    "token of a disabled": (
        PLAIN, get("/user/alice/", token_sent=True), token(disabled=True), ALICE, Refuse(403, "bad_token")),
    "token for one, the right": (
        PLAIN, get("/user/alice/big/api"), token("access:servers!server=alice/big"), ALICE,
        Pass(BIG, token("access:servers!server=alice/big"))),
    "token for one, another": (
        PLAIN, get("/user/alice/api"), token("access:servers!server=alice/big"), ALICE, Refuse(403, "out_of_scope")),
    "token for her": (
        PLAIN, get("/user/alice/api"), token("access:servers!user=alice"), ALICE,
        Pass(USUAL, token("access:servers!user=alice"))),
    "token for another never widens": (
        PLAIN, get("/user/alice/"), token("access:servers!user=alice", user_id=2), ALICE, Refuse(404, "not_yours")),
    # forged by another site
    "cross-site form": (
        PLAIN, get("/user/alice/x", "POST", site="cross-site", mode="navigate"), session(), ALICE,
        Refuse(403, "cross_site")),
    "cross-site link": (PLAIN, get("/user/alice/lab", site="cross-site", mode="navigate", accept="text/html"),
                        session(), ALICE, YES),
    "cross-site script": (
        PLAIN, get("/user/alice/files/x.js", site="cross-site", mode="no-cors"), session(), ALICE,
        Refuse(403, "cross_site")),
    "same-site save": (
        PLAIN, get("/user/alice/api", "PUT", site="same-site", mode="cors"), session(), ALICE,
        Refuse(403, "cross_site")),
    "cross-site websocket": (
        PLAIN, get("/user/alice/ws", websocket=True, site="cross-site"), session(), ALICE, Refuse(403, "cross_site")),
    "origin, the same": (
        PLAIN, get("/user/alice/api", "PUT", origin="https://hub.example.org"), session(), ALICE, YES),
    "origin, port written": (
        PLAIN, get("/user/alice/api", "PUT", host="hub.example.org:443", origin="https://HUB.example.org"), session(),
        ALICE, YES),
    "origin, another": (
        PLAIN, get("/user/alice/api", "PUT", origin="https://evil.example"), session(), ALICE,
        Refuse(403, "cross_site")),
    "origin, another port": (
        PLAIN, get("/user/alice/api", "PUT", origin="https://hub.example.org:81"), session(), ALICE,
        Refuse(403, "cross_site")),
    "origin, null": (PLAIN, get("/user/alice/api", "PUT", origin="null"), session(), ALICE, Refuse(403, "cross_site")),
    "socket, origin the same": (
        PLAIN, get("/user/alice/ws", websocket=True, origin="https://hub.example.org"), session(), ALICE, YES),
    "socket, no origin": (PLAIN, get("/user/alice/ws", websocket=True), session(), ALICE, Refuse(403, "cross_site")),
    "save, no origin": (PLAIN, get("/user/alice/x", "PUT"), session(), ALICE, Refuse(403, "cross_site")),
    "read, no origin": (PLAIN, get("/user/alice/x"), session(), ALICE, YES),
    # what the server is
    "starting": (PLAIN, get("/user/alice/api", **API), session(), server_of(ALICE, "starting"),
                 Pass(Server(1, "starting", "127.0.0.1:9", "s"), session())),
    "starting, not bound, page": (
        PLAIN, get("/user/alice/lab", **PAGE), session(), server_of(ALICE, "starting", ""),
        Redirect(f"{HUB}/hub/spawn/alice?next=%2Fuser%2Falice%2Flab")),
    "stopping": (PLAIN, get("/user/alice/x"), session(), server_of(ALICE, "stopping"), Refuse(503, "not_running")),
    "failed, page": (
        PLAIN, get("/user/alice/lab", **PAGE), session(), server_of(ALICE, "failed"),
        Redirect(f"{HUB}/hub/spawn/alice?next=%2Fuser%2Falice%2Flab")),
    "stopped, socket": (
        PLAIN, get("/user/alice/ws", **SOCKET), session(), server_of(ALICE, "stopped"), Refuse(503, "not_running")),
    "never started": (
        PLAIN, get("/user/alice/lab", **PAGE), session(), ALICE._replace(servers={}),
        Redirect(f"{HUB}/hub/spawn/alice?next=%2Fuser%2Falice%2Flab")),
    "named, stopped": (
        PLAIN, get("/user/alice/big/lab", **PAGE), session(),
        ALICE._replace(servers={"big": BIG._replace(state="stopped")}),
        Redirect(f"{HUB}/hub/spawn/alice/big?next=%2Fuser%2Falice%2Fbig%2Flab")),
    "named": (PLAIN, get("/user/alice/big/lab", **PAGE), session(), ALICE, Pass(BIG, session())),
    "not named": (PLAIN, get("/user/alice/small/lab", **PAGE), session(), ALICE, YES),
    "named, no slash": (PLAIN, get("/user/alice/big", **PAGE), session(), ALICE, Redirect("/user/alice/big/")),
    # how the name is written
    "no slash": (PLAIN, get("/user/alice?x=1", **PAGE), session(), ALICE, Redirect("/user/alice/?x=1")),
    "upper case, page": (PLAIN, get("/user/ALICE/lab", **PAGE), session(), ALICE, Redirect("/user/alice/lab")),
    "upper case, api": (PLAIN, get("/user/ALICE/api", **API), session(), ALICE, Refuse(404, "misspelled")),
    "a label in capitals": (PLAIN, get("/user/Alice/lab", **PAGE), session(), CASED, YES),
    "percent": (PLAIN, get("/user/%61lice/lab", **PAGE), session(), ALICE, Redirect("/user/alice/lab")),
    "full width": (
        PLAIN, get("/user/%EF%BD%81lice/lab?q", **PAGE), session(), ALICE, Redirect("/user/alice/lab?q")),
    "slash in a name": (PLAIN, get("/user/a%2Fb/lab", **PAGE), session(), None, Refuse(404, "no_such_page")),
    "no name": (PLAIN, get("/user//lab", **PAGE), session(), None, Refuse(404, "no_such_page")),
    "another place": (PLAIN, get("/elsewhere", **PAGE), session(), None, Refuse(404, "no_such_page")),
    # an origin for every user
    "own origin": (DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), HERE, ALICE, Pass(USUAL, HERE)),
    "own origin, hub's session": (
        DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), session(), ALICE,
        Redirect(f"{HUB}:8443/hub/enter-origin?host=alice.nb.example.org&next=%2Fuser%2Falice%2Flab")),
    "own origin, signed out": (
        DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), None, ALICE,
        Redirect(f"{HUB}:8443/hub/enter-origin?host=alice.nb.example.org&next=%2Fuser%2Falice%2Flab")),
    "own origin, signed out, api": (
        DOMAIN, get("/user/alice/api", **ALICE_ORIGIN, **API), None, ALICE, Refuse(403, "signed_out")),
    "own origin, root": (DOMAIN, get("/?x", **ALICE_ORIGIN, **PAGE), None, None, Redirect("/user/alice/?x")),
    "hub's origin, page": (
        DOMAIN, get("/user/alice/lab?x", **PAGE), session(), ALICE,
        Redirect("https://alice.nb.example.org:8443/user/alice/lab?x")),
    "hub's origin, api": (DOMAIN, get("/user/alice/api", **API), session(), ALICE, Refuse(403, "wrong_origin")),
    "hub's origin, token": (DOMAIN, get("/user/alice/api"), token(), ALICE, Pass(USUAL, token())),
    "own origin, token": (DOMAIN, get("/user/alice/api", **ALICE_ORIGIN), token(), ALICE, Pass(USUAL, token())),
    "no open redirect": (
        DOMAIN, get("/user/evil.com%23/lab", **PAGE), session(), None, Refuse(404, "not_yours")),
    "no open redirect by @": (DOMAIN, get("/user/x@evil.com/", **PAGE), None, None, Refuse(404, "not_yours")),
    "bob's page asks alice's origin": (
        DOMAIN, get("/user/bob/lab", **ALICE_ORIGIN, **PAGE), HERE, BOB, Refuse(404, "not_yours")),
    "bob with a session of his origin": (
        DOMAIN, get("/user/alice/api", **ALICE_ORIGIN, **API), session(2, "bob", host="bob.nb.example.org"), ALICE,
        Refuse(403, "signed_out")),
    "a visit": (DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), VISIT, ALICE, Pass(USUAL, VISIT)),
    "a visit, no administrator any more": (
        DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), VISIT._replace(admin=False), ALICE,
        Refuse(404, "not_yours")),
    "a visit to one who is disabled": (
        DOMAIN, get("/user/alice/lab", **ALICE_ORIGIN, **PAGE), VISIT, ALICE._replace(disabled=True),
        Refuse(404, "not_yours")),
    "a visit where visiting is off": (
        PLAIN, get("/user/alice/lab?a=1&b", **ALICE_ORIGIN, **PAGE), VISIT, ALICE, LOGIN),
    "the session of a visit elsewhere": (
        DOMAIN, get("/user/bob/lab", host="bob.nb.example.org", **PAGE), VISIT, BOB,
        Redirect(f"{HUB}:8443/hub/enter-origin?host=bob.nb.example.org&next=%2Fuser%2Fbob%2Flab")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_decisions(name):
    policy, request, visitor, owner, expected = CASES[name]
    assert decide(policy, request, visitor, owner, NOW) == expected


@pytest.mark.parametrize(
    "path", ["/user/", "/user/%2e%2e", "/user/%2F/x", "/user/%00/x", "/user/" + "a" * 65, "/hub/", ""]
)
def test_paths_that_name_nobody(path):
    found = place(path)
    assert found is None or found.key == ".."


def test_names_are_compared_as_the_database_does():
    assert key_of("alice") == key_of("ALICE") == key_of("%41lice") == "alice"
    assert key_of("Stra%C3%9Fe") == "strasse"
    assert key_of("%EF%BC%A1lice") == "alice"


def test_cookies_are_named_by_the_scheme():
    assert PLAIN.cookie == "__Host-terakoya-session"
    assert Policy("http://x").cookie == "terakoya-session"
