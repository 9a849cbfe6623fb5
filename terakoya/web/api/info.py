"""/hub/api/ itself: what runs here, and the lists that are empty because there is no such thing yet."""

from __future__ import annotations

import platform
import sys
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import text

from terakoya import __version__
from terakoya.web.api.caller import AnyCaller, TheHub
from terakoya.web.api.route import VERSION, ApiRoute

routes = APIRouter(route_class=ApiRoute, tags=["hub"])


@routes.get("")
@routes.get("/", include_in_schema=False)
def version(response: Response) -> dict[str, str]:
    """The version of the API, for anybody, and from any web page: clients look here first."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return {"version": VERSION, "terakoya": __version__}


@routes.get("/info")
def info(hub: TheHub, who: AnyCaller) -> dict[str, Any]:
    """What the hub runs on. Takes the scope `read:hub`."""
    who.demand("read:hub")
    return {
        "version": VERSION,
        "terakoya": __version__,
        "python": sys.version,
        "sys_executable": sys.executable,
        "platform": platform.platform(),
        "database": hub.db.url.get_backend_name(),
        "spawner": {"class": type(hub.backend).__qualname__, "version": __version__},
        "authenticator": {"class": type(hub.authenticator).__qualname__, "version": __version__},
    }


@routes.get("/health")
def health(hub: TheHub) -> dict[str, str]:
    """200 if the hub answers and its database can be read; for anybody."""
    with hub.db.reading() as session:
        session.execute(text("SELECT 1"))
    return {"status": "ok"}


@routes.get("/services")
def services(who: AnyCaller) -> dict[str, Any]:
    """Services by name: there are none yet."""
    who.demand("read:users")
    return {}
