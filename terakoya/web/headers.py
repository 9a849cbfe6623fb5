"""What every answer of the hub carries, and how large a question may be."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terakoya.config import Config

LARGEST_BODY = 1 << 20
"""Bytes of a form or of an API request. Files go to the users' servers, not to the hub."""

PARTS_OF_USERS_PAGES = {"X-Content-Type-Options": "nosniff"}
"""JupyterLab's own files: a policy for the hub's pages would bind workers that are made from them."""


def policy(config: Config) -> str:
    """The Content-Security-Policy of the pages: nothing but the hub's own files, no inline script or style."""
    targets = "'self'"
    if config.site.user_domain:
        # Browsers hold a form to this also where its answer redirects to, and signing in leads to the user's origin.
        scheme, _, rest = config.public_url.partition("://")
        port = rest.rpartition(":")[2]
        targets += f" {scheme}://{config.site.user_domain}" + (f":{port}" if port.isdecimal() else "")
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; manifest-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )


class SecurityHeaders:
    """ASGI middleware that adds the headers to whatever is answered, errors too."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self.app = app
        self.fixed = {
            "Content-Security-Policy": policy(config),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        fixed = PARTS_OF_USERS_PAGES if scope["path"].startswith("/hub/lab-static/") else self.fixed

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """ASGI middleware that stops reading a body at `LARGEST_BODY`, whatever its headers promised."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_some, send)
