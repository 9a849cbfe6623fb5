"""What people see when something goes wrong: always a cause, what to do next, and a number that the log has too."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terakoya.errors import (
    BadRequest,
    Bug,
    MethodNotAllowed,
    NoSuchPage,
    RequestTooLarge,
    SignInNeeded,
    TerakoyaError,
)
from terakoya.web import i18n
from terakoya.web.render import move, page
from terakoya.web.state import hub
from terakoya.web.visitor import check_same_origin, visitor

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Everything that a handler may raise on purpose becomes a page or JSON."""
    app.add_exception_handler(TerakoyaError, _expected)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _expected(request: Request, error: Exception) -> Response:
    return answer(request, error)  # type: ignore[arg-type]  # registered for this class


async def _http(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    known: dict[int, TerakoyaError] = {
        404: NoSuchPage(path=request.url.path),
        405: MethodNotAllowed(method=request.method),
        413: RequestTooLarge(),
    }
    detail = getattr(error, "detail", "")
    response = answer(request, known.get(status) or BadRequest(reason=detail), status)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    wrong = [str(problem["loc"][-1]) for problem in error.errors()]  # type: ignore[attr-defined]  # RequestValidationError
    return answer(request, BadRequest(reason=", ".join(wrong)), HTTPStatus.UNPROCESSABLE_ENTITY)


def wants_json(request: Request) -> bool:
    """API clients get JSON, and so does whoever does not say that HTML is welcome."""
    if request.url.path.startswith("/hub/api"):
        return True
    accept = request.headers.get("accept", "*/*")
    return "application/json" in accept and "text/html" not in accept


def answer(
    request: Request, error: TerakoyaError, status: int | None = None, cause: Exception | None = None
) -> Response:
    """A page or JSON that explains `error`, and a line in the log with the same number and the traceback of `cause`."""
    status = status or error.status
    if isinstance(error, SignInNeeded) and not wants_json(request):
        return move(request, _sign_in_address(request))
    incident = secrets.token_hex(4)
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    asked = f"{request.method} {request.url.path!r}"
    log.log(level, "incident %s: %s: %s: %s", incident, asked, error.code, error.what, exc_info=cause)
    what, cure = hub(request).catalogues.explain(i18n.choose(request, hub(request).config), error)
    if wants_json(request):
        body: dict[str, Any] = {"status": status, "message": what, "cure": cure, "code": error.code}
        return JSONResponse(body | {"incident": incident}, status)
    _remember_visitor(request)
    return page(request, "error.html", status, what=what, cure=cure, incident=incident, code=status)


def _remember_visitor(request: Request) -> None:
    """So that the error page has the usual header; an error of the database must not hide the first one."""
    try:
        visitor(request)
    except TerakoyaError:
        request.state.visitor = None


def _sign_in_address(request: Request) -> str:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = here if request.method == "GET" and request.headers.get("hx-request") != "true" else "/hub/home"
    return "/hub/login?next=" + quote(wanted, safe="")


class Guard:
    """ASGI middleware: refuses other sites' requests, and turns what nobody expected into an explained answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        request = Request(scope)
        try:
            check_same_origin(request, scope["method"])
            await self.app(scope, receive, send_noticed)
        except Exception as error:  # noqa: BLE001 the last stop of every bug
            response = self._response(request, error)
            if not started:
                await response(scope, receive, send)

    @staticmethod
    def _response(request: Request, error: Exception) -> Response:
        if isinstance(error, TerakoyaError):
            return answer(request, error)
        return answer(request, Bug(kind=type(error).__name__), cause=error)
