"""The order desk: everything that both faces offer, in one object that knows neither gRPC nor HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import clients.tracing as tracing
from clients.exchanges.model import Instrument, Price
from clients.exchanges.trading import Capabilities
from services.orders.domain import Cause, Order, TradingMode
from services.orders.domain.events import AmendUncertain, AnswerLost
from services.orders.engine.changing import WAIT_S, Amended, Cancelled, Changer
from services.orders.engine.commands import AmendCommand, Caller, PlaceCommand, SettleCommand
from services.orders.engine.feed import ChangeFeed
from services.orders.engine.intake import ReportIntake
from services.orders.engine.placing import KEY_LIFE_NS, Placed, Placer
from services.orders.engine.routing import Router
from services.orders.errors import Reason, denied
from services.orders.filters import exchange_filter, kind_filter, symbol_filter
from services.orders.guards.gate import TradingGate
from services.orders.guards.guards import Guards
from services.orders.guards.kill_switch import KillSwitch
from services.orders.guards.limits import Limits
from services.orders.guards.line import PlacementLine
from services.orders.guards.positions import Held, Key, PositionBook
from services.orders.guards.prices import PriceGuard
from services.orders.guards.rate import OrderRate
from services.orders.journal.ledger import Change, OrderLedger
from services.orders.journal.store import (
    FillFilter,
    FillRow,
    JournalStore,
    JournalUnavailable,
    Kept,
    OrderFilter,
    SwitchRow,
)
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.recalled import recall_instruments
from services.orders.reconciliation.arrival import ServerClocks
from services.orders.reconciliation.follower import Follower
from services.orders.reconciliation.freshness import Freshness, FreshnessTracker
from services.orders.reconciliation.listener import StreamListener
from services.orders.reconciliation.reconciler import EVERY_S, Reconciler
from services.orders.reconciliation.settling import SettledOrder, Settler
from services.orders.safety.dead_man import DeadMan
from services.orders.safety.watchdog import Watchdog
from services.orders.spot_positions import load_spot_positions
from services.orders.venues import CLIENT_ERRORS, Venues
from services.runtime.access.state_changes import note
from services.runtime.errors import MidstreamError, StartRefused
from services.runtime.log_fields import fields
from services.runtime.patience import step_aside
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEYS_SWEEP_S: Final = 3600.0


@dataclass(frozen=True)
class DeskOptions:
    """An operator's decisions about a desk."""

    mode: TradingMode = TradingMode.DRY_RUN
    limits: Limits = field(default_factory=Limits)
    kill_file: Path | None = None
    dead_man: bool = True
    symbols: Sequence[str] = ()
    """Unified symbols that reconciliation looks at even if nothing was traded in them."""
    reconcile_s: float = EVERY_S
    loss_max: Decimal | None = None
    stale_kill_s: float = 0.0


