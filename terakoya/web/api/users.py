"""/hub/api/user, /users and /users/{user}."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from terakoya.accounts import users
from terakoya.db.models import User
from terakoya.errors import BadApiRequest, NoSuchUser, NoSystemAccount, UserExists
from terakoya.servers import requests, rows
from terakoya.web.api.bodies import NewUser, NewUsers, UserChange, body, documented
from terakoya.web.api.caller import AnyCaller, Caller, Target, TheHub, Where, target
from terakoya.web.api.models import READABLE, Addresses, is_active, user_model
from terakoya.web.api.route import ApiRoute
from terakoya.web.api.scopes import Grants
from terakoya.web.state import Hub

routes = APIRouter(route_class=ApiRoute, tags=["users"])


def _stopped_too(
    include_stopped_servers: Annotated[str, Query(description="1: also show servers that do not run")] = "0",
) -> bool:
    """As clients write it: `?include_stopped_servers` alone means yes."""
    return include_stopped_servers.lower() not in {"0", "false"}


Stopped = Annotated[bool, Depends(_stopped_too)]


def shown(hub: Hub, user: User, where: Addresses, grants: Grants, *, include_stopped: bool = False) -> dict[str, Any]:
    """One user as `grants` let the caller see them."""
    return user_model(user, rows.of_users(hub.db, [user.id])[user.id], where, grants, include_stopped=include_stopped)


@routes.get("/user")
def myself(hub: TheHub, who: AnyCaller, where: Where, stopped: Stopped) -> dict[str, Any]:
    """Whom the token or the session belongs to, and its scopes. Any valid token may ask."""
    knowing = who.grants.knowing(who.user.name_key)
    model = shown(hub, who.user, where, knowing, include_stopped=stopped)
    token = f"a{who.token.id}" if who.token else None
    return model | {"groups": [], "scopes": who.grants.written(), "token_id": token, "session_id": None}


@routes.post("/users", status_code=201, openapi_extra=documented(NewUsers))
async def add_several(
    hub: TheHub, who: AnyCaller, where: Where, wanted: Annotated[NewUsers, Depends(body(NewUsers))]
) -> list[dict[str, Any]]:
    """Make several users; those that exist are left as they are. 409 if all exist."""
    who.demand("admin:users")
    for name in wanted.usernames:
        users.check_name(name)
        who.demand_for(name, "admin:users")
    made = []
    for name in dict.fromkeys(wanted.usernames):
        try:
            made.append(await _add(hub, who, name, admin=wanted.admin))
        except UserExists:
            continue
    if not made:
        raise UserExists(name='", "'.join(wanted.usernames[:5]))
    return [user_model(user, [], where, who.grants) for user in made]


async def _add(hub: Hub, who: Caller, name: str, *, admin: bool) -> User:
    """One user, for an account that the machine has."""
    users.check_name(name)
    with suppress(NoSuchUser):
        await run_in_threadpool(users.get, hub.db, name)
        raise UserExists(name=name)
    account = await hub.launcher.account(name)
    if not account.get("exists"):
        raise NoSystemAccount(name=name, minimum_uid=hub.config.accounts.minimum_uid)
    return await run_in_threadpool(users.add, hub.db, name, admin=admin, actor=who.user.name)


@routes.get("/users/{user}")
def show(
    hub: TheHub,
    to: Annotated[Target, Depends(target(*READABLE))],
    where: Where,
    stopped: Stopped,
) -> dict[str, Any]:
    """One user, with the fields that the caller's scopes show."""
    return shown(hub, to.user, where, to.caller.grants, include_stopped=stopped)


@routes.post("/users/{user}", status_code=201, openapi_extra=documented(NewUser))
async def add_one(
    user: str, hub: TheHub, who: AnyCaller, where: Where, wanted: Annotated[NewUser, Depends(body(NewUser))]
) -> dict[str, Any]:
    """Make a user, for an account that the machine has. Takes the scope `admin:users`."""
    who.demand_for(user, "admin:users")
    return user_model(await _add(hub, who, user, admin=wanted.admin), [], where, who.grants)


@routes.patch("/users/{user}", openapi_extra=documented(UserChange))
def change(
    hub: TheHub,
    to: Annotated[Target, Depends(target("admin:users"))],
    where: Where,
    wanted: Annotated[UserChange, Depends(body(UserChange))],
) -> dict[str, Any]:
    """Make a user administrator, or take that back. Names can't be changed."""
    if wanted.name is not None and users.key(wanted.name) != to.user.name_key:
        raise BadApiRequest(reason="names of users can't be changed")
    user = to.user
    if wanted.admin is not None:
        user = users.set_admin(hub.db, user.name, wanted.admin, to.caller.user.name)
    return shown(hub, user, where, to.caller.grants, include_stopped=True)


@routes.delete("/users/{user}", status_code=204)
async def remove(hub: TheHub, to: Annotated[Target, Depends(target("delete:users"))]) -> Response:
    """Stop a user's servers and forget the user. The account of the machine and its files stay."""
    if to.user.id == to.caller.user.id:
        raise BadApiRequest(reason="you can't remove yourself")
    servers = await run_in_threadpool(rows.of_users, hub.db, [to.user.id])
    for server in servers[to.user.id]:
        if is_active(server):
            await hub.runner.stop(server.id)
    await requests.request_remove_user(hub.db, hub.runner, to.user.name, to.caller.user.name)
    return Response(status_code=204)
