"""The exchanges of the price server: opened, streamed, reported."""

from __future__ import annotations

import time

import redis.asyncio

from services.price.config import PriceSettings
from services.price.exchanges.desk import DeskOptions, PriceDesk
from services.runtime.exchanges.latest_quotes import LatestQuotes, newest_age_ms
from services.runtime.exchanges.opened import OpenExchanges, open_exchanges, shared_limiter
from services.runtime.exchanges.publisher import StatusPublisher
from services.runtime.exchanges.watcher import ExchangeMetrics, GroupStatus
from services.runtime.server import process_metrics


class PricedExchanges:
    """Everything that prices of exchanges need, closed together."""

    def __init__(self, exchanges: OpenExchanges, settings: PriceSettings, client: redis.asyncio.Redis) -> None:
        self._exchanges = exchanges
        self._quotes = {
            name: LatestQuotes(each, pinned=settings.price_streams, monotonic_ns=time.monotonic_ns)
            for name, each in exchanges.clients.items()
        }
        options = DeskOptions(fresh_ms=settings.price_fresh_ms, max_age_ms=settings.price_max_age_ms)
        self.desk = PriceDesk(exchanges.clients, self._quotes, wall_ns=time.time_ns, options=options)
        self._publisher = StatusPublisher(client, "price", self._statuses, wall_ns=time.time_ns)

    @classmethod
    async def open(cls, settings: PriceSettings, client: redis.asyncio.Redis) -> PricedExchanges:
        """Open the exchanges that the settings name, and begin to stream and to report. Raises Refused."""
        exchanges = await open_exchanges(
            settings.exchanges_used,
            metrics=ExchangeMetrics(process_metrics().registry),
            make_limiter=shared_limiter(client),
        )
        opened = cls(exchanges, settings, client)
        for quotes in opened._quotes.values():
            quotes.start()
        opened._publisher.start()
        return opened

    async def close(self) -> None:
        await self._publisher.stop()
        for quotes in self._quotes.values():
            await quotes.stop()
        await self._exchanges.close()

    async def _statuses(self) -> list[GroupStatus]:
        return await self._exchanges.statuses(lambda name: newest_age_ms(self._quotes, name, time.monotonic_ns()))
