"""Do one round of an amend that the exchange can only do by replacing the order: cancel it and place another one.

Never two are open: the new one goes out in one request with the cancel, and only counts if that succeeds (`TradingClient.replace`), or
by itself after the old one was seen to have ended, when a part of that was executed before. Never none is open in silence: between the
two the order is UNKNOWN, and it ends with a reason when nothing took its place. What each round does follows from the journal alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, Replaced, VenueOrder
from services.orders.domain import AmendTarget, Body, Cause, Order
from services.orders.domain.client_ids import REPLACEMENTS_MAX, client_id
from services.orders.domain.events import AmendDropped, AmendUncertain, ReplacementFailed, Replacing
from services.orders.domain.order import ZERO, Replacement
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, Fate, judge
from services.orders.guards.guards import Guards
from services.orders.journal.ledger import OrderLedger
from services.orders.ports import Ports
from services.orders.reconciliation.arrival import SETTLE_NS, Proof, ServerClocks
from services.orders.reconciliation.asking import Asking
from services.orders.venues import Venue
from services.runtime.faults import fault
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

AGAIN_NS: Final = 1_500_000_000
"""A request without an answer is looked for that long before it is repeated."""
MOVES_MAX: Final = 6
"""Steps that one round may take; the next round goes on."""
CANCEL_DEADLINE_S: Final = 5.0


class ReplaceStep:
    """One per follower. Every method that sends something returns whether the order has moved on and can be looked at again at once."""

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
        self._sent_ns: dict[str, int] = {}
        self._not_before_ns: dict[str, int] = {}
        self._proofs: dict[str, Proof] = {}

    def forget(self, order_id: str) -> None:
        """Drop what is remembered of an order that is not followed any more."""
        for memory in (self._sent_ns, self._not_before_ns, self._proofs):
            memory.pop(order_id, None)

    async def step(self, venue: Venue, order: Order) -> None:
        """Do one round for an order that is being replaced, or is to be."""
        for _ in range(MOVES_MAX):
            replacing = order.replacement
            if replacing is None:
                moved = await self._begin(order)
            elif replacing.ended:
                moved = await self._between(venue, order, replacing)
            elif order.canceling:
                return
            elif replacing.quantity is None:
                moved = await self._end_old(venue, order, replacing)
            else:
                moved = await self._together(venue, order, replacing)
            order = await self._ledger.get(order.order_id) or order
            if not moved or (order.amending is None and order.replacement is None):
                return

    # -- before the old one has ended --------------------------------------------------------------------------------------

    async def _begin(self, order: Order) -> bool:
        target = order.amending
        if target is None:
            return False
        blocked = self._guards.still_open(order.exchange)
        if self._ports.wall_ns() >= target.until_ns or _stopped(blocked):
            await self._drop(order, target, blocked or "its time to be sent has passed; nothing was sent")
            return False
        if blocked:
            return False
        if len(order.replaced) >= REPLACEMENTS_MAX:
            await self._drop(order, target, f"it was replaced {REPLACEMENTS_MAX} times already; place another order")
            return False
        untouched = order.filled == order.filled_before
        return await self._intend(order, target, target.quantity - order.filled if untouched else None)

    async def _intend(self, order: Order, target: AmendTarget, quantity: Decimal | None) -> bool:
        """Journal what may be sent from now on, if the order still is as it was when that was decided."""
        body = Replacing(client_id(order.order_id, len(order.replaced) + 1), target.price, target.until_ns, quantity)

        def decide(now: Order) -> Body | None:
            same = (now.filled, now.state, now.replaced, now.replacement, now.halted) == (
                order.filled, order.state, order.replaced, order.replacement, order.halted,
            )  # fmt: skip
            return body if same and not now.canceling and now.amending is not None else None

        after = await self._ledger.change(order.order_id, decide, Cause.CALLER)
        self._sent_ns.pop(order.order_id, None)
        return after.revision != order.revision

    async def _together(self, venue: Venue, order: Order, replacing: Replacement) -> bool:
        """Cancel and place with one request. It may be repeated: the old one can be cancelled once only."""
        if order.filled != order.filled_before:
            # Of what is partly executed no such request can succeed any more, and what is left to place depends on its end.
            return order.amending is not None and await self._intend(order, order.amending, None)
        blocked = self._guards.still_open(order.exchange)
        now_ns = self._ports.monotonic_ns()
        sent_ns = self._sent_ns.get(order.order_id)
        uncertain = order.amending is not None and order.amending.uncertain
        due = not uncertain if sent_ns is None else now_ns - sent_ns >= AGAIN_NS
        if sent_ns is None:
            self._sent_ns[order.order_id] = now_ns
        if not due or blocked or not self._in_time(order, replacing):
            return await self._look_at_old(venue, order, replacing, blocked)
        assert replacing.quantity is not None
        self._sent_ns[order.order_id] = now_ns
        instrument = await venue.instrument(order.symbol)
        fault("orders.amend.journalled")
        try:
            done = await venue.trading.replace(
                _venue_order(order, instrument, replacing, replacing.quantity),
                client_order_id=order.venue_client_order_id,
                exchange_order_id=order.exchange_order_id,
                deadline_s=self._left_s(replacing),
            )
        except Exception as exc:  # noqa: BLE001  what is not certain is looked at
            return await self._not_together(venue, order, replacing, judge(exc))
        fault("orders.amend.answered")
        return await self._taken(order, replacing, done)

    async def _taken(self, order: Order, replacing: Replacement, done: Replaced) -> bool:
        if done.new is not None:
            # First, so that nobody sees an order that has ended and one that is not there yet.
            await self._intake.absorb(order.order_id, done.new, Cause.ANSWER)
        await self._intake.absorb(order.order_id, done.old, Cause.ANSWER)
        if done.refused is not None:
            await self._refused(order, replacing, judge(done.refused))
        return True

    async def _not_together(self, venue: Venue, order: Order, replacing: Replacement, failure: Failure) -> bool:
        if failure.fate is Fate.NOT_DONE:
            self._wait(order, failure)
            return await self._look_at_old(venue, order, replacing, "")
        if failure.fate in (Fate.LOST, Fate.DUPLICATE):
            await self._lost(order, failure)
            return False
        after = await self._asking.look(venue, order)
        if after is None or after.replacement is None or after.replacement.ended or after.filled != order.filled:
            return after is not None
        target = after.amending
        if target is not None and not target.uncertain:
            await self._drop(after, target, failure.text, failure.raw)
        return False

    async def _end_old(self, venue: Venue, order: Order, replacing: Replacement) -> bool:
        """Cancel what is partly executed; what is left of the target is placed when its end is known."""
        blocked = self._guards.still_open(order.exchange)
        if blocked or not self._in_time(order, replacing):
            return await self._look_at_old(venue, order, replacing, blocked)
        instrument = await venue.instrument(order.symbol)
        fault("orders.amend.journalled")
        try:
            report = await venue.trading.cancel(
                instrument,
                client_order_id=order.venue_client_order_id,
                exchange_order_id=order.exchange_order_id,
                deadline_s=min(CANCEL_DEADLINE_S, self._left_s(replacing)),
            )
        except Exception as exc:  # noqa: BLE001  whatever it is, the question that follows tells what became of the order
            failure = judge(exc)
            self._wait(order, failure)
            if failure.fate is Fate.LOST:
                await self._lost(order, failure)
            return await self._look_at_old(venue, order, replacing, "")
        await self._intake.absorb(order.order_id, report, Cause.ANSWER)
        return await self._look_at_old(venue, order, replacing, "") if not report.state.terminal else True

    async def _look_at_old(self, venue: Venue, order: Order, replacing: Replacement, blocked: str) -> bool:
        """Ask for the old one; give the amend up when its time is over and nothing of it can come any more."""
        asked_ns = await self._clocks.earliest_ns(venue, order.market)
        after = await self._asking.look(venue, order)
        if after is None:
            return False
        if after.replacement is None or after.replacement.ended:
            return True
        target = after.amending
        over = self._ports.wall_ns() >= replacing.until_ns or _stopped(blocked)
        if target is not None and over and await self._cannot_come(venue, after, replacing, asked_ns):
            text = blocked or "its time has passed, and the exchange does not show it"
            await self._drop(after, target, text)
        return after.filled != order.filled

    # -- the old one has ended ---------------------------------------------------------------------------------------------

    async def _between(self, venue: Venue, order: Order, replacing: Replacement) -> bool:
        if replacing.quantity is not None:
            return await self._find_new(venue, order, replacing)
        target = order.amending
        if order.canceling or target is None:
            return await self._fail(order, "it was cancelled while it was being replaced")
        rest = target.quantity - order.filled
        if rest <= ZERO:
            return await self._fail(order, "all that was wanted was executed before it could be replaced")
        blocked = self._guards.still_open(order.exchange)
        if _stopped(blocked):
            return await self._fail(order, f"cancelled to be replaced, and not placed again: {blocked}")
        if self._ports.wall_ns() >= replacing.until_ns:
            text = f"cancelled to be replaced, and not placed again: {blocked or 'its time to be sent has passed'}"
            return await self._fail(order, text)
        if blocked or self._ports.monotonic_ns() < self._not_before_ns.get(order.order_id, 0):
            return False
        if not await self._intend(order, target, rest):
            return True
        newest = await self._ledger.get(order.order_id) or order
        if newest.replacement is None or newest.replacement.quantity is None:
            return True
        return await self._place(venue, newest, newest.replacement, newest.replacement.quantity)

    async def _place(self, venue: Venue, order: Order, replacing: Replacement, quantity: Decimal) -> bool:
        """Send the new one by itself, once: it is repeated only after a certain refusal to execute it."""
        instrument = await venue.instrument(order.symbol)
        fault("orders.amend.between")
        if problem := self._guards.still_open(order.exchange):
            return await self._fail(order, f"cancelled to be replaced, and not placed again: {problem}")
        try:
            report = await venue.trading.place(
                _venue_order(order, instrument, replacing, quantity), deadline_s=self._left_s(replacing)
            )
        except Exception as exc:  # noqa: BLE001  what is not certain is looked at
            failure = judge(exc)
            if failure.fate in (Fate.LOST, Fate.DUPLICATE):
                await self._lost(order, failure)
                return False
            return await self._refused(order, replacing, failure)
        fault("orders.amend.answered")
        await self._intake.absorb(order.order_id, report, Cause.ANSWER)
        return True

    async def _refused(self, order: Order, replacing: Replacement, failure: Failure) -> bool:
        """The old one has ended and the new one was certainly not taken: once more if that may pass, or the end."""
        wait_s = failure.retry_after_s or 0.0
        newest = await self._ledger.get(order.order_id) or order
        if failure.fate is Fate.NOT_DONE and wait_s < self._left_s(replacing) and newest.amending is not None:
            self._wait(order, failure)
            await self._intend(newest, newest.amending, None)
            return False
        return await self._fail(
            order, f"cancelled to be replaced, and the new order was refused: {failure.text}", failure.raw, failure.code
        )

    async def _find_new(self, venue: Venue, order: Order, replacing: Replacement) -> bool:
        """Ask for the new one; without one, find out whether it can still come."""
        instrument = await venue.instrument(order.symbol)
        if order.canceling and await self._cancel_new(venue, instrument, order, replacing):
            return True
        bound = venue.trading.capabilities(instrument).arrival
        asked_ns = await self._clocks.earliest_ns(venue, order.market) if bound is not None else None
        found = await self._asking.ask(venue, order, client_order_id=replacing.venue_client_order_id)
        if not isinstance(found, Failure):
            await self._intake.absorb(order.order_id, found, Cause.QUERY)
            return True
        if found.fate is not Fate.MISSING or bound is None or asked_ns is None:
            return False
        expires_ns = order.amending.expires_server_ns if order.amending is not None else None
        shown_ns = await self._clocks.shown_by_ns(
            venue, order.market, bound, expires_server_ns=expires_ns, sent_until_ns=replacing.until_ns
        )
        if shown_ns is None or asked_ns <= shown_ns:
            return False
        proof = self._proofs.setdefault(order.order_id, Proof(len(order.replaced)))
        if proof.attempt != len(order.replaced):
            proof = self._proofs[order.order_id] = Proof(len(order.replaced))
        if not proof.add(self._ports.monotonic_ns()):
            return False
        text = (
            f"cancelled to be replaced; the new order can no longer arrive, and {venue.exchange} did not know it "
            f"{proof.count} times after that"
        )
        return await self._fail(order, text, found.raw, found.code, Cause.DEADLINE_RULE)

    async def _cancel_new(self, venue: Venue, instrument: Instrument, order: Order, replacing: Replacement) -> bool:
        try:
            report = await venue.trading.cancel(
                instrument,
                client_order_id=replacing.venue_client_order_id,
                exchange_order_id="",
                deadline_s=CANCEL_DEADLINE_S,
            )
        except Exception:  # noqa: BLE001  the question that follows tells what became of it
            return False
        await self._intake.absorb(order.order_id, report, Cause.ANSWER)
        return True

    # -- inside ------------------------------------------------------------------------------------------------------------

    async def _cannot_come(self, venue: Venue, order: Order, replacing: Replacement, asked_ns: int | None) -> bool:
        target = order.amending
        if target is None or not target.uncertain:
            return True
        bound = venue.trading.capabilities(await venue.instrument(order.symbol)).arrival
        if bound is None:
            return self._ports.wall_ns() > replacing.until_ns + SETTLE_NS
        shown_ns = await self._clocks.shown_by_ns(
            venue, order.market, bound, expires_server_ns=target.expires_server_ns, sent_until_ns=replacing.until_ns
        )
        return shown_ns is not None and asked_ns is not None and asked_ns > shown_ns

    async def _lost(self, order: Order, failure: Failure) -> None:
        lost = AmendUncertain(failure.text, failure.expires_server_ns)
        await self._change(order, lambda now: lost if now.amending is not None else None, failure.raw)

    async def _drop(self, order: Order, target: AmendTarget, text: str, raw: bytes = b"") -> None:
        def decide(now: Order) -> Body | None:
            return AmendDropped(text) if now.amending == target and not now.between_legs else None

        await self._change(order, decide, raw)

    async def _fail(
        self, order: Order, text: str, raw: bytes = b"", code: str = "", cause: Cause = Cause.ANSWER
    ) -> bool:
        replacing = order.replacement

        def decide(now: Order) -> Body | None:
            same = now.between_legs and replacing is not None and now.replacement is not None
            legs = len(now.replaced) == len(order.replaced)
            return ReplacementFailed(text[:500], code) if same and legs else None

        after = await self._change(order, decide, raw, cause)
        if after.state.terminal:
            logger.warning("order ended while it was being replaced", extra=fields(order=order.order_id, reason=text))
        return True

    async def _change(
        self, order: Order, decide: Callable[[Order], Body | None], raw: bytes, cause: Cause = Cause.ANSWER
    ) -> Order:
        return await self._ledger.change(order.order_id, decide, cause, raw=raw)

    def _wait(self, order: Order, failure: Failure) -> None:
        if failure.retry_after_s:
            self._not_before_ns[order.order_id] = self._ports.monotonic_ns() + round(failure.retry_after_s * 1e9)

    def _in_time(self, order: Order, replacing: Replacement) -> bool:
        waits = self._ports.monotonic_ns() < self._not_before_ns.get(order.order_id, 0)
        return not waits and self._ports.wall_ns() < replacing.until_ns and order.amending is not None

    def _left_s(self, replacing: Replacement) -> float:
        return max((replacing.until_ns - self._ports.wall_ns()) / 1e9, 0.0)


def _stopped(blocked: str) -> bool:
    """Whether nothing may go out because somebody wants it so, and not because an exchange is not known well enough yet."""
    return "kill switch" in blocked


def _venue_order(order: Order, instrument: Instrument, replacing: Replacement, quantity: Decimal) -> VenueOrder:
    return VenueOrder(
        instrument=instrument,
        client_order_id=replacing.venue_client_order_id,
        side=order.side,
        type=OrderType.LIMIT,
        quantity=quantity,
        price=replacing.price,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
    )
