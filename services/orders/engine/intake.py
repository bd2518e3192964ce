"""Take the exchanges' reports of orders, from wherever they come, into the ledger."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from weakref import WeakValueDictionary

from clients.exchanges.trading import Fill, OrderReport
from services.orders.domain import Body, Cause, Folded, Order, TradingMode
from services.orders.domain.events import Discovered, Executed, Halted
from services.orders.domain.legs import leg_named
from services.orders.domain.statements import ended_as, ended_by, fill_body, is_delivery, mismatch, news
from services.orders.journal.ledger import OrderLedger
from services.orders.observer import DeskObserver
from services.orders.venues import Venues
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


class ReportIntake:
    """Finds the order that a statement is about, compares it with what we sent, and journals what is new."""

    def __init__(self, ledger: OrderLedger, venues: Venues, mode: TradingMode, observer: DeskObserver) -> None:
        self._ledger = ledger
        self._venues = venues
        self._mode = mode
        self._observer = observer
        self._discovering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, report: OrderReport, cause: Cause) -> Order:
        """Take a statement about any order of the account; one that is not ours becomes an external order."""
        order = await self._ledger.by_venue_ids(
            report.exchange, report.market, report.client_order_id, report.exchange_order_id
        )
        if order is None:
            order = await self._discover(report, cause)
        return await self.absorb(order.order_id, report, cause)

    async def absorb(self, order_id: str, report: OrderReport, cause: Cause) -> Order:
        """Take a statement about one order. A statement that contradicts what was sent halts the order, loudly."""

        def decide(order: Order) -> Body | Folded | None:
            problem = mismatch(order, report)
            if not problem:
                return news(order, report)
            return None if order.halted else Halted(problem)

        before = await self._ledger.get(order_id)
        after = await self._ledger.change(order_id, decide, cause, raw=report.raw)
        if before is not None and before.state.terminal and not after.state.terminal:
            logger.critical(
                "order is there after all",
                extra=fields(
                    order=after.order_id,
                    exchange=after.exchange,
                    exchange_order_id=after.exchange_order_id,
                    state=after.state,
                    state_before=before.state,
                    reason_before=before.settled or before.reason,
                ),
            )
            self._observer.came_back(after)
        if after.halted and (before is None or not before.halted):
            logger.critical(
                "order halted", extra=fields(order=after.order_id, exchange=after.exchange, problem=after.halted)
            )
            self._observer.halted(after)
        return after

    async def take_fill(self, fill: Fill, cause: Cause) -> Order | None:
        """Take one execution; None when no order of it is known (then its order has to be asked for)."""
        order = await self._ledger.by_venue_ids(
            fill.exchange, fill.market, fill.client_order_id, fill.exchange_order_id
        )
        if order is None:
            return None
        body = fill_body(fill)

        def decide(now: Order) -> Body | None:
            if body.trade_id in now.trade_ids:
                return None
            return Executed(body, leg_named(now, fill.client_order_id, fill.exchange_order_id))

        return await self._ledger.change(order.order_id, decide, cause)

    async def _discover(self, report: OrderReport, cause: Cause) -> Order:
        # An id made of the exchange's: whoever discovers it first, it is one order.
        name = (
            f"{report.exchange}\n{report.market}\n{report.symbol}\n{report.exchange_order_id or report.client_order_id}"
        )
        order_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        lock = self._discovering.get(order_id)
        if lock is None:
            lock = self._discovering[order_id] = asyncio.Lock()
        async with lock:
            known = await self._ledger.get(order_id)
            if known is not None:
                return known
            order = await self._ledger.create(order_id, await self._discovered(report), cause, raw=report.raw)
        told = {
            "order": order_id,
            "exchange": order.exchange,
            "symbol": order.symbol,
            "exchange_order_id": order.exchange_order_id,
            "state": order.state,
        }
        if is_delivery(report):
            # Nobody has traded: what was held has come to its end, as everybody knew.
            logger.info("position closed at the end of its contract", extra=fields(**told))
            return order
        logger.warning("external order found", extra=fields(**told))
        self._observer.external_found(order)
        return order

    async def _discovered(self, report: OrderReport) -> Discovered:
        venue = self._venues.get(report.exchange)
        instruments = await venue.market.get_instruments() if venue is not None else {}
        instrument = instruments.get(report.symbol) or (
            venue.market.known_instrument(report.symbol) if venue is not None else None
        )
        return Discovered(
            exchange=report.exchange,
            market=report.market,
            symbol=report.symbol,
            exchange_symbol=instrument.exchange_symbol if instrument is not None else "",
            exchange_order_id=report.exchange_order_id,
            venue_client_order_id=report.client_order_id,
            side=report.side,
            type=report.type,
            time_in_force=report.time_in_force,
            mode=self._mode,
            state=ended_as(report),
            raw_state=report.raw_state[:64],
            quantity=report.quantity,
            price=report.price or None,
            filled=report.filled_quantity,
            average_price=report.average_price or None,
            update_time_ns=report.update_time_ns,
            reason=report.reason[:500],
            ended_by=ended_by(report),
        )
