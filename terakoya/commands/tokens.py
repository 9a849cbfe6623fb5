"""terakoya token: keys for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from terakoya.commands.common import AsJson, ConfigPath, ago, answer, database, print_json, settings, table, until

if TYPE_CHECKING:
    from terakoya.db.models import Token

app = typer.Typer(help="Keys for scripts: make, list, remove.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name.", show_default=False)]


def facts(token: Token) -> dict[str, Any]:
    """A token for scripts, without its value, which nobody has any more. Times are seconds since 1970."""
    names = ("id", "note", "scopes", "created_at", "expires_at", "last_activity")
    return {name: getattr(token, name) for name in names}


@app.command()
def make(
    name: Name,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    lifetime: Annotated[
        str, typer.Option(help='How long it is good, such as "12h" or "30d"; usually the longest.')
    ] = "",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; usually all that the user may.")] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; it is shown this once."""
    from terakoya import configfile
    from terakoya.accounts import tokens, users
    from terakoya.config import Duration
    from terakoya.errors import BadTokenRequest

    found = settings(config)
    try:
        seconds = configfile.convert(Duration, lifetime) if lifetime else None
    except ValueError as error:
        raise BadTokenRequest(reason=error) from None
    with database(found) as db:
        user = users.get(db, name)
        scopes = scope or ["inherit"]
        value, token = tokens.make(db, user.id, note, seconds, scopes, found.accounts.token_lifetime)
    if as_json:
        print_json({"token": value, **facts(token)})
    else:
        typer.echo(value)


@app.command("list")
def list_(name: Name, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List a user's tokens."""
    from terakoya.accounts import tokens, users

    with database(settings(config)) as db:
        found = tokens.listed(db, users.get(db, name).id)
    if as_json:
        print_json([facts(token) for token in found])
        return
    rows = [
        (token.id, token.note, ", ".join(token.scopes), ago(token.created_at), until(token.expires_at),
         ago(token.last_activity))
        for token in found
    ]  # fmt: skip
    table(["Id", "Note", "May do", "Made", "Ends", "Last used"], rows, empty=f"{name} has no tokens.")


@app.command()
def remove(
    name: Name,
    token: Annotated[int, typer.Argument(help="The id that `terakoya token list` shows.", show_default=False)],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Remove a token; it is refused from the next request on."""
    from terakoya.accounts import tokens, users

    with database(settings(config)) as db:
        tokens.remove(db, users.get(db, name).id, token)
    answer({"id": token, "removed": True}, as_json=as_json, text=f"Token {token} is removed.")
