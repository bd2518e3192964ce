"""Compare an exchange's books with ours: at the start, every 30 seconds, and after every gap of the user stream."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from clients.exchanges.errors import CallerMustAct
from clients.exchanges.model import Instrument
from clients.exchanges.trading import Fill, OrderReport, Position
from services.orders.domain import Cause, Order
from services.orders.engine.intake import ReportIntake
from services.orders.guards.gate import TradingGate
from services.orders.guards.positions import PositionBook, is_spot
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import JournalUnavailable
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.reconciliation.arrival import ServerClocks
from services.orders.reconciliation.freshness import FreshnessTracker
from services.orders.reconciliation.repeats import Repeats
from services.orders.venues import CLIENT_ERRORS, Venue
from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

EVERY_S: Final = 30.0
FIRST_AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits between attempts until the first one succeeds: nothing can be traded meanwhile."""
OVERLAP_NS: Final = 300_000_000_000
"""How far each look goes back behind the one before: exchanges' histories lag, and clocks differ."""
EMPTY_JOURNAL_NS: Final = 3600_000_000_000
LOOK_BACK_MAX_NS: Final = 7 * 24 * 3600_000_000_000
UNLISTED_NS: Final = 900_000_000_000
"""How long what has ended is compared: its settlement has shown by then."""
QUIET_TRIES: Final = 3
TOLD_S: Final = 1.0
"""How long an execution may be part of a position before it is told of."""
QUERIES_AT_ONCE: Final = 4


