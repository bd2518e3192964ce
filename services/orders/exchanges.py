"""The exchanges of the orders server: opened for a trading mode, or refused."""

from __future__ import annotations

import logging
import time

import redis.asyncio
from prometheus_client import REGISTRY, CollectorRegistry

from services.orders.config import OrdersSettings
from services.orders.domain import TradingMode
from services.orders.quotes import StreamedMarket
from services.orders.venues import Venue, Venues
from services.runtime.connection import connect_async
from services.runtime.errors import StartRefused
from services.runtime.exchanges.latest_quotes import LatestQuotes, newest_age_ms
from services.runtime.exchanges.opened import OpenExchanges, open_exchanges, shared_limiter
from services.runtime.exchanges.publisher import StatusPublisher
from services.runtime.exchanges.watcher import ExchangeMetrics, GroupStatus, OnAnswer

logger = logging.getLogger(__name__)


class OrderExchanges:
    """The open exchanges, and where it is reported; closed together."""

    def __init__(self, exchanges: OpenExchanges, client: redis.asyncio.Redis | None, settings: OrdersSettings) -> None:
        self._exchanges = exchanges
        self._quotes = {
            name: LatestQuotes(each, pinned=settings.symbols, monotonic_ns=time.monotonic_ns)
            for name, each in exchanges.clients.items()
        }
        self._client = client
        self._publisher = (
            StatusPublisher(client, "orders", self.statuses, wall_ns=time.time_ns) if client is not None else None
        )
        self.venues = Venues(
            [Venue(name, opened.trading(), self._market(name, settings)) for name, opened in exchanges.by_name.items()]
        )

    @classmethod
    async def open(cls, settings: OrdersSettings, registry: CollectorRegistry = REGISTRY) -> OrderExchanges:
        """Open the exchanges that the settings name. Raises StartRefused when one has no key and the mode needs it."""
        client = connect_async(settings.redis_url, client_name="midstream-orders") if settings.redis_url else None
        metrics = ExchangeMetrics(registry)
        if client is not None:
            exchanges = await open_exchanges(
                settings.exchanges_used, metrics=metrics, make_limiter=shared_limiter(client), trading=True
            )
        else:
            exchanges = await open_exchanges(settings.exchanges_used, metrics=metrics, trading=True)
        opened = cls(exchanges, client, settings)
        unsigned = [name for name, exchange in exchanges.by_name.items() if not exchange.signed]
        if settings.mode is not TradingMode.DRY_RUN and unsigned:
            await opened.close()
            name = unsigned[0].upper()
            raise StartRefused(
                f"MIDSTREAM_TRADING={settings.trading} needs a key of {unsigned[0]}: set MIDSTREAM_{name}_API_KEY and "
                f"MIDSTREAM_{name}_API_SECRET, or leave it out of MIDSTREAM_ORDERS_EXCHANGES (simulators print their demo keys)"
            )
        for quotes in opened._quotes.values():
            quotes.start()
        if opened._publisher is not None:
            opened._publisher.start()
        return opened

    def listen(self, listener: OnAnswer) -> None:
        """Tell `listener` of every attempt at an exchange from now on."""
        self._exchanges.listen(listener)

    async def statuses(self) -> list[GroupStatus]:
        """Return how every endpoint group of every exchange is."""
        return await self._exchanges.statuses(lambda name: newest_age_ms(self._quotes, name, time.monotonic_ns()))

    def _market(self, name: str, settings: OrdersSettings) -> StreamedMarket:
        # Half of the age that orders accept: what is older is asked for before it is too old.
        fresh_s = settings.price_age_max_s / 2
        return StreamedMarket(self._exchanges.clients[name], self._quotes[name], wall_ns=time.time_ns, fresh_s=fresh_s)

    async def close(self) -> None:
        """Close clients, limits and connections."""
        if self._publisher is not None:
            await self._publisher.stop()
        for quotes in self._quotes.values():
            await quotes.stop()
        await self._exchanges.close()
        if self._client is not None:
            await self._client.aclose()
