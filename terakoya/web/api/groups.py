"""/hub/api/groups: there are no groups yet, and the list says so."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from terakoya.web.api.caller import AnyCaller
from terakoya.web.api.paging import Page, page
from terakoya.web.api.route import ApiRoute

routes = APIRouter(route_class=ApiRoute, tags=["groups"])


@routes.get("/groups")
def listed(request: Request, who: AnyCaller, part: Annotated[Page, Depends(page)]) -> Any:
    """Groups: there are none yet."""
    who.demand("list:users")
    return part.answer(request, [], 0)
