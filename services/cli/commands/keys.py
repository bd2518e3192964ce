"""`midstream keys`: API keys of all servers."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.arguments import Json
from services.cli.commands.shape import Command

keys = typer.Typer(help="API keys of all servers.", no_args_is_help=True)


@keys.command("create", cls=Command)
def keys_create(
    role: Annotated[str, typer.Option(help="read, control, trade or admin, or several: control,trade.")],
    name: Annotated[str, typer.Option(help="Whose key it is, for lists and the audit.")] = "desk",
    owner: Annotated[str, typer.Option(help="Keys of one owner see the same orders; the name by default.")] = "",
    expires: Annotated[str, typer.Option(help="When it ends: 90d, 12h or 2027-01-31. Never by default.")] = "",
    signed_only: Annotated[bool, typer.Option("--signed-only", help="Only for signed requests.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make the database where there is none yet.")] = False,
    json: Json = False,
) -> None:
    """Make a key and print it; it is not shown again. The database is the one that the orders server's settings name."""
    from services.cli.keys_command import NewKey, run_create

    wanted = NewKey(name=name, role=role, owner=owner, expires=expires, signed_only=signed_only)
    raise typer.Exit(run_create(wanted, may_create=create, as_json=json))


@keys.command("list", cls=Command)
def keys_list(json: Json = False) -> None:
    """List the keys, without their secrets."""
    from services.cli.keys_command import run_list

    raise typer.Exit(run_list(as_json=json))


@keys.command("revoke", cls=Command)
def keys_revoke(
    key_id: Annotated[str | None, typer.Argument(metavar="KEY_ID", help="As `keys list` names it.")] = None,
    unreadable: Annotated[
        bool, typer.Option("--unreadable", help="All keys whose secret beside the database is lost.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a key unusable; running servers end its streams, too."""
    from services.cli.keys_command import run_revoke

    raise typer.Exit(run_revoke(key_id, unreadable=unreadable, as_json=json))
