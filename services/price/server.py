"""The price server: serves what its engine writes and publishes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

import grpc

from services.price.config import PriceSettings
from services.price.exchanges.answers import ExchangePrices
from services.price.mids_tail import MidsTail
from services.price.servicer import PriceServicer
from services.runtime.connection import connect_async
from services.runtime.engine_process import EngineProcess
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.session.keys import SessionKeys
from services.runtime.settings import load

if TYPE_CHECKING:
    from services.price.exchanges.opened import PricedExchanges

SERVICE: Final = "midstream.price.v1.PriceService"
ENGINE_STOP_S: Final = 4.0
"""Time the engine gets to commit; below the grace period that supervisors give a server."""


class PriceServer(Service):
    """Serves while the engine consumes and the mids can be read; its engine runs in a child process."""

    names: Sequence[str] = (SERVICE,)

    def __init__(self, settings: PriceSettings) -> None:
        self._settings = settings
        self._health: HealthBoard | None = None
        self._metrics = process_metrics()
        self._engine_trouble = "the engine is starting"
        self._mids_trouble = "the mids stream has not been read yet" if settings.mids else ""
        self._engine_pid = 0
        self._engine_starts = 0
        self._client = connect_async(settings.redis_url, client_name=f"midstream-price-{settings.sink}-server")
        self._tail: MidsTail | None = None
        if settings.mids:
            self._tail = MidsTail(
                self._client, SessionKeys(settings.session), random=Random(), on_trouble=self._on_mids_trouble
            )
        self._prices = ExchangePrices()
        self._servicer = PriceServicer(
            session=settings.session, tail=self._tail, metrics=self._metrics, exchange_prices=self._prices
        )
        self._exchanges: PricedExchanges | None = None
        self._engine: EngineProcess | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        self._show_health()
        self._engine = EngineProcess("services.price.engine", self._settings.engine_config(), on_report=self._on_report)
        await self._engine.start()
        if self._tail is not None:
            await self._tail.start()
        if self._settings.price_exchanges:
            # Imported here: a replay without exchanges does not pay for their clients.
            from services.price.exchanges.opened import PricedExchanges

            self._exchanges = await PricedExchanges.open(self._settings, self._client)
            self._prices.desk = self._exchanges.desk

    async def run(self) -> int:
        assert self._engine is not None
        return await self._engine.run()

    async def stop(self) -> None:
        if self._engine is not None:
            await self._engine.stop(ENGINE_STOP_S)
        if self._exchanges is not None:
            await self._exchanges.close()
        if self._tail is not None:
            await self._tail.stop()
        await self._client.aclose()

    def _on_report(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "started":
                self._engine_pid = int(report["pid"])
                self._engine_starts += 1
                if self._engine_starts > 1:
                    self._metrics.add("midstream_engine_restarts_total")
            case "consuming":
                self._engine_trouble = ""
            case "standby" | "connecting":
                self._engine_trouble = str(report["reason"])
            case "stopped":
                self._engine_trouble = str(report["message"])
            case "exited":
                # What it said before it ended tells more than that it ended.
                self._engine_trouble = self._engine_trouble or f"the engine ended with code {report['code']}"
            case "progress":
                self._servicer.committed_sequence = int(report["sequence"])
                self._metrics.take(report["figures"], origin=str(self._engine_pid))
        self._show_health()

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
