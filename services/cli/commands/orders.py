"""`midstream orders`: orders of the orders server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.arguments import Json
from services.cli.commands.shape import Command
from services.cli.connecting import connecting

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

orders = typer.Typer(help="Orders of the orders server.", no_args_is_help=True)


@orders.command("settle", cls=Command)
@connecting
def orders_settle(
    channel: ChannelSettings,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="An order that is UNKNOWN.")],
    reason: Annotated[str, typer.Option(help="How you know, for the audit.")],
    key_file: Annotated[
        str,
        typer.Option(
            help="File with a key of role admin; `-` reads it from standard input. Without it MIDSTREAM_API_KEY."
        ),
    ] = "",
    not_there: Annotated[
        bool, typer.Option("--not-there", help="You have looked: the exchange does not have it.")
    ] = False,
    exchange_order_id: Annotated[str, typer.Option(help="The exchange has it, under this id.")] = "",
    evidence: Annotated[
        str, typer.Option(help="Where that can be looked up again, for the audit: a ticket, a file, an address.")
    ] = "",
    json: Json = False,
) -> None:
    """Say how an order is that the server cannot find out about."""
    from services.cli.orders_command import run_settle

    code = run_settle(
        order_id,
        not_there=not_there,
        exchange_order_id=exchange_order_id,
        reason=reason,
        evidence=evidence,
        key_file=key_file,
        as_json=json,
        channel=channel,
    )
    raise typer.Exit(code)
