"""The orders server: the desk with its journal and its exchanges behind two faces."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Final

import grpc

from clients.database import DatabaseRefused, DatabaseUnavailable, named_url, open_database, opening, shown_url
from protos.orders.v1.orders_pb2_grpc import add_OrderServiceServicer_to_server
from services.orders.auth import SERVICE, SignedRequests, orders_needs
from services.orders.auth.floors import DatabaseFloors
from services.orders.auth.stamps import Stamps
from services.orders.config import OrdersSettings
from services.orders.desk import Desk, DeskOptions
from services.orders.exchanges import OrderExchanges
from services.orders.journal import DatabaseJournal, JournalUnavailable, UnreadableRecord, prepare_orders_database
from services.orders.metrics import OrdersMetrics
from services.orders.ports import Ports
from services.orders.rest import orders_app
from services.orders.rest.gate import ROUTES
from services.orders.servicer import DeskRoom, OrdersServicer
from services.runtime.access.build import Access
from services.runtime.access.keys import pepper_of, prepare_keys
from services.runtime.descriptors import descriptor_budget
from services.runtime.errors import StartPostponed, StartRefused
from services.runtime.log_fields import fields
from services.runtime.refusal_pace import RefusalPace
from services.runtime.server import HealthBoard, Service, process_metrics, process_ssl_context, run_server
from services.runtime.settings import load
from services.runtime.tasks import end_task
from services.runtime.web import WebFace, WebLimits

logger = logging.getLogger(__name__)

MEASURE_S: Final = 0.5
WEB_SETTING: Final = "MIDSTREAM_ORDERS_WEB_PORT"
ALWAYS: Final = ("/v1/kill-switch", "/health")
"""Answered however many other requests are under way: what stops trading, and what tells that it goes on."""
ALWAYS_ADMITTED: Final = ("SetKillSwitch", "GetKillSwitch", "CancelOrder", "CancelOrders")
"""What an operator needs most when something floods the server."""


class OrdersServer(Service):
    """Wires everything; starts it in the order in which the parts need each other."""

    names: Sequence[str] = (SERVICE,)
    always_admitted = tuple(f"/{SERVICE}/{method}" for method in ALWAYS_ADMITTED)
    steps_aside = True

    def __init__(self, settings: OrdersSettings) -> None:
        self._settings = settings
        self._ports = Ports()
        self._engine = open_database(settings.database_url, application="orders")
        self._journal = DatabaseJournal(self._engine)
        self.needs = orders_needs(settings.calls_per_second)
        self._access: Access | None = None
        # So that `midstream keys` finds them from wherever it is called with the same MIDSTREAM_OUT.
        self.announces = {
            "keys_database": named_url(settings.keys_database_url),
            "keys_secret": str(pepper_of(settings)),
        }
        self._servicer = OrdersServicer(self._ports)
        self.rooms = {f"/{SERVICE}/PlaceOrder": DeskRoom(self._servicer)}
        self._metrics = OrdersMetrics(process_metrics().registry)
        self._exchanges: OrderExchanges | None = None
        self._desk: Desk | None = None
        self._health: HealthBoard | None = None
        self._pace = RefusalPace()
        self._pace.count_in(process_metrics(), "rest")
        self._face: WebFace | None = None
        self._measuring: asyncio.Task[None] | None = None

    def use_access(self, access: Access) -> None:
        self._access = access

    def register(self, server: grpc.aio.Server) -> None:
        add_OrderServiceServicer_to_server(self._servicer, server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._open_journal()
        self._exchanges = await OrderExchanges.open(self._settings, process_metrics().registry)
        desk = self._desk = Desk(
            self._journal, self._exchanges.venues, _options(self._settings), self._ports, observer=self._metrics
        )
        self._exchanges.listen(desk.freshness.called)
        try:
            await desk.start()
        except UnreadableRecord as exc:
            raise StartRefused(f"the journal holds what cannot be read: {exc.message}") from exc
        except JournalUnavailable as exc:
            raise StartPostponed(f"the journal cannot be read now: {exc}") from exc
        self._servicer.desk = desk
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGUSR1, desk.switch.trip, "the signal SIGUSR1 was received", "signal"
        )
        self._measuring = asyncio.create_task(self._measure(desk), name="measure-orders")
        access = self._access
        assert access is not None
        assert access.keys is not None
        signatures = SignedRequests(
            access.gate,
            access.keys,
            access.costs,
            Stamps(DatabaseFloors(self._engine), wall_ns=self._ports.wall_ns),
            wall_ns=self._ports.wall_ns,
        )
        app = orders_app(
            desk,
            access.http,
            signatures,
            self._ports,
            registry=process_metrics().registry,
            docs=self._settings.docs,
            pace=self._pace,
        )
        self._face = WebFace(
            app,
            host=self._settings.host,
            port=self._settings.web_port,
            setting=WEB_SETTING,
            tls=process_ssl_context(self._settings),
            limits=WebLimits.of(self._settings, descriptor_budget().web),
            metrics=process_metrics(),
            routes=ROUTES,
            hosts=self._settings.web_hosts,
            first=ALWAYS,
        )
        self.web_port = await self._face.start()
        logger.info(
            "order desk ready",
            extra=fields(
                mode=self._settings.trading,
                exchanges=desk.venues.names,
                web_port=self.web_port,
                journal=shown_url(self._settings.database_url),
            ),
        )

    async def run(self) -> int:
        """Return when another server has taken over the journal."""
        assert self._desk is not None
        await self._desk.ledger.superseded.wait()
        logger.error("another orders server has taken over the journal: this one ends")
        return 1

    async def stop(self) -> None:
        self._pace.end()
        if self._face is not None:
            await self._face.stop()
        await end_task(self._measuring)
        if self._desk is not None:
            await self._desk.stop()
        if self._exchanges is not None:
            await self._exchanges.close()
        await self._journal.close()
        await self._engine.dispose()

    async def _open_journal(self) -> None:
        shown = shown_url(self._settings.database_url)
        try:
            with opening():
                await prepare_orders_database(self._engine)
                if self.announces["keys_database"] == named_url(self._settings.database_url):
                    # Keys elsewhere are prepared by whoever makes them.
                    await prepare_keys(self._engine, pepper_of(self._settings), now_ns=self._ports.wall_ns())
                await self._journal.open()
        except (JournalUnavailable, DatabaseUnavailable) as exc:
            reason = exc.reason if isinstance(exc, DatabaseUnavailable) else str(exc)
            if isinstance(exc, DatabaseUnavailable) and exc.lasts:
                raise _journal_refused(shown, reason) from exc
            raise StartPostponed(f"the journal {shown} cannot be opened now: {reason}") from exc
        except DatabaseRefused as exc:
            raise _journal_refused(shown, str(exc)) from exc

    async def _measure(self, desk: Desk) -> None:
        while True:
            self._metrics.refresh(desk, self._ports)
            if self._health is not None:
                trouble = desk.ledger.trouble
                self._health.set(SERVICE, not trouble, trouble)
            await asyncio.sleep(MEASURE_S)


def _journal_refused(shown: str, reason: str) -> StartRefused:
    return StartRefused(f"the journal {shown} cannot be opened: {reason}; mend that, or set MIDSTREAM_DATABASE_URL")


def _options(settings: OrdersSettings) -> DeskOptions:
    return DeskOptions(
        mode=settings.mode,
        limits=settings.limits,
        kill_file=settings.kill_file or settings.out / "orders-kill-switch",
        dead_man=settings.dead_man,
        symbols=settings.symbols,
        reconcile_s=settings.reconcile_s,
        loss_max=settings.loss_max,
        stale_kill_s=settings.stale_kill_s,
    )


def main() -> int:
    settings = load(OrdersSettings)
    return run_server("orders", settings, OrdersServer(settings))
