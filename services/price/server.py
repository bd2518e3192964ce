"""The price server: serves what its engine writes and publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import grpc

from services.price.config import PriceSettings
from services.price.created_sinks import CreatedSinks
from services.price.exchanges.answers import ExchangePrices
from services.price.followed_sinks import FollowedSinks
from services.price.priced_sessions import PricedSessions
from services.price.servicer import PriceServicer
from services.runtime.connection import connect_async
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load
from services.runtime.unreadable import Unreadable

if TYPE_CHECKING:
    from services.price.exchanges.opened import PricedExchanges

SERVICE: Final = "midstream.price.v1.PriceService"


class PriceServer(Service):
    """Serves while the engine consumes and the mids can be read."""

    names: Sequence[str] = (SERVICE,)
    listing_methods = (f"/{SERVICE}/StreamMidPrices", f"/{SERVICE}/ComputeMidPrices")

    def __init__(self, settings: PriceSettings) -> None:
        self._settings = settings
        self._health: HealthBoard | None = None
        self._client = connect_async(settings.redis_url, client_name=f"midstream-price-{settings.sink}-server")
        metrics = process_metrics()
        unreadable = Unreadable(metrics)
        self._prices = ExchangePrices()
        self._own = FollowedSinks(
            settings,
            self._client,
            settings.session,
            metrics=metrics,
            unreadable=unreadable,
            on_trouble=self._show_health,
            on_several=lambda why: sessions.streamed.end(settings.session, why),
            mids_unread="the mids stream has not been read yet",
        )
        sessions = PricedSessions(self._own.priced)
        self._created = CreatedSinks(settings, self._client, sessions, unreadable=unreadable, metrics=metrics)
        self._servicer = PriceServicer(sessions, metrics=metrics, exchange_prices=self._prices)
        self._exchanges: PricedExchanges | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._own.start(self._settings.out)
        self._created.start()
        if self._settings.exchanges_used:
            # Imported here: a replay without exchanges does not pay for their clients.
            from services.price.exchanges.opened import PricedExchanges

            self._exchanges = await PricedExchanges.open(self._settings, self._client)
            self._prices.desk = self._exchanges.desk

    async def run(self) -> int:
        return await self._own.run()

    async def stop(self) -> None:
        await asyncio.gather(self._own.stop(), self._created.stop())
        if self._exchanges is not None:
            await self._exchanges.close()
        await self._client.aclose()

    def _show_health(self, trouble: str) -> None:
        if self._health is not None:
            self._health.set(SERVICE, not trouble, trouble)


def main() -> int:
    settings = load(PriceSettings)
    return run_server("price", settings, PriceServer(settings))
