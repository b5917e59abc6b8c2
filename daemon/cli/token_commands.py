"""``sweepd token``: the commands about the tokens of the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.commands import Json, app

if TYPE_CHECKING:
    from daemon.cli.tokens import Tokens

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The token file; server.tokens_file of the configuration if left out."),
]
token = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of the HTTP API.")
app.add_typer(token, name="token")


@token.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose it is, as journal and log will say; several may have one name.")],
    scope: Annotated[list[str], typer.Option(metavar="SCOPE", help="read, delete or admin; again for more.")],
    expires: Annotated[str | None, typer.Option(metavar="DURATION", help="Until when it is good, such as 90d.")] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a token. It is printed once, and only its hash is kept."""
    from daemon.cli import tokens

    wanted = tokens.terms(name, scope, expires)
    tokens.create(_open(context, file), *wanted, as_json=as_json)


@token.command("list")
def show(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """List the tokens there are, those of the configuration too, without their secrets."""
    from daemon.cli import tokens

    tokens.show(_open(context, file), as_json=as_json)


@token.command()
def revoke(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME|ID...", help="All tokens of a name, or one by its id.")],
    file: File = None,
    as_json: Json = False,
) -> None:
    """Revoke tokens. A running daemon refuses them within a second."""
    from daemon.cli import tokens

    tokens.revoke(_open(context, file), names, as_json=as_json)


def _open(context: typer.Context, file: Path | None) -> Tokens:
    from daemon.cli.tokens import Tokens
    from daemon.config import load_config

    if file is not None:
        return Tokens(file.absolute())
    server = load_config(context.obj).server
    if server.tokens_file is None:
        raise typer.BadParameter("there is no token file: give --file, or set server.tokens_file", param_hint="--file")
    return Tokens(server.tokens_file, tuple(server.tokens))
