"""The administrators' live list of users and their servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import users
from terakoya.accounts.permissions import may
from terakoya.db.models import Server, User
from terakoya.errors import NoSuchPage, NoSuchServer, NoSuchUser, NoSystemAccount, NotAllowed, StartFailed
from terakoya.servers import life, requests
from terakoya.web import opening
from terakoya.web.render import page, redirect
from terakoya.web.state import Hub, hub
from terakoya.web.visitor import Administrator

router = APIRouter()

PAGE_SIZE = 50
FILTERS = ("", "running", "starting", "failed", "inactive", "disabled", "admin")


@dataclass(frozen=True)
class View:
    """Which part of the list somebody looks at; it is the query of the address."""

    search: str = ""
    state: str = ""
    sort: str = "name"
    number: int = 1

    def query(self, **changed: Any) -> str:
        """The address of this view, with something changed; another choice begins at the first page."""
        values: dict[str, Any] = {"search": self.search, "state": self.state, "sort": self.sort, "page": 1} | changed
        usual = {"search": "", "state": "", "sort": "name", "page": 1}
        kept = {name: value for name, value in values.items() if value != usual[name]}
        return f"?{urlencode(kept)}" if kept else ""

    def sorted_by(self, column: str, *, down_first: bool = False) -> str:
        """The query that sorts by `column`, or turns its order round."""
        first, second = (f"-{column}", column) if down_first else (column, f"-{column}")
        return self.query(sort=second if self.sort == first else first)


def view(search: str = "", state: str = "", sort: str = "name", page: int = 1) -> View:
    """A dependency: the view that the query asks for; nonsense in it is the usual view."""
    return View(search[:64].strip(), state if state in FILTERS else "", sort[:20], min(max(page, 1), 100_000))


TheView = Annotated[View, Depends(view)]


def _rows(request: Request, seen: View) -> dict[str, Any]:
    """What the table shows: two queries for the users and one for their servers, whatever their number."""
    here = hub(request)
    found, total = users.find(
        here.db,
        search=seen.search,
        state="" if seen.state == "admin" else seen.state,
        admin=True if seen.state == "admin" else None,
        sort=seen.sort,
        offset=(seen.number - 1) * PAGE_SIZE,
        limit=PAGE_SIZE,
    )
    servers = life.of_users(here.db, [user.id for user in found])
    pages = max(1, -(-total // PAGE_SIZE))
    return {
        "users": found,
        "servers": servers,
        "total": total,
        "view": seen,
        "pages": pages,
        "can_visit": bool(here.config.site.user_domain),
    }


@router.get("/hub/admin")
def show(request: Request, _who: Administrator, seen: TheView) -> Response:
    return page(request, "admin.html", filters=FILTERS, **_rows(request, seen))


@router.get("/hub/admin/rows")
def rows(request: Request, _who: Administrator, seen: TheView) -> Response:
    """The visible rows, asked for again and again."""
    return page(request, "admin_rows.html", **_rows(request, seen))


async def _start(here: Hub, user: User, server: str, _actor: str) -> None:
    with suppress(StartFailed):  # the row says so, and why
        await opening.start(here, user, server)


async def _stop(here: Hub, user: User, server: str, _actor: str) -> None:
    await requests.request_stop(here.db, here.runner, user, server)


async def _disable(here: Hub, user: User, _server: str, actor: str) -> None:
    await requests.request_disable(here.db, here.runner, user.name, actor)


async def _enable(here: Hub, user: User, _server: str, actor: str) -> None:
    await run_in_threadpool(users.enable, here.db, user.name, actor)


async def _make_admin(here: Hub, user: User, _server: str, actor: str) -> None:
    await run_in_threadpool(users.set_admin, here.db, user.name, True, actor)


async def _end_admin(here: Hub, user: User, _server: str, actor: str) -> None:
    await run_in_threadpool(users.set_admin, here.db, user.name, False, actor)


async def _remove(here: Hub, user: User, _server: str, actor: str) -> None:
    await requests.request_remove_user(here.db, here.runner, user.name, actor)


ACTIONS: dict[str, tuple[str, Callable[[Hub, User, str, str], Awaitable[None]]]] = {
    "start": ("start server", _start),
    "stop": ("stop server", _stop),
    "disable": ("disable user", _disable),
    "enable": ("disable user", _enable),
    "make-admin": ("make administrator", _make_admin),
    "end-admin": ("make administrator", _end_admin),
    "remove": ("remove user", _remove),
}
"""The buttons of a row: the right that each takes, and what it calls."""


@router.post("/hub/admin/users")
async def add(
    request: Request,
    who: Administrator,
    name: Annotated[str, Form()] = "",
    admin: Annotated[bool, Form()] = False,
) -> Response:
    """Let an account of the machine in by name."""
    here = hub(request)
    if not may(who, "add user"):
        raise NotAllowed(action="add a user")
    name = name.strip()
    users.check_name(name)
    account = await here.launcher.account(users.key(name))
    if not account.get("exists"):
        raise NoSystemAccount(name=name, minimum_uid=here.config.accounts.minimum_uid)
    await run_in_threadpool(users.add, here.db, name, users.key(name), admin, who.user.name)
    return redirect(f"/hub/admin?{urlencode({'search': name})}")


@router.post("/hub/admin/users/{name}/{action}")
async def act(
    request: Request,
    who: Administrator,
    name: str,
    action: str,
    server: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """One button of a row."""
    here = hub(request)
    if action not in ACTIONS:
        raise NoSuchPage(path=request.url.path)
    needed, do = ACTIONS[action]
    user = await run_in_threadpool(users.get, here.db, name)
    if not may(who, needed, user) and user.id != who.user.id:
        raise NotAllowed(action=needed)
    await do(here, user, server, who.user.name)
    return redirect("/hub/admin" + (back if back.startswith("?") else ""))


@router.get("/hub/admin/users/{name}/log")
def log(request: Request, who: Administrator, name: str, server: str = "") -> Response:
    """Why a server failed: the end of its log."""
    here = hub(request)
    user = users.get(here.db, name)
    if not may(who, "read log", user):
        raise NoSuchUser(name=name)
    row: Server | None = next((r for r in life.of_users(here.db, [user.id])[user.id] if r.name == server), None)
    if row is None:
        raise NoSuchServer(user=user.name, server=server)
    return page(request, "admin_log.html", owner=user, row=row)
