"""Who may talk to a user's server: the gate, which adds the server's secret to what it lets through. Nobody else.

Other users of the machine can dial a loopback port, so the secret is asked for before any handler is looked for,
those of extensions included. Who the request comes from was settled by the gate.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from jupyter_server.auth.identity import IdentityProvider, User
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest, ResponseStartLine
from tornado.routing import Router
from tornado.web import Application, RequestHandler

_REFUSAL = json.dumps({"status": 403, "message": "This server is reached through terakoya only."}).encode()


def carries(headers: HTTPHeaders, secret: str) -> bool:
    """Whether `Authorization: token SECRET` is there; compared in constant time. An empty secret fits nothing."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(value.strip().encode(), secret.encode())
    return same and bool(secret) and scheme.lower() == "token"


class GateIdentity(IdentityProvider):  # type: ignore[misc] # traitlets has no types
    """Everybody the gate lets through is the user; there is no login page, no cookie and no token in a page."""

    secret = ""
    user_name = ""

    def get_user(self, handler: RequestHandler) -> User | None:
        if not carries(handler.request.headers, self.secret):
            return None
        handler._token_authenticated = True  # noqa: SLF001 jupyter_server's own mark: no cookie, so no forged request
        return User(self.user_name, self.user_name, self.user_name, initials=self.user_name[:1].upper())

    @property
    def login_available(self) -> bool:
        return False

    @property
    def logout_available(self) -> bool:
        return False


class Door(Router):  # type: ignore[misc] # tornado is skipped by mypy
    """Stands before the web application and turns away every request without the secret."""

    def __init__(self, application: Application, secret: str) -> None:
        self._application = application
        self._secret = secret

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        if carries(request.headers, self._secret):
            return self._application.find_handler(request, **kwargs)
        return _Refusal(request.connection)


class _Refusal(HTTPMessageDelegate):  # type: ignore[misc]
    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def data_received(self, chunk: bytes) -> None:
        """Drop it."""

    def finish(self) -> None:
        headers = HTTPHeaders({"Content-Type": "application/json", "Content-Length": str(len(_REFUSAL))})
        self._connection.write_headers(ResponseStartLine("HTTP/1.1", 403, "Forbidden"), headers, _REFUSAL)
        self._connection.finish()

    def on_connection_close(self) -> None:
        """Nothing to end."""