class Reconciler:
    """One exchange. Its success opens the trading gate; its failure never closes an order."""

    def __init__(
        self,
        venue: Venue,
        ledger: OrderLedger,
        intake: ReportIntake,
        positions: PositionBook,
        gate: TradingGate,
        freshness: FreshnessTracker,
        ports: Ports,
        observer: DeskObserver,
        clocks: ServerClocks,
        *,
        query: Callable[[Order], Awaitable[Order]],
        symbols: Iterable[str] = (),
        every_s: float = EVERY_S,
    ) -> None:
        self._venue = venue
        self._ledger = ledger
        self._intake = intake
        self._positions = positions
        self._gate = gate
        self._freshness = freshness
        self._ports = ports
        self._observer = observer
        self._clocks = clocks
        self._query = query
        self._symbols = set(symbols)
        self._every_s = every_s
        self._asked = asyncio.Event()
        self._since_ns: int | None = None
        self._repeats: defaultdict[str, Repeats] = defaultdict(Repeats)
        self._unlisted_ns: dict[str, int] = {}
        """Since when what is traded there is known not to be listed any more."""
        self._lock = asyncio.Lock()

    def ask(self) -> None:
        """Do the next one now."""
        self._asked.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        failures = 0
        while True:
            self._asked.clear()
            succeeded = await self.once()
            failures = 0 if succeeded else failures + 1
            first = self._since_ns is None
            wait_s = FIRST_AGAIN_S[min(failures - 1, len(FIRST_AGAIN_S) - 1)] if failures else self._every_s
            if not first:
                await self._ports.wait(self._asked, min(wait_s, self._every_s))
            else:
                await self._ports.sleep(wait_s)

    async def once(self) -> bool:
        """Compare once; return whether everything was compared."""
        exchange = self._venue.exchange
        async with self._lock:
            begun_ns = self._ports.wall_ns()
            try:
                await self._compare(begun_ns)
            except (*CLIENT_ERRORS, MidstreamError, JournalUnavailable) as exc:
                logger.warning("reconciliation failed", extra=fields(exchange=exchange, error=exc))
                self._gate.failed(exchange, str(exc)[:300])
                self._freshness.failed(exchange, str(exc)[:300])
                self._observer.reconciled(exchange, False)
                return False
            except Exception as exc:
                # Everything: a statement that nobody expected must not end the comparisons for good.
                logger.exception("reconciliation failed", extra=fields(exchange=exchange))
                self._gate.failed(exchange, f"unexpected {type(exc).__name__}")
                self._freshness.failed(exchange, f"unexpected {type(exc).__name__}")
                self._observer.reconciled(exchange, False)
                return False
            self._since_ns = begun_ns
            self._gate.reconciled(exchange)
            self._freshness.reconciled(exchange)
            self._observer.reconciled(exchange, True)
            return True

    async def _compare(self, now_ns: int) -> None:
        instruments = await self._venue.market.get_instruments()
        since_ns = await self._look_back_from(now_ns)
        differs = False
        for attempt in range(QUIET_TRIES):
            executions = self._positions.executions
            asked_ns = {market: await self._exchange_ns(market) for market in self._markets(instruments)}
            positions = await self._venue.trading.positions()
            open_reports = await self._venue.trading.open_orders()
            for report in open_reports:
                await self._intake.take(report, Cause.RECONCILIATION)
            if attempt == 0:
                await self._ask_for_missing(open_reports, now_ns)
            if attempt == 0 or differs:
                symbols = await self._symbols_of(open_reports, positions)
                for symbol in sorted(symbols & instruments.keys()):
                    await self._sweep(instruments[symbol], since_ns)
                for symbol in sorted(symbols - instruments.keys()):
                    await self._sweep_unlisted(symbol, since_ns, now_ns)
            if self._positions.executions == executions:
                # Nothing was executed between the exchange's statement and the end of the sweep: it can be taken as it is.
                differs = bool(self._positions.differences(self._venue.exchange, list(positions)))
                if not differs or attempt == QUIET_TRIES - 1:
                    self._take_positions(positions, asked_ns)
                    return
                # An execution of this moment may be in there, and not yet among those that are told.
                await self._ports.sleep(TOLD_S)
        logger.info("positions not compared, too much is executed", extra=fields(exchange=self._venue.exchange))

    def _markets(self, instruments: Mapping[str, Instrument]) -> set[str]:
        """Markets whose instruments have positions that an exchange states."""
        return {one.market for one in instruments.values() if not is_spot(one.symbol)}

    async def _exchange_ns(self, market: str) -> int:
        earliest_ns = await self._clocks.earliest_ns(self._venue, market)
        return self._ports.wall_ns() if earliest_ns is None else earliest_ns

    def _take_positions(self, positions: Iterable[Position], asked_ns: Mapping[str, int]) -> None:
        differences = self._positions.state(
            self._venue.exchange, list(positions), self._ports.wall_ns(), exchange_ns=asked_ns
        )
        if differences:
            logger.error("positions differ", extra=fields(exchange=self._venue.exchange, differences=differences))
            self._observer.positions_differ(self._venue.exchange, differences)

    async def _ask_for_missing(self, reports: Iterable[OrderReport], now_ns: int) -> None:
        """Ask for every order that we believe open and the exchange does not list: absent is not unfilled."""
        listed = {(report.market, report.exchange_order_id) for report in reports}
        missing = [
            order
            for order in self._ledger.open_orders
            if order.exchange == self._venue.exchange
            and order.state.live
            and order.updated_ns < now_ns
            and (order.market, order.exchange_order_id) not in listed
        ]
        room = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def ask(order: Order) -> None:
            async with room:
                await self._query(order)

        await asyncio.gather(*(ask(order) for order in missing))

    async def _symbols_of(self, reports: Iterable[OrderReport], positions: Iterable[Position]) -> set[str]:
        """Instruments worth a look: configured, traded before, with open orders or a position now."""
        traded = {row.symbol for row in await self._ledger.store.traded() if row.exchange == self._venue.exchange}
        return (
            self._symbols
            | traded
            | {report.symbol for report in reports}
            | {position.symbol for position in positions if position.quantity}
        )

    async def _sweep_unlisted(self, symbol: str, since_ns: int, now_ns: int) -> None:
        """Look for the end of what an exchange does not list any more: a while, or as long as something of it is open.

        That it may not be asked about any more is no reason to trade nothing else.
        """
        instrument = self._venue.market.known_instrument(symbol)
        if instrument is None:
            return
        first_ns = self._unlisted_ns.setdefault(symbol, now_ns)
        open_still = any(
            (order.exchange, order.symbol) == (self._venue.exchange, symbol) for order in self._ledger.open_orders
        )
        if now_ns - first_ns > UNLISTED_NS and not open_still:
            return
        try:
            await self._sweep(instrument, since_ns)
        except CallerMustAct as exc:
            logger.warning("instrument that has ended not compared", extra=fields(symbol=symbol, error=exc))

    async def _sweep(self, instrument: Instrument, since_ns: int) -> None:
        """Take every order and execution since the last look, as far as that did not."""
        end_ns = self._ports.wall_ns()
        repeats = self._repeats[instrument.symbol]
        repeats.begin()
        for report in await self._venue.trading.orders_between(instrument, start_ns=since_ns, end_ns=end_ns):
            if not repeats.repeats(report):
                repeats.taken(report, await self._intake.take(report, Cause.RECONCILIATION))
        for fill in await self._venue.trading.fills(instrument, start_ns=since_ns, end_ns=end_ns):
            if not repeats.repeats_fill(fill):
                await self._take_fill(instrument, fill)
                repeats.taken_fill(fill)

    async def _take_fill(self, instrument: Instrument, fill: Fill) -> None:
        if await self._intake.take_fill(fill, Cause.RECONCILIATION) is not None:
            return
        # An order created before the range, by somebody else.
        report = await self._venue.trading.query(instrument, exchange_order_id=fill.exchange_order_id)
        await self._intake.take(report, Cause.RECONCILIATION)
        await self._intake.take_fill(fill, Cause.RECONCILIATION)

    async def _look_back_from(self, now_ns: int) -> int:
        if self._since_ns is not None:
            return self._since_ns - OVERLAP_NS
        last = await self._ledger.store.last_sequence()
        since_ns = now_ns - EMPTY_JOURNAL_NS
        if last:
            async for kept in self._ledger.store.events(after_sequence=last - 1):
                since_ns = kept.event.at_ns
        since_ns = min([since_ns, *(order.created_ns for order in self._ledger.open_orders)])
        return max(since_ns - OVERLAP_NS, now_ns - LOOK_BACK_MAX_NS)
