"""The exchanges of the price server: opened, streamed, reported."""

from __future__ import annotations

import time

import redis.asyncio

from services.price.config import PriceSettings
from services.price.exchanges.desk import DeskOptions, PriceDesk
from services.runtime.exchanges import (
    ExchangeMetrics,
    ExchangeRoom,
    GroupStatus,
    StatusPublisher,
    open_exchanges,
    shared_limiter,
)
from services.runtime.exchanges.quote_book import QuoteBook, newest_age_ms
from services.runtime.server import process_metrics


class PricedExchanges:
    """Everything that prices of exchanges need, closed together."""

    def __init__(self, room: ExchangeRoom, settings: PriceSettings, client: redis.asyncio.Redis) -> None:
        self._room = room
        self._books = {
            name: QuoteBook(each, pinned=settings.price_streams, monotonic_ns=time.monotonic_ns)
            for name, each in room.clients.items()
        }
        options = DeskOptions(fresh_ms=settings.price_fresh_ms, max_age_ms=settings.price_max_age_ms)
        self.desk = PriceDesk(room.clients, self._books, wall_ns=time.time_ns, options=options)
        self._publisher = StatusPublisher(client, "price", self._statuses, wall_ns=time.time_ns)

    @classmethod
    async def open(cls, settings: PriceSettings, client: redis.asyncio.Redis) -> PricedExchanges:
        """Open the exchanges that the settings name, and begin to stream and to report. Raises Refused."""
        room = await open_exchanges(
            settings.price_exchanges,
            metrics=ExchangeMetrics(process_metrics().registry),
            make_limiter=shared_limiter(client),
        )
        opened = cls(room, settings, client)
        for book in opened._books.values():
            book.start()
        opened._publisher.start()
        return opened

    async def close(self) -> None:
        await self._publisher.stop()
        for book in self._books.values():
            await book.stop()
        await self._room.close()

    async def _statuses(self) -> list[GroupStatus]:
        return await self._room.statuses(lambda name: newest_age_ms(self._books, name, time.monotonic_ns()))
