"""From the bytes of a question to the bytes of an answer: reads the headers, asks the database, decides, counts."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import parse_qs

from terakoya.edge import refusals
from terakoya.edge.activity import Activity
from terakoya.edge.decide import Owner, Pass, Policy, Redirect, Request, Visitor, decide, is_known, place
from terakoya.edge.lookup import DatabaseDown, Lookup
from terakoya.edge.measure import Measure

OURS = re.compile(rb"(?:^|[;,])\s*(?:__Host-)?terakoya-[^;,]*")
"""Cookies whose name begins so never reach a user's server. The edge joins several Cookie headers with commas."""

UNAVAILABLE = 424
"""On the way to the edge this stands for 503: whatever is 500 or more would say there that the gate is broken."""

COOKIES_TRIED = 4
"""A page may have planted cookies of our name beside the real one; so many are looked at."""

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Answerer:
    """Everything that one answer needs. Not for several threads."""

    def __init__(self, policy: Policy, lookup: Lookup, activity: Activity, measure: Measure) -> None:
        self.policy = policy
        self.lookup = lookup
        self.activity = activity
        self.measure = measure
        self._cookie = policy.cookie.encode() + b"="
        self._session = re.compile(rb"(?:^|[;,])\s*" + re.escape(self._cookie) + rb"([^;,\s]+)")

    def answer(self, method: str, url: bytes, headers: dict[bytes, bytes]) -> bytes:
        began = time.perf_counter()
        made = self._answer(method, url, headers)
        self.measure.seconds(time.perf_counter() - began)
        return made

    def _answer(self, method: str, url: bytes, headers: dict[bytes, bytes]) -> bytes:
        cookie = headers.get(b"cookie", b"")
        token = _token(headers.get(b"authorization", b""), url)
        request = _request(method, url, headers, token_sent=bool(token))
        now = time.time()
        try:
            self.lookup.fresh()
            visitor = self._visitor(token, cookie, request, now)
            owner = self._owner(request)
        except DatabaseDown as error:
            return self._refused(request, headers, 503, "no_database", cause=str(error))
        decision = decide(self.policy, request, visitor, owner, now)
        if isinstance(decision, Pass):
            self.measure.passed += 1
            self.activity.seen(decision, now)
            return _pass(decision, cookie)
        if isinstance(decision, Redirect):
            self.measure.redirected += 1
            return _redirect(decision)
        return self._refused(request, headers, decision.status, decision.code)

    def _visitor(self, token: bytes, cookie: bytes, request: Request, now: float) -> Visitor | None:
        """By token if one is sent and known, else by cookie."""
        found = self.lookup.token(sha256(token).digest()) if token else None
        if found is not None or self._cookie not in cookie:
            return found
        for value in self._session.findall(cookie)[:COOKIES_TRIED]:
            visitor = self.lookup.session(sha256(value).digest())
            if visitor and is_known(self.policy, request, visitor, now):
                return visitor
        return None

    def _owner(self, request: Request) -> Owner | None:
        where = place(request.path)
        return self.lookup.owner(where.key) if where else None

    def _refused(self, request: Request, headers: dict[bytes, bytes], status: int, code: str, **facts: str) -> bytes:
        self.measure.refuse(code)
        spoken = headers.get(b"accept-language", b"").decode("latin-1")
        hub = self.policy.hub_url
        wire = UNAVAILABLE if status == HTTPStatus.SERVICE_UNAVAILABLE else status
        kind, body = refusals.body(code, status, page=request.page, accept_language=spoken, hub=hub, **facts)
        head = (
            b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncache-control: no-store\r\nvary: accept, accept-language\r\n"
            b"content-length: %d\r\n\r\n" % (wire, REASONS[wire], kind, len(body))
        )
        return head if request.method == "HEAD" else head + body


def _request(method: str, url: bytes, headers: dict[bytes, bytes], *, token_sent: bool) -> Request:
    def text(name: bytes) -> str:
        return headers[name].decode("latin-1") if name in headers else ""

    return Request(
        method,
        url.decode("latin-1"),
        text(b"host").lower(),
        text(b"accept"),
        text(b"origin"),
        text(b"sec-fetch-site"),
        text(b"sec-fetch-mode"),
        b"upgrade" in headers,
        token_sent,
    )


def _token(authorization: bytes, url: bytes) -> bytes:
    """The token of a program: in the header, or in the address where a header can't be sent."""
    if authorization:
        scheme, _, value = authorization.partition(b" ")
        if scheme.lower() in {b"token", b"bearer"}:
            return value.strip()
    if b"token=" in url:
        query = url.partition(b"?")[2].decode("latin-1")
        return parse_qs(query).get("token", [""])[0].encode()
    return b""


def _pass(decision: Pass, cookie: bytes) -> bytes:
    kept = strip(cookie)
    cookies = b"cookie: %b\r\n" % kept if kept else b"x-envoy-auth-headers-to-remove: cookie\r\n"
    server = decision.server
    return (
        b"HTTP/1.1 200 OK\r\nx-envoy-original-dst-host: %b\r\nauthorization: token %b\r\nx-terakoya-user: %b\r\n"
        b"%bcontent-length: 0\r\n\r\n"
        % (server.address.encode(), server.secret.encode(), decision.visitor.name.encode(), cookies)
    )


def strip(cookie: bytes) -> bytes:
    """The Cookie header without our own cookies."""
    return OURS.sub(b"", cookie).strip(b";, ") if b"terakoya-" in cookie else cookie


def _redirect(decision: Redirect) -> bytes:
    location = decision.location.encode("latin-1")
    return b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n" % location
