"""Do one round of an amend: send the absolute target, look what became of it, send it again or give it up."""

from __future__ import annotations

import logging
from typing import Final

from clients.exchanges.trading import AmendWay
from services.orders.domain import AmendTarget, Cause, Order
from services.orders.domain.events import AmendDropped, AmendUncertain
from services.orders.engine.amend_ways import way_of
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, Fate, judge
from services.orders.guards.guards import Guards
from services.orders.journal.ledger import OrderLedger
from services.orders.ports import Ports
from services.orders.reconciliation.arrival import SETTLE_NS, ServerClocks
from services.orders.reconciliation.asking import Asking
from services.orders.reconciliation.replacements import ReplaceStep
from services.orders.venues import Venue

logger = logging.getLogger(__name__)

AGAIN_NS: Final = 1_500_000_000
"""An accepted amend may take a moment to show before it is sent once more."""


class AmendStep:
    """Absolute targets may be repeated; relative ones are never used. What cannot be amended in its place is replaced."""

    def __init__(
        self,
        ledger: OrderLedger,
        intake: ReportIntake,
        guards: Guards,
        clocks: ServerClocks,
        ports: Ports,
        asking: Asking,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._guards = guards
        self._clocks = clocks
        self._ports = ports
        self._asking = asking
        self._replacements = ReplaceStep(ledger, intake, guards, clocks, ports, asking)
        self._sent: dict[str, tuple[AmendTarget, int]] = {}

    async def step(self, venue: Venue, order: Order) -> None:
        """Do one round for an order with an open amend, or one that is between two orders at the exchange."""
        target = order.amending
        if order.replacement is not None or target is None or await self._replaces(venue, order, target):
            await self._replacements.step(venue, order)
            return
        sent = self._sent.get(order.order_id)
        first = sent is None or not _same(sent[0], target)
        due = first or (sent is not None and self._ports.monotonic_ns() - sent[1] >= AGAIN_NS)
        blocked = self._guards.still_open(order.exchange)
        if due and not blocked and self._ports.wall_ns() < target.until_ns and not (first and target.uncertain):
            if await self._send(venue, order, target):
                return
        elif first:
            # Uncertain from an earlier process: look before anything is repeated.
            self._sent[order.order_id] = (target, self._ports.monotonic_ns())
        await self._look(venue, order, target, blocked)

    def forget(self, order_id: str) -> None:
        """Drop what is remembered of an order that is not followed any more."""
        self._sent.pop(order_id, None)
        self._replacements.forget(order_id)

    async def _replaces(self, venue: Venue, order: Order, target: AmendTarget) -> bool:
        capabilities = venue.trading.capabilities(await venue.instrument(order.symbol))
        return way_of(capabilities, order, target.quantity, target.price) is AmendWay.REPLACES

    async def _send(self, venue: Venue, order: Order, target: AmendTarget) -> bool:
        """Send the target; return whether that settled it."""
        self._sent[order.order_id] = (target, self._ports.monotonic_ns())
        left_s = (target.until_ns - self._ports.wall_ns()) / 1e9
        instrument = await venue.instrument(order.symbol)
        try:
            report = await venue.trading.amend(
                instrument,
                client_order_id=order.venue_client_order_id,
                exchange_order_id=order.exchange_order_id,
                side=order.side,
                quantity=target.quantity - order.filled_before,
                price=target.price,
                deadline_s=left_s,
            )
        except Exception as exc:  # noqa: BLE001  what is not certain is looked at
            return await self._failed(venue, order, target, judge(exc))
        after = await self._intake.absorb(order.order_id, report, Cause.ANSWER)
        return after.amending is None

    async def _failed(self, venue: Venue, order: Order, target: AmendTarget, failure: Failure) -> bool:
        if failure.fate is Fate.NOT_DONE:
            return False
        if failure.fate is Fate.LOST:
            lost = AmendUncertain(failure.text, failure.expires_server_ns)
            await self._ledger.change(
                order.order_id, lambda now: lost if _open(now, target) else None, Cause.ANSWER, raw=failure.raw
            )
            return False
        # Refused. "Nothing would change" is such a refusal, too, so the exchange is asked whether the target is reached.
        found = await self._asking.ask(venue, order)
        if not isinstance(found, Failure):
            await self._intake.absorb(order.order_id, found, Cause.QUERY)
            await self._drop(order, target, failure.text, failure.raw)
            return True
        if not target.uncertain:
            await self._drop(order, target, failure.text, failure.raw)
        return True

    async def _look(self, venue: Venue, order: Order, target: AmendTarget, blocked: str) -> None:
        asked_ns = await self._clocks.earliest_ns(venue, order.market)
        found = await self._asking.ask(venue, order)
        if isinstance(found, Failure):
            return
        after = await self._intake.absorb(order.order_id, found, Cause.QUERY)
        now = after.amending
        if now is None or not _same(now, target):
            return
        over = self._ports.wall_ns() >= now.until_ns or bool(blocked)
        if over and await self._cannot_come(venue, order, now, asked_ns):
            await self._drop(order, now, blocked or "its time has passed, and the exchange does not show it", b"")

    async def _cannot_come(self, venue: Venue, order: Order, target: AmendTarget, asked_ns: int | None) -> bool:
        if not target.uncertain:
            return True
        instrument = await venue.instrument(order.symbol)
        bound = venue.trading.capabilities(instrument).arrival
        if bound is None:
            return self._ports.wall_ns() > target.until_ns + SETTLE_NS
        shown_ns = await self._clocks.shown_by_ns(
            venue, order.market, bound, expires_server_ns=target.expires_server_ns, sent_until_ns=target.until_ns
        )
        return shown_ns is not None and asked_ns is not None and asked_ns > shown_ns

    async def _drop(self, order: Order, target: AmendTarget, text: str, raw: bytes) -> None:
        await self._ledger.change(
            order.order_id, lambda now: AmendDropped(text) if _open(now, target) else None, Cause.ANSWER, raw=raw
        )


def _open(order: Order, target: AmendTarget) -> bool:
    return order.amending is not None and _same(order.amending, target)


def _same(one: AmendTarget, other: AmendTarget) -> bool:
    """Whether two are the same request, whatever became known of it meanwhile."""
    return (one.quantity, one.price, one.until_ns) == (other.quantity, other.price, other.until_ns)
