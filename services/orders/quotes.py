"""Prices for the guards: from the exchange's stream where it has one, so that a burst of orders costs no requests."""

from __future__ import annotations

from collections.abc import Mapping

from clients.exchanges.client import ExchangeClient
from clients.exchanges.model import Instrument, Price, Quote, ServerTime
from clients.resilience.ports import WallNs
from services.runtime.exchanges.latest_quotes import LatestQuotes


class StreamedMarket:
    """The market data of one exchange; whatever is asked for is streamed from then on."""

    def __init__(self, client: ExchangeClient, latest: LatestQuotes, *, wall_ns: WallNs, fresh_s: float) -> None:
        """A streamed quote younger than `fresh_s` is given as it is; an older one may only mean that nothing happened: it is asked for."""
        self._client = client
        self._latest = latest
        self._wall_ns = wall_ns
        self._fresh_ns = round(fresh_s * 1e9)

    async def get_quote(self, symbol: str) -> Quote:
        self._latest.want(symbol)
        quote = self._latest.quotes.get(symbol)
        if quote is not None and 0 <= self._wall_ns() - quote.receive_time_ns <= self._fresh_ns:
            return quote
        return await self._client.get_quote(symbol)

    async def get_price(self, symbol: str) -> Price:
        return await self._client.get_price(symbol)

    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        return await self._client.get_instruments(refresh=refresh)

    def known_instrument(self, symbol: str) -> Instrument | None:
        return self._client.known_instrument(symbol)

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        self._client.recall(market, exchange_symbol, symbol)

    async def get_server_time(self, market: str | None = None) -> ServerTime:
        return await self._client.get_server_time(market)

    async def ping(self, market: str | None = None) -> float:
        return await self._client.ping(market)
