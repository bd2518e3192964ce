"""The price server: serves what its engine writes and publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import grpc

from services.price.config import PriceSettings
from services.price.created_sinks import CreatedSinks
from services.price.exchanges.answers import ExchangePrices
from services.price.latest_mids import FollowedMids
from services.price.metrics import PRICE_FIGURES
from services.price.priced_sessions import PricedSession, PricedSessions
from services.price.servicer import PriceServicer
from services.runtime.connection import connect_async
from services.runtime.engine_host import EngineHost
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.session.keys import SessionKeys
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
        self._engine_trouble = "the engine is starting"
        self._mids_trouble = "the mids stream has not been read yet" if settings.mids else ""
        self._client = connect_async(settings.redis_url, client_name=f"midstream-price-{settings.sink}-server")
        keys = SessionKeys(settings.session)
        metrics = process_metrics()
        unreadable = Unreadable(metrics)
        self._mids = (
            FollowedMids.of(self._client, keys, on_trouble=self._on_mids_trouble, unreadable=unreadable)
            if settings.mids
            else None
        )
        self._prices = ExchangePrices()
        self._own = PricedSession(settings.session, self._mids)
        sessions = PricedSessions(self._own)
        self._created = CreatedSinks(settings, self._client, sessions, unreadable=unreadable, metrics=metrics)
        self._servicer = PriceServicer(sessions, metrics=metrics, exchange_prices=self._prices)
        self._engine = EngineHost(
            "services.price.engine",
            settings.engine_config(),
            metrics=metrics,
            figures=PRICE_FIGURES,
            on_trouble=self._on_engine_trouble,
            on_progress=self._on_progress,
        )
        self._exchanges: PricedExchanges | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._engine.start()
        if self._mids is not None:
            self._mids.tail.start()
        self._created.start()
        if self._settings.exchanges_used:
            # Imported here: a replay without exchanges does not pay for their clients.
            from services.price.exchanges.opened import PricedExchanges

            self._exchanges = await PricedExchanges.open(self._settings, self._client)
            self._prices.desk = self._exchanges.desk

    async def run(self) -> int:
        return await self._engine.run()

    async def stop(self) -> None:
        await asyncio.gather(self._engine.stop(), self._created.stop())
        if self._exchanges is not None:
            await self._exchanges.close()
        if self._mids is not None:
            await self._mids.tail.stop()
        await self._client.aclose()

    def _on_engine_trouble(self, reason: str) -> None:
        self._engine_trouble = reason
        self._show_health()

    def _on_progress(self, report: dict[str, Any]) -> None:
        self._own.committed_sequence = int(report["sequence"])

    def _on_mids_trouble(self, reason: str) -> None:
        self._mids_trouble = reason
        self._show_health()

    def _show_health(self) -> None:
        if self._health is not None:
            trouble = self._engine_trouble or self._mids_trouble
            self._health.set(SERVICE, not trouble, trouble)


def main() -> int:
    settings = load(PriceSettings)
    return run_server("price", settings, PriceServer(settings))
