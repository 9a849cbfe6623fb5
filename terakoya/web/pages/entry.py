"""Who may enter, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import entry
from terakoya.accounts.permissions import may
from terakoya.errors import NobodyWouldEnter, NotAllowed
from terakoya.web.people import people, rule_from_form
from terakoya.web.render import language_of, page
from terakoya.web.state import hub
from terakoya.web.visitor import Administrator

router = APIRouter()


@router.get("/hub/admin/entry")
async def show(request: Request, _who: Administrator) -> Response:
    rule = await run_in_threadpool(entry.rule, hub(request).db)
    return await _page(request, rule)


@router.post("/hub/admin/entry")
async def change(
    request: Request,
    visitor: Administrator,
    who: Annotated[str, Form()] = "",
    group: Annotated[list[str] | None, Form()] = None,
) -> Response:
    here = hub(request)
    if not may(visitor, "change settings"):
        raise NotAllowed(action="change who may enter")
    try:
        rule = rule_from_form(who, group or [])
    except NobodyWouldEnter as error:
        what, cure = here.catalogues.explain(language_of(request), error)
        return await _page(request, entry.Rule(everybody=False), error.status, what=what, cure=cure)
    await run_in_threadpool(entry.set_rule, here.db, rule, visitor.user.name)
    return await _page(request, rule, saved=True)


async def _page(
    request: Request, rule: entry.Rule, status: int = 200, *, what: str = "", cure: str = "", saved: bool = False
) -> Response:
    everybody = await people(hub(request))
    return page(request, "entry.html", status, rule=rule, people=everybody, what=what, cure=cure, saved=saved)