class Desk:
    """Owns the parts and their tasks. `start` loads the journal and begins to follow what was left open; `stop` leaves nothing running."""

    def __init__(
        self,
        store: JournalStore,
        venues: Venues,
        options: DeskOptions,
        ports: Ports,
        *,
        observer: DeskObserver | None = None,
    ) -> None:
        self.options = options
        self.venues = venues
        self._store = store
        self._ports = ports
        self.ledger = OrderLedger(store, ports)
        self.switch = KillSwitch(store, ports, file=options.kill_file)
        self.gate = TradingGate(options.mode, self.switch, monotonic_ns=ports.monotonic_ns)
        self.positions = PositionBook()
        self.freshness = FreshnessTracker(monotonic_ns=ports.monotonic_ns)
        self.feed = ChangeFeed(store)
        prices = PriceGuard(wall_ns=ports.wall_ns, age_max_s=options.limits.price_age_max_s)
        rate = OrderRate(options.limits.orders_per_second, monotonic_ns=ports.monotonic_ns)
        self.guards = Guards(options.limits, self.gate, prices, self.positions, self.ledger, rate)
        observer = observer or DeskObserver()
        self._observer = observer
        self.intake = ReportIntake(self.ledger, venues, options.mode, observer)
        router = Router(venues, self.guards, prices)
        self.line = PlacementLine(
            monotonic_ns=ports.monotonic_ns, on_refused=lambda error: observer.denied("place", error)
        )
        self.placer = Placer(
            self.ledger,
            venues,
            self.guards,
            router,
            self.intake,
            ports,
            options.mode,
            observer,
            # The two need each other: what is placed may have to be followed, and what is followed sent again.
            on_unsettled=lambda order_id: self.follower.follow(order_id),
            line=self.line,
        )
        clocks = ServerClocks(ports)
        self.follower = Follower(self.ledger, venues, self.intake, self.guards, clocks, self.placer, ports)
        self.changer = Changer(
            self.ledger, venues, self.guards, ports, self.follower.follow, self.follower.cancel_unjournalled
        )
        self.settler = Settler(self.ledger, venues, self.intake, self.changer, self.placer, self.follower.asking, ports)
        self.switch.on_engage(self.placer.stop_sending)
        self.ledger.listen(self.positions.follow)
        self.ledger.listen(self.feed.publish)
        self.ledger.listen(self._changed)
        self.ledger.listen(observer.changed)
        self.reconcilers = {
            venue.exchange: Reconciler(
                venue,
                self.ledger,
                self.intake,
                self.positions,
                self.gate,
                self.freshness,
                ports,
                observer,
                clocks,
                query=self.follower.query_now,
                symbols=options.symbols,
                every_s=options.reconcile_s,
            )
            for venue in venues
        }
        self.watchdog = Watchdog(
            self.ledger,
            venues,
            prices,
            self.switch,
            ports,
            loss_max=options.loss_max,
            stale_kill_s=options.stale_kill_s,
        )
        self.ledger.listen(self.watchdog.follow)
        self.dead_men = {venue.exchange: DeadMan(venue, self.ledger, ports, observer) for venue in venues}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load the journal, follow what is unsettled, and begin to listen and to reconcile. Raises StartRefused."""
        await self.switch.open()
        await self.ledger.open()
        self._check_modes()
        await recall_instruments(self._store, self.ledger, self.venues)
        await load_spot_positions(self._store, self.ledger, self.positions, self._ports)
        await self._recover()
        self._begin(self._sweep_keys(), "idempotency-keys")
        if self.options.mode is TradingMode.DRY_RUN:
            return
        if self.watchdog.needed:
            self._begin(self.watchdog.run(), "watchdog")
        for venue in self.venues:
            reconciler = self.reconcilers[venue.exchange]
            listener = StreamListener(venue, self.intake, self.freshness, self._ports, on_gap=reconciler.ask)
            self._begin(listener.run(), f"user-stream-{venue.exchange}")
            self._begin(reconciler.run(), f"reconcile-{venue.exchange}")
            if self.options.dead_man:
                self._begin(self.dead_men[venue.exchange].run(), f"dead-man-{venue.exchange}")

    async def stop(self) -> None:
        """Let what is in flight come to an outcome, then stop everything."""
        await self.placer.close()
        await self.follower.close()
        await asyncio.gather(*(end_task(task) for task in self._tasks))
        self._tasks.clear()
        await self.switch.close()
        await self.ledger.close()

    async def place(self, command: PlaceCommand, caller: Caller, *, deadline_ns: int | None = None) -> Placed:
        """Place an order, or return the one that its key has placed already; begin nothing after the deadline (monotonic)."""
        note(exchange=command.exchange, symbol=command.symbol)
        # Many steps, and many orders: calls that are let in, refused or urgent go before each of them.
        step_aside()
        with tracing.span("place order", attributes={"midstream.exchange": command.exchange}):
            placed = await self._counted("place", self.placer.place(command, caller, deadline_ns=deadline_ns))
            tracing.annotate("midstream.order_id", placed.order.order_id)
            tracing.annotate("midstream.order_state", str(placed.order.state))
        _note_order(placed.order, repeated=placed.repeated)
        return placed

    async def amend(self, command: AmendCommand, caller: Caller, *, wait_s: float = WAIT_S) -> Amended:
        """Amend an order and wait for the confirmation."""
        note(order=command.order_id)
        amended = await self._counted("amend", self.changer.amend(command, caller, wait_s=wait_s))
        _note_order(amended.order, already=amended.already)
        return amended

    async def cancel(self, order_id: str, caller: Caller, *, wait_s: float = WAIT_S) -> Cancelled:
        """Cancel an order and wait for the confirmation."""
        note(order=order_id)
        cancelled = await self.changer.cancel(order_id, caller, wait_s=wait_s)
        if cancelled.order is not None:
            _note_order(cancelled.order, confirmed=cancelled.confirmed)
        return cancelled

    async def cancel_many(
        self,
        caller: Caller,
        *,
        order_ids: Sequence[str] = (),
        all_: bool = False,
        exchange: str = "",
        symbol: str = "",
        wait_s: float = WAIT_S,
    ) -> list[Cancelled]:
        """Cancel several orders, or all open ones of the caller that match."""
        if all_ == bool(order_ids):
            raise denied(Reason.BAD_FIELD, "or `all` is required, and not both", field="order_ids")
        if not all_ and (exchange or symbol):
            raise denied(Reason.BAD_FIELD, "and `symbol` go with `all`, and not with `order_ids`", field="exchange")
        if all_:
            order_ids = [order.order_id for order in self.active(caller, exchange=exchange, symbol=symbol)]
        note(orders=list(order_ids), all=all_, exchange=exchange, symbol=symbol)
        cancelled = await self.changer.cancel_many(order_ids, caller, wait_s=wait_s)
        note(confirmed=sum(one.confirmed for one in cancelled))
        return cancelled

    async def settle(self, command: SettleCommand, caller: Caller) -> SettledOrder:
        """Take an operator's word about an order that is UNKNOWN."""
        note(order=command.order_id)
        if self.options.mode is TradingMode.DRY_RUN:
            raise denied(Reason.ORDER_CLOSED, "nothing is sent in dry-run, so nothing is unknown")
        settled = await self._counted("settle", self.settler.settle(command, caller))
        _note_order(settled.order, already=settled.already)
        return settled

    async def get(
        self,
        caller: Caller,
        *,
        order_id: str = "",
        client_order_id: str = "",
        exchange_order_id: str = "",
        exchange: str = "",
        refresh: bool = False,
    ) -> Order:
        """Return one order by any of its ids; with `refresh` after asking the exchange, if that answers."""
        if sum(map(bool, (order_id, client_order_id, exchange_order_id))) != 1:
            raise denied(
                Reason.BAD_FIELD,
                ", `client_order_id` or `exchange_order_id`: exactly one is required",
                field="order_id",
            )
        if not order_id:
            exchange = exchange_filter(exchange)
            wanted = OrderFilter(
                owner=caller.sees,
                client_order_ids=(client_order_id,) if client_order_id else (),
                exchange_order_ids=(exchange_order_id,) if exchange_order_id else (),
                exchange=exchange,
                limit=1,
            )
            found = await self._find(wanted)
            order_id = found[0].order_id if found else client_order_id or exchange_order_id
        order = await self.changer.visible(order_id, caller)
        return (
            await self.follower.query_now(order) if refresh and self.options.mode is not TradingMode.DRY_RUN else order
        )

    async def find(self, caller: Caller, wanted: OrderFilter) -> list[Order]:
        """Return matching orders that the caller may see, oldest first."""
        return await self._find(replace(wanted, owner=caller.sees))

    def active(self, caller: Caller, *, exchange: str = "", symbol: str = "") -> list[Order]:
        """Return orders that are not terminal, from memory: an exchange or a journal that is down changes nothing about them."""
        exchange, symbol = exchange_filter(exchange), symbol_filter(symbol)
        return [order for order in self.ledger.open_orders if caller.wants(order, exchange=exchange, symbol=symbol)]

    def sources(self, exchange: str = "") -> list[Freshness]:
        """Say how fresh `active` is, per exchange."""
        exchange = exchange_filter(exchange)
        return [self.freshness.of(name) for name in self.venues.names if not exchange or name == exchange]

    async def fills(self, caller: Caller, wanted: FillFilter) -> list[FillRow]:
        """Return executions that the caller may see, oldest first."""
        try:
            return await self._store.fills(replace(wanted, owner=caller.sees))
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, str(exc)) from exc

    def held(self, exchange: str = "") -> list[tuple[Key, Held]]:
        """Return positions, sorted."""
        exchange = exchange_filter(exchange)
        return sorted((key, held) for key, held in self.positions.all().items() if not exchange or key[0] == exchange)

    async def instruments(
        self, *, exchange: str = "", base: str = "", kind: str = ""
    ) -> list[tuple[Instrument, Capabilities]]:
        """Return instruments with what their markets can do to orders, sorted by exchange and symbol."""
        exchange, kind, base = exchange_filter(exchange), kind_filter(kind), base.upper()
        found: list[tuple[Instrument, Capabilities]] = []
        for venue in [self.venues.named(exchange)] if exchange else self.venues:
            try:
                listed = await venue.market.get_instruments()
            except CLIENT_ERRORS as exc:
                raise denied(Reason.PRICE_MISSING, f"{venue.exchange} does not list its instruments: {exc}") from exc
            found += [
                (instrument, venue.trading.capabilities(instrument))
                for instrument in listed.values()
                if (not base or instrument.base == base) and (not kind or instrument.kind.value == kind)
            ]
        return sorted(found, key=lambda one: (one[0].exchange, one[0].symbol))

    async def price(self, exchange: str, symbol: str) -> Price:
        """Return an exchange's price of a symbol; without an exchange the first one's that has it."""
        problem: Exception | None = None
        for venue in [self.venues.named(exchange)] if exchange else self.venues:
            try:
                await venue.instrument(symbol)
                return await venue.market.get_price(symbol)
            except CLIENT_ERRORS as exc:
                problem = denied(Reason.PRICE_MISSING, f"{venue.exchange} gives no price of {symbol}: {exc}")
            except Exception as exc:  # noqa: BLE001  kept and raised when no other exchange has the symbol
                problem = exc
        raise problem or denied(Reason.UNKNOWN_EXCHANGE, "is required: none is configured", field="exchange")

    async def audit(self, *, after_sequence: int = 0, order_id: str = "") -> AsyncIterator[Kept]:
        """Yield journal events up to the newest one. Raises OutOfRange, before anything is yielded, for a place behind it."""
        await self.feed.check_place(after_sequence)
        async for kept in self._store.events(after_sequence=after_sequence, order_id=order_id):
            yield kept

    async def set_switch(self, engaged: bool, reason: str, caller: Caller) -> SwitchRow:
        """Throw or release the kill switch."""
        note(engaged=engaged, reason=reason)
        if not reason.strip():
            raise denied(Reason.BAD_FIELD, "is required: say why", field="reason")
        try:
            return await self.switch.set(engaged, reason, caller.name)
        except JournalUnavailable as exc:
            state = "it is engaged, but not durable yet" if engaged else "it is not released"
            raise denied(Reason.JOURNAL, f"{state}: {exc}") from exc

    def blocked(self) -> dict[str, str]:
        """Say per exchange why nothing goes out; exchanges that are open are left out."""
        found = {name: self.gate.blocked(name) for name in self.venues.names}
        return {name: problem for name, problem in found.items() if problem}

    async def _find(self, wanted: OrderFilter) -> list[Order]:
        try:
            return await self._store.find(wanted)
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, str(exc)) from exc

    def _changed(self, change: Change) -> None:
        if not change.order.unsettled:
            self.follower.settled(change.order.order_id)
        elif change.before is not None and change.before.state.terminal:
            # It is there after all, and was to be cancelled.
            self.follower.follow(change.order.order_id)

    def _check_modes(self) -> None:
        """Orders of another mode are at another exchange: asking this one for them would prove what is not true."""
        strangers = [order for order in self.ledger.open_orders if order.mode is not self.options.mode]
        if strangers:
            raise StartRefused(
                f"the journal holds {len(strangers)} open orders of mode {strangers[0].mode}, and MIDSTREAM_TRADING is "
                f"{self.options.mode}: start it in that mode, or name another database in MIDSTREAM_DATABASE_URL"
            )

    async def _recover(self) -> None:
        """Whatever was on its way when the last process ended may have arrived."""
        lost = AnswerLost("the server ended while it was being sent")
        unsure = AmendUncertain("the server ended while it was being sent")
        for order in self.ledger.open_orders:
            if order.sending:
                await self.ledger.change(order.order_id, lambda now: lost, Cause.RESTART)
            if order.amending is not None and not order.amending.uncertain:
                await self.ledger.change(order.order_id, lambda now: unsure, Cause.RESTART)
            newest = self.ledger.known(order.order_id)
            if newest is not None and newest.unsettled:
                self.follower.follow(order.order_id)

    async def _sweep_keys(self) -> None:
        while True:
            await self._ports.sleep(KEYS_SWEEP_S)
            try:
                await self._store.forget_keys(before_ns=self._ports.wall_ns() - KEY_LIFE_NS)
            except JournalUnavailable as exc:
                logger.warning("idempotency keys not swept", extra=fields(reason=exc))

    async def _counted(self, operation: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except MidstreamError as exc:
            self._observer.denied(operation, exc)
            raise

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))


def _note_order(order: Order, **more: bool) -> None:
    """Say in the call's log line which order it was about, and what became of that."""
    note(order=order.order_id, exchange=order.exchange, symbol=order.symbol, state=order.state, **more)
