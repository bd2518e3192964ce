"""Follow every order that is not settled until it is: unknown outcomes, cancels without a terminal state, amends without confirmation.

One task per order. What it does next follows from the order as it is in the ledger, so it can begin anywhere: after a lost answer,
after a restart, after a statement that came in meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

import clients.tracing as tracing
from services.orders.domain import Cause, Order, OrderState
from services.orders.domain.events import NotPlaced, SendingAgain
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, Fate, judge
from services.orders.guards.guards import Guards
from services.orders.guards.prices import check_band
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import Superseded
from services.orders.ports import Ports
from services.orders.reconciliation.amends import AmendStep
from services.orders.reconciliation.arrival import Proof, ServerClocks
from services.orders.reconciliation.asking import Asking
from services.orders.venues import Venue, Venues
from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

ROUNDS_S: Final = (0.2, 0.4, 0.8, 1.5, 2.5, 4.0)
"""Waits between rounds; the last one repeats."""
LONG_UNKNOWN_NS: Final = 300_000_000_000
LONG_UNKNOWN_ROUND_S: Final = 30.0
"""An order that stays unknown for minutes (no bound on arrival, no evidence) is asked for less often, until somebody settles it."""
STEPS_AT_ONCE: Final = 16
CANCEL_DEADLINE_S: Final = 5.0
CANCEL_AGAIN_NS: Final = 2_000_000_000


class Placements(Protocol):
    """The placing side: what is on the wire now, and the way to send an order once more."""

    def is_sending(self, order_id: str) -> bool:
        """Whether a placement of this process is on the wire or about to be."""
        ...

    def send_again(self, order: Order) -> None:
        """Send once more an order that `SendingAgain` was journalled for."""
        ...


class Follower:
    """Brings unsettled orders to an end. `follow` is safe to call at any time, for any order."""

    def __init__(
        self,
        ledger: OrderLedger,
        venues: Venues,
        intake: ReportIntake,
        guards: Guards,
        clocks: ServerClocks,
        placements: Placements,
        ports: Ports,
    ) -> None:
        self._ledger = ledger
        self._venues = venues
        self._intake = intake
        self._guards = guards
        self._clocks = clocks
        self._placements = placements
        self._ports = ports
        self.asking = Asking(intake)
        self._amends = AmendStep(ledger, intake, guards, clocks, ports, self.asking)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._steps = asyncio.Semaphore(STEPS_AT_ONCE)

    def follow(self, order_id: str) -> None:
        """Start to follow an order, or look at it again at once."""
        wake = self._wakes.get(order_id)
        if wake is not None:
            wake.set()
            return
        self._wakes[order_id] = asyncio.Event()
        task = asyncio.create_task(self._follow(order_id), name=f"follow-{order_id[:8]}")
        self._tasks[order_id] = task
        task.add_done_callback(lambda done: self._ended(order_id, done))

    def settled(self, order_id: str) -> None:
        """End the wait for the next round of an order that has settled: nothing is asked or sent again."""
        wake = self._wakes.get(order_id)
        if wake is not None:
            wake.set()

    def _ended(self, order_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(order_id) is task:
            del self._tasks[order_id]
        self._amends.forget(order_id)
        if not task.cancelled() and task.exception() is not None:
            logger.error("following ended", exc_info=task.exception(), extra=fields(order=order_id))

    @property
    def following(self) -> int:
        """How many orders are being followed."""
        return len(self._tasks)

    async def close(self) -> None:
        """Stop; whoever starts next goes on from the ledger."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _follow(self, order_id: str) -> None:
        round_number = 0
        proof = Proof(0)
        state = _Following()
        wake = self._wakes[order_id]
        try:
            while True:
                wake.clear()
                order = await self._ledger.get(order_id)
                if order is None or not order.unsettled or (order.halted and not order.canceling):
                    return
                # A placement on the wire has its own way of ending; only a cancel does not wait for it.
                if not self._placements.is_sending(order_id) or order.canceling:
                    if proof.attempt != order.attempts:
                        proof = Proof(order.attempts)
                    async with self._steps:
                        await self._step(order, proof, state)
                    order = await self._ledger.get(order_id) or order
                    if not order.unsettled:
                        return
                if await self._pause(order, wake, round_number):
                    round_number = 0
                else:
                    round_number += 1
        finally:
            self._wakes.pop(order_id, None)
            if wake.is_set():
                # Asked for between the last look and now.
                newest = self._ledger.known(order_id)
                if newest is not None and newest.unsettled and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    asyncio.get_running_loop().call_soon(self.follow, order_id)

    async def _pause(self, order: Order, wake: asyncio.Event, round_number: int) -> bool:
        delay_s = ROUNDS_S[min(round_number, len(ROUNDS_S) - 1)]
        age_ns = self._ports.wall_ns() - order.updated_ns
        if order.state is OrderState.UNKNOWN and age_ns > LONG_UNKNOWN_NS:
            delay_s = LONG_UNKNOWN_ROUND_S
        return await self._ports.wait(wake, delay_s * (0.8 + 0.4 * self._ports.random.random()))

    async def _step(self, order: Order, proof: Proof, state: _Following) -> None:
        venue = self._venues.get(order.exchange)
        if venue is None:
            logger.error(
                "order is at an exchange that is not configured",
                extra=fields(order=order.order_id, exchange=order.exchange),
            )
            return
        try:
            # It runs in the context of the call that made it necessary, so that a lost answer is found in the trace of its order.
            with tracing.span("ask for order", attributes={"midstream.order_id": order.order_id}):
                await self._step_at(venue, order, proof, state)
                after = self._ledger.known(order.order_id)
                tracing.annotate("midstream.order_state", str((after or order).state))
        except Superseded:
            raise
        except Exception:  # everything: one order's trouble must not end the task that has to bring it to an end
            logger.exception("following an order failed", extra=fields(order=order.order_id))

    async def _step_at(self, venue: Venue, order: Order, proof: Proof, state: _Following) -> None:
        if order.between_legs:
            await self._amends.step(venue, order)
            return
        if order.canceling:
            now_ns = self._ports.monotonic_ns()
            if state.cancel_sent_ns is None or now_ns - state.cancel_sent_ns >= CANCEL_AGAIN_NS:
                if await self._cancel(venue, order):
                    state.cancel_sent_ns = now_ns
                order = await self._newest(order)
        elif order.amending is not None and order.state.live:
            await self._amends.step(venue, order)
            return
        if order.unsettled and not order.between_legs and (order.state is OrderState.UNKNOWN or order.canceling):
            await self._resolve(venue, order, proof)

    async def _cancel(self, venue: Venue, order: Order) -> bool:
        """Send a cancel; return whether it was heard. Repeating one does no harm."""
        instrument = await venue.instrument(order.symbol)
        try:
            report = await venue.trading.cancel(
                instrument,
                client_order_id=order.venue_client_order_id,
                exchange_order_id=order.exchange_order_id,
                deadline_s=CANCEL_DEADLINE_S,
            )
        except Exception as exc:  # noqa: BLE001  whatever it is, the query that follows tells what became of the order
            failure = judge(exc)
            # One that overtook its order has to be sent again when the order is there.
            early = failure.fate is Fate.MISSING and order.state is OrderState.UNKNOWN
            return not early and failure.fate not in (Fate.NOT_DONE, Fate.LOST)
        await self._intake.absorb(order.order_id, report, Cause.ANSWER)
        return True

    async def _resolve(self, venue: Venue, order: Order, proof: Proof) -> None:
        """Ask for the order; without one, find out whether it can still come."""
        bound = venue.trading.capabilities(await venue.instrument(order.symbol)).arrival
        # The exchange's time before the question, where its answer can be a proof.
        provable = bound is not None and order.state is OrderState.UNKNOWN
        asked_ns = await self._clocks.earliest_ns(venue, order.market) if provable else None
        found = await self.asking.ask(venue, order)
        if not isinstance(found, Failure):
            await self._intake.absorb(order.order_id, found, Cause.QUERY)
            return
        if found.fate is not Fate.MISSING or bound is None or asked_ns is None:
            return
        shown_ns = await self._clocks.shown_by_ns(
            venue, order.market, bound, expires_server_ns=order.expires_server_ns, sent_until_ns=order.send_until_ns
        )
        if shown_ns is None or asked_ns <= shown_ns or self._placements.is_sending(order.order_id):
            return
        if proof.add(self._ports.monotonic_ns()):
            await self._conclude(venue, order, found, proof)

    async def _conclude(self, venue: Venue, order: Order, found: Failure, proof: Proof) -> None:
        text = f"it can no longer arrive, and {venue.exchange} did not know it {proof.count} times after that"
        if order.resend_allowed and not order.canceling and not await self._may_not_resend(venue, order):
            again = SendingAgain(text, order.send_until_ns)
            after = await self._ledger.change(
                order.order_id,
                lambda now: again if _unknown_still(now, order) and not now.canceling else None,
                Cause.DEADLINE_RULE,
                raw=found.raw,
            )
            if after.attempts == order.attempts + 1:
                self._placements.send_again(after)
            return
        await self._ledger.change(
            order.order_id,
            lambda now: NotPlaced(text, found.code) if _unknown_still(now, order) else None,
            Cause.DEADLINE_RULE,
            raw=found.raw,
        )

    async def _may_not_resend(self, venue: Venue, order: Order) -> str:
        """Say why an order that was not placed is not sent again: its time is over, or a guard would deny it by now."""
        if self._ports.wall_ns() >= order.send_until_ns:
            return "its time to be sent has passed"
        if problem := self._guards.still_open(order.exchange):
            return problem
        try:
            price = await self._guards.prices.fresh(venue, order.symbol)
            if order.price is not None:
                check_band(await venue.instrument(order.symbol), order.price, price, self._guards.limits.price_band)
        except MidstreamError as exc:
            return exc.message
        return ""

    async def cancel_unjournalled(self, order: Order) -> None:
        """Send a cancel without a trace in the journal, for when the journal is what does not work."""
        venue = self._venues.get(order.exchange)
        if venue is not None:
            instrument = await venue.instrument(order.symbol)
            await venue.trading.cancel(
                instrument,
                client_order_id=order.venue_client_order_id,
                exchange_order_id=order.exchange_order_id,
                deadline_s=CANCEL_DEADLINE_S,
            )

    async def query_now(self, order: Order) -> Order:
        """Ask for one order outside of any round; what the exchange says is in the ledger afterwards."""
        venue = self._venues.get(order.exchange)
        if venue is None:
            return order
        replacement = order.replacement if order.between_legs else None
        name = replacement.venue_client_order_id if replacement is not None else ""
        found = await self.asking.ask(venue, order, client_order_id=name)
        if isinstance(found, Failure):
            return await self._newest(order)
        return await self._intake.absorb(order.order_id, found, Cause.QUERY)

    async def _newest(self, order: Order) -> Order:
        return await self._ledger.get(order.order_id) or order


class _Following:
    """Memory of one task between its rounds."""

    def __init__(self) -> None:
        self.cancel_sent_ns: int | None = None


def _unknown_still(now: Order, order: Order) -> bool:
    return now.state is OrderState.UNKNOWN and now.attempts == order.attempts and not now.exchange_order_id
