"""Visiting another user's server, where every server has an origin of its own."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import users
from terakoya.accounts.permissions import may
from terakoya.errors import NotAllowed, VisitingOff
from terakoya.servers import life, requests
from terakoya.web import opening
from terakoya.web.render import redirect
from terakoya.web.state import hub
from terakoya.web.visitor import Administrator, address

router = APIRouter()


@router.post("/hub/visit/{name}")
async def visit(request: Request, who: Administrator, name: str) -> Response:
    """Recorded first, then a session of that user's origin for the administrator."""
    here = hub(request)
    owner = await run_in_threadpool(users.get, here.db, name)
    if not may(who, "visit server", owner) and owner.id != who.user.id:
        raise NotAllowed(action="visit others' servers")
    if not here.config.site.user_domain:
        raise VisitingOff
    server = await run_in_threadpool(life.get, here.db, owner.id)
    if owner.id != who.user.id:
        await requests.request_visit(here.db, who.user, server, address(request))
    return redirect(await opening.entrance(here, who, owner, opening.first_page(here.config, owner)))
