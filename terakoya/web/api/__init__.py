"""The REST API under /hub/api, in the paths and shapes of JupyterHub's, so that its clients work unmodified."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Match

from terakoya.errors import NotInApi, WrongMethod
from terakoya.web.api import activity, description, groups, info, listing, progress, servers, tokens, users
from terakoya.web.api.route import ApiRoute

BASE = "/hub/api"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
PARTS = (info, users, listing, servers, progress, tokens, activity, groups, description)


def router() -> APIRouter:
    """All of it, to be included in the application without a prefix."""
    made = APIRouter()
    for routes in (*(part.routes for part in PARTS), _rest()):
        made.include_router(routes, prefix=BASE)
    return made


def _rest() -> APIRouter:
    """Whatever else is below /hub/api gets an answer in the API's shape."""
    rest = APIRouter(route_class=ApiRoute)

    @rest.api_route("/{path:path}", methods=METHODS, include_in_schema=False)
    async def nothing(request: Request) -> Response:
        if any(_is_there(part.routes, request) for part in PARTS):
            raise WrongMethod(method=request.method)
        raise NotInApi

    return rest


def _is_there(part: APIRouter, request: Request) -> bool:
    """Whether the address exists and only takes other methods."""
    scope = {**request.scope, "path": request.scope["path"].removeprefix(BASE), "root_path": ""}
    return any(route.matches(scope)[0] is Match.PARTIAL for route in part.routes)
