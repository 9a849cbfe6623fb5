"""The first set-up: whoever has the link from the console chooses the first administrator and who may enter."""

from __future__ import annotations

import getpass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import codes, entry
from terakoya.errors import AlreadySetUp, BadUserName, NobodyWouldEnter, NoSystemAccount, TerakoyaError
from terakoya.web.pages.links import signed_in_response
from terakoya.web.people import people, rule_from_form
from terakoya.web.render import language_of, page, redirect
from terakoya.web.state import Hub, hub

router = APIRouter()

FORM_SECONDS = 60 * 60
"""How long the form may stay open; the link itself is used up when it is shown."""


@router.get("/hub/welcome")
def show(request: Request, code: str = "") -> Response:
    if entry.is_set_up(hub(request).db):
        raise AlreadySetUp
    return page(request, "continue.html", code=code, action="/hub/welcome")


@router.post("/hub/welcome")
async def form(request: Request, code: Annotated[str, Form()] = "") -> Response:
    here = hub(request)
    await run_in_threadpool(codes.use, here.db, "welcome", code)
    if here.config.personal:
        return await run_in_threadpool(_personal, request)
    return await _form(request, here)


def _personal(request: Request) -> Response:
    """The one account is the one that terakoya runs as."""
    user = entry.set_up(hub(request).db, getpass.getuser(), entry.Rule(everybody=False, groups=[]))
    return signed_in_response(request, user)


async def _form(
    request: Request, here: Hub, error: TerakoyaError | None = None, admin: str = "", rule: entry.Rule | None = None
) -> Response:
    code = await run_in_threadpool(codes.make, here.db, "set-up", {}, FORM_SECONDS)
    what, cure = here.catalogues.explain(language_of(request), error) if error else ("", "")
    everybody = await people(here)
    return page(
        request,
        "welcome.html",
        error.status if error else 200,
        code=code,
        people=everybody,
        admin=admin,
        rule=rule or entry.Rule(everybody=True),
        what=what,
        cure=cure,
    )


@router.post("/hub/welcome/finish")
async def finish(
    request: Request,
    code: Annotated[str, Form()] = "",
    admin: Annotated[str, Form()] = "",
    who: Annotated[str, Form()] = "",
    group: Annotated[list[str] | None, Form()] = None,
) -> Response:
    here = hub(request)
    await run_in_threadpool(codes.use, here.db, "set-up", code)
    try:
        rule = rule_from_form(who, group or [])
        await _check_account(here, admin)
        await run_in_threadpool(entry.set_up, here.db, admin, rule)
    except (NobodyWouldEnter, NoSystemAccount, BadUserName) as error:
        return await _form(request, here, error, admin, entry.Rule(everybody=who == "everybody", groups=group or []))
    return redirect(f"/hub/login?name={admin}")


async def _check_account(here: Hub, name: str) -> None:
    if name not in {account.name for account in (await people(here)).accounts}:
        raise NoSystemAccount(name=name, minimum_uid=here.config.accounts.minimum_uid)


@router.post("/hub/welcome/again")
async def again(request: Request, code: Annotated[str, Form()] = "") -> Response:
    """The form once more, after an account was made on the machine."""
    here = hub(request)
    await run_in_threadpool(codes.use, here.db, "set-up", code)
    return await _form(request, here)
