"""terakoya user: who may use this place."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terakoya.commands.common import AsJson, ConfigPath, actor, ago, answer, database, print_json, settings, table

if TYPE_CHECKING:
    from terakoya.db.models import User

app = typer.Typer(help="Users: add, list, disable, make administrator, remove.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.", show_default=False)]


def facts(user: User) -> dict[str, Any]:
    """A user for scripts. Times are seconds since 1970."""
    return {
        "name": user.name,
        "account": user.os_name,
        "admin": user.admin,
        "disabled": user.disabled_at is not None,
        "created": user.created_at,
        "last_activity": user.last_activity,
    }


@app.command()
def add(
    name: Name,
    account: Annotated[str | None, typer.Option(help="The account of this machine, if its name is another.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make it an administrator.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Add a user, who may then sign in whatever the rule for entering says."""
    import pwd

    from terakoya.accounts import users
    from terakoya.errors import NoSystemAccount

    found = settings(config)
    with database(found) as db:
        try:
            uid = pwd.getpwnam(account or name).pw_uid
        except (KeyError, ValueError):
            uid = -1
        minimum = 0 if found.personal else found.accounts.minimum_uid
        users.check_name(name)
        if uid < minimum:
            raise NoSystemAccount(name=account or name, minimum_uid=minimum)
        user = users.add(db, name, account, admin, actor())
    answer(facts(user), as_json=as_json, text=f"Added [bold]{user.name}[/].")


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
    state: Annotated[str, typer.Option(help="running, inactive, failed, disabled or enabled.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 10000,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List users."""
    from terakoya.accounts import users

    with database(settings(config)) as db:
        found, total = users.find(db, search=search, state=state, limit=limit)
    if as_json:
        print_json([facts(user) for user in found])
        return
    rows = [
        (user.name, user.os_name, "administrator" if user.admin else "", "disabled" if user.disabled_at else "",
         ago(user.last_activity))
        for user in found
    ]  # fmt: skip
    table(["Name", "Account", "Role", "State", "Last active"], rows, empty="There are no such users.")
    if len(found) < total:
        typer.echo(f"{total - len(found)} more; use --search or --limit.")


@app.command()
def disable(name: Name, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Keep a user out: every sign-in ends now, and the servers are stopped."""
    from terakoya.accounts import users

    with database(settings(config)) as db:
        user = users.disable(db, name, actor())
    answer(facts(user), as_json=as_json, text=f"[bold]{user.name}[/] is disabled; running servers are being stopped.")


@app.command()
def enable(name: Name, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Let a disabled user in again."""
    from terakoya.accounts import users

    with database(settings(config)) as db:
        user = users.enable(db, name, actor())
    answer(facts(user), as_json=as_json, text=f"[bold]{user.name}[/] may sign in again.")


@app.command()
def admin(
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Take the right away.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a user an administrator, or no longer one."""
    from terakoya.accounts import users

    with database(settings(config)) as db:
        user = users.set_admin(db, name, not off, actor())
    now = "is no administrator any more" if off else "is an administrator"
    answer(facts(user), as_json=as_json, text=f"[bold]{user.name}[/] {now}.")


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Forget a user: sign-ins, tokens and servers. The account of the machine and its files stay."""
    from terakoya.accounts import users

    with database(settings(config)) as db:
        user = users.get(db, name)
        if not yes and not as_json:
            typer.confirm(f"Forget {user.name}? Files and the account of the machine stay.", abort=True)
        users.remove(db, user.name, actor())
    answer({"name": user.name, "removed": True}, as_json=as_json, text=f"[bold]{user.name}[/] is removed.")


@app.command()
def link(
    name: Annotated[str, typer.Argument(help="The user's name; without one, the link that `terakoya up` prints.")] = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a link that signs a user in once, within 15 minutes, without a password."""
    from terakoya.accounts import links

    found = settings(config)
    with database(found) as db:
        url = links.sign_in(db, found, name) if name else links.first(db, found, pwd.getpwuid(os.getuid()).pw_name)
    if not url:
        raise typer.BadParameter("Name the user to sign in; this place has its administrator already.")
    if as_json:
        print_json({"name": name, "link": url, "seconds": links.SECONDS})
    else:
        typer.echo(url)
