"""What there is to ask for at Bybit: which lists together hold everything of an account, and whom their rows are about."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.markets import INVERSE, LINEAR, MARKETS, NAME, SPOT, Market
from clients.exchanges.bybit.rows import Row
from clients.exchanges.errors import CallerMustAct
from clients.logs import fields

logger = logging.getLogger(__name__)

Parameters = tuple[tuple[str, str], ...]


async def lists(client: BybitClient) -> Sequence[tuple[Market, Parameters]]:
    """Return the lists that together hold everything: that of linear has to be asked for by coin."""
    coins = await _coins(client, LINEAR)
    return [
        (MARKETS[SPOT], (("category", SPOT),)),
        *((MARKETS[LINEAR], (("category", LINEAR), ("settleCoin", coin))) for coin in coins),
        (MARKETS[INVERSE], (("category", INVERSE),)),
    ]


async def cancels(client: BybitClient) -> Sequence[dict[str, str]]:
    """Return the cancels that together reach everything: those of contracts go by coin."""
    found = [{"category": SPOT}]
    for market in (LINEAR, INVERSE):
        found += [{"category": market, "settleCoin": coin} for coin in await _coins(client, market)]
    return found


async def symbol_of(client: BybitClient, market: Market, row: Row) -> str:
    """Return the unified symbol; the exchange's own for an instrument that is not listed any more, so that no order gets lost."""
    exchange_symbol = str(row.get("symbol", ""))
    try:
        return (await client.instruments.by_exchange_symbol(market.name, exchange_symbol)).symbol
    except CallerMustAct:
        logger.warning(
            "row about an instrument that is not listed",
            extra=fields(exchange=NAME, market=market.name, symbol=exchange_symbol[:32]),
        )
        return exchange_symbol


async def _coins(client: BybitClient, market: str) -> Sequence[str]:
    """Return the coins that contracts of a market settle in."""
    instruments = await client.instruments.all()
    return sorted({made.settle for made in instruments.values() if made.market == market})
