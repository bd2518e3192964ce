"""`midstream price`: prices of exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clients.exchanges.names import EXCHANGES
from services.cli.commands.arguments import Json
from services.cli.connecting import connecting

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings


@connecting
def price(
    channel: ChannelSettings,
    symbols: Annotated[
        list[str], typer.Argument(metavar="SYMBOL", help="Unified symbols: BTC/USDT, BTC/USDT:USDT, BTC/USD:BTC.")
    ],
    exchange: Annotated[str, typer.Option(help=f"{', '.join(EXCHANGES)}, or any: the first that can tell.")] = "any",
    max_age_ms: Annotated[int, typer.Option(min=0, help="Oldest value to accept; 0 is the server's default.")] = 0,
    json: Json = False,
) -> None:
    """Ask the price server for prices of exchanges."""
    from services.cli.price_command import run_price

    raise typer.Exit(run_price(symbols, exchange=exchange, max_age_ms=max_age_ms, as_json=json, channel=channel))
