"""What all addresses of the API share: the version header, and errors as `{"status", "message", "cure"}`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from terakoya.errors import BadApiRequest, Bug, NotInApi, TerakoyaError
from terakoya.web.errors import answer

VERSION = "5.2.1"
"""The JupyterHub whose API this is like. Clients compare it: the idle culler filters from 1.3 on, VS Code wants 4 or
newer, jupyterhub-singleuser warns when the major version is not its own."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ApiRoute(APIRoute):
    """A route whose every answer, errors too, is in the API's shape."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                refuse_nul(request)
                response = await handle(request)
            except Exception as error:  # noqa: BLE001 a bug is answered and logged, not hidden
                response = problem(request, error)
            response.headers["X-JupyterHub-Version"] = VERSION
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return answered


def refuse_nul(request: Request) -> None:
    """No name has a NUL in it, and databases do not take it."""
    if "\0" in request.url.path or "\0" in request.scope.get("path", ""):
        raise NotInApi
    if any("\0" in value for pair in request.query_params.multi_items() for value in pair):
        raise BadApiRequest(reason="its query contains the character NUL")


def problem(request: Request, error: Exception) -> Response:
    """An error as an answer: `{"status", "message", "cure", "code", "incident"}`."""
    if isinstance(error, TerakoyaError):
        return answer(request, error)
    if isinstance(error, RequestValidationError):
        return answer(request, _first_wrong(error))
    if isinstance(error, HTTPException):
        return answer(request, BadApiRequest(reason=error.detail), error.status_code)
    return answer(request, Bug(kind=type(error).__name__), cause=error)


def _first_wrong(error: RequestValidationError) -> BadApiRequest:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])[:80]
    return BadApiRequest(reason=f'"{place}" is wrong: {first["msg"][0].lower() + first["msg"][1:]}')
