"""Signing in: one form, and from it straight into the notebook."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import entry, sessions, signin
from terakoya.accounts.visitor import Visitor
from terakoya.db.models import User
from terakoya.errors import (
    LauncherUnavailable,
    NewPasswordRefused,
    NotAllowed,
    PasswordMustChange,
    StartFailed,
    TerakoyaError,
)
from terakoya.web import opening
from terakoya.web.errors import wants_json
from terakoya.web.hosts import own_path, safe_next
from terakoya.web.render import language_of, page, redirect
from terakoya.web.state import hub
from terakoya.web.visitor import address, set_cookie, visitor

router = APIRouter()

Text = Annotated[str, Form()]


@router.get("/hub/login")
def show(request: Request, next: str = "", name: str = "") -> Response:  # noqa: A002 the ecosystem's word
    who = visitor(request)
    if who is not None and who.session is not None:
        return redirect(safe_next(hub(request).config, next, who.user.name_key) or "/hub/home", 302)
    return _form(request, next, name[:64])


@router.post("/hub/login")
async def sign_in(
    request: Request,
    username: Text = "",
    password: Text = "",
    new_password: Text = "",
    new_again: Text = "",
    next: str = "",  # noqa: A002
) -> Response:
    here = hub(request)
    if new_password != new_again:
        return await run_in_threadpool(_mismatch, request, next, username)
    try:
        cookie, user = await signin.sign_in(
            here.db,
            here.authenticator,
            here.config,
            username,
            password,
            address(request),
            request.headers.get("user-agent", ""),
            new_password or None,
        )
    except TerakoyaError as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_form, request, next, username[:64], error)
    response = redirect(await _destination(request, cookie, user, safe_next(here.config, next, user.name_key)))
    _end_old_session(request)
    set_cookie(response, here.config, cookie)
    return response


def _end_old_session(request: Request) -> None:
    """The cookie is replaced, so what it was good for ends: nobody can have planted it."""
    who = visitor(request)
    if who is not None and who.session is not None:
        sessions.close_one(hub(request).db, who.user.id, who.session.id)


async def _destination(request: Request, cookie: str, user: User, wanted: str) -> str:
    """Where the browser goes now; the server is started meanwhile if that is where it goes."""
    here = hub(request)
    if wanted and not own_path(wanted, user.name_key):
        return wanted
    wanted = wanted or opening.first_page(here.config, user)
    name = await run_in_threadpool(opening.server_of, here, user, wanted)
    try:
        if not await opening.start(here, user, name):
            return opening.spawn_address(user, name, wanted, "spawn-pending")
        who: Visitor | None = Visitor(user)
        if here.config.site.user_domain:
            who = await run_in_threadpool(sessions.find, here.db, cookie)
        return await opening.entrance(here, who or Visitor(user), user, wanted)
    except (StartFailed, LauncherUnavailable):
        return opening.spawn_address(user, name, wanted)
    except NotAllowed:
        return "/hub/home"


def _mismatch(request: Request, wanted: str, name: str) -> Response:
    _ = hub(request).catalogues.of(language_of(request)).gettext
    reason = _("the two do not agree")
    return _form(request, wanted, name, NewPasswordRefused(reason=reason))


def _form(request: Request, wanted: str, name: str, error: TerakoyaError | None = None) -> Response:
    here = hub(request)
    what, cure = here.catalogues.explain(language_of(request), error) if error else ("", "")
    return page(
        request,
        "login.html",
        error.status if error else 200,
        next=safe_next(here.config, wanted) or (wanted if _maybe_own_origin(request, wanted) else ""),
        name=name.replace("\0", ""),
        what=what,
        cure=cure,
        change=isinstance(error, PasswordMustChange | NewPasswordRefused),
        set_up=entry.is_set_up(here.db),
        ahead=here.lab_static.ahead(),
    )


def _maybe_own_origin(request: Request, wanted: str) -> bool:
    """Before the sign-in nobody knows whose origin it may be; afterwards it is checked again."""
    host = wanted.partition("://")[2].partition("/")[0].partition(":")[0]
    return bool(safe_next(hub(request).config, wanted, host.partition(".")[0]))
