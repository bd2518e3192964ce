"""Place orders: check, journal, send, journal what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderReport, VenueOrder
from services.orders.domain import Body, Cause, Order, OrderState, TradingMode
from services.orders.domain.client_ids import client_id
from services.orders.domain.events import AnswerLost, Intended, NotPlaced, PlacementRefused, Rerouted, SendingAgain
from services.orders.engine.commands import Caller, PlaceCommand
from services.orders.engine.intake import ReportIntake
from services.orders.engine.outcomes import Failure, Fate, judge
from services.orders.engine.routing import Route, Router
from services.orders.errors import Reason, denied
from services.orders.guards.guards import Guards
from services.orders.guards.line import PlacementLine
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import ClientIdTaken, IdempotencyRow, JournalUnavailable
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.venues import ANY, CLIENT_ERRORS, Venue, Venues
from services.runtime.errors import DeadlineExceeded, MidstreamError
from services.runtime.faults import fault
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

KEY_LIFE_NS: Final = 24 * 3600 * 1_000_000_000
ATTEMPTS_MAX: Final = 3
"""At one exchange, all of them after certain refusals to execute; the first included."""
RETRY_FLOOR_S: Final = 0.25
DRAIN_S: Final = 1.0
"""At the end, what placements on the wire get to be answered; supervisors give a server five seconds in all."""


@dataclass(frozen=True)
class Placed:
    """The order, and whether this command was only a repetition."""

    order: Order
    repeated: bool = False


@dataclass
class _Pending:
    body_hash: str
    turn: Callable[[], None]
    """Called when nothing is left but to journal the intent."""
    task: asyncio.Task[Placed]
    waiting: int = 0
    """Callers who wait for the outcome; without any the order is not begun."""


class Placer:
    """Places each command once. A caller that goes away does not stop what is journalled."""

    def __init__(
        self,
        ledger: OrderLedger,
        venues: Venues,
        guards: Guards,
        router: Router,
        intake: ReportIntake,
        ports: Ports,
        mode: TradingMode,
        observer: DeskObserver,
        *,
        on_unsettled: Callable[[str], None],
        line: PlacementLine | None = None,
    ) -> None:
        self._ledger = ledger
        self._venues = venues
        self._guards = guards
        self._router = router
        self._intake = intake
        self._ports = ports
        self._mode = mode
        self._observer = observer
        self._on_unsettled = on_unsettled
        self.line = line or PlacementLine(monotonic_ns=ports.monotonic_ns)
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._wire: dict[str, asyncio.Task[OrderReport]] = {}
        self._again: set[asyncio.Task[Order]] = set()
        self._closing = asyncio.Event()
        self._free_ns: dict[str, int] = {}
        """By exchange: when it may be asked again, by the last failure that said so (monotonic)."""

    @property
    def in_flight(self) -> int:
        """Commands without an outcome."""
        return len(self._pending)

    def free_in_s(self, exchange: str) -> float:
        """Return how long an exchange asked to be left alone, from now on; 0 when it did not, or the time is over."""
        return max(0.0, (self._free_ns.get(exchange, 0) - self._ports.monotonic_ns()) / 1e9)

    def is_sending(self, order_id: str) -> bool:
        """Whether a placement of this process is on the wire or about to be."""
        return order_id in self._wire

    def stop_sending(self) -> None:
        """Take every placement off the wire now: what may have left already becomes UNKNOWN and is asked for."""
        for task in self._wire.values():
            task.cancel()

    async def close(self) -> None:
        """Let what is in flight come to an outcome, for a moment; take the rest off the wire, to be asked for by whoever starts next."""
        self._closing.set()
        tasks = [pending.task for pending in self._pending.values()] + list(self._again)
        for give_s in (DRAIN_S, DRAIN_S):
            if tasks:
                await asyncio.wait(tasks, timeout=give_s)
            self.stop_sending()
        for task in tasks:
            task.cancel()

    async def place(self, command: PlaceCommand, caller: Caller, *, deadline_ns: int | None = None) -> Placed:
        """Place an order, or return the one that this key has placed already.

        Nothing is begun for a caller who leaves, or whose deadline (monotonic) passes, before the intent is journalled.
        """
        key = (caller.owner, command.idempotency_key)
        pending = self._pending.get(key)
        repeated = pending is not None
        if pending is None:
            turn = self.line.enter(deadline_ns)
            task = asyncio.create_task(self._place(command, caller, deadline_ns), name="place-order")
            pending = self._pending[key] = _Pending(command.body_hash, turn, task)
            task.add_done_callback(lambda done: self._settle(key, done))
        else:
            self._check_same(pending.body_hash, command)
        pending.waiting += 1
        try:
            placed = await asyncio.shield(pending.task)
        finally:
            pending.waiting -= 1
        return Placed(await self._newest(placed.order), repeated=True) if repeated else placed

    def _settle(self, key: tuple[str, str], task: asyncio.Task[Placed]) -> None:
        del self._pending[key]
        self.line.leave()
        if not task.cancelled():
            task.exception()

    async def _place(self, command: PlaceCommand, caller: Caller, deadline_ns: int | None) -> Placed:
        pending = self._pending[caller.owner, command.idempotency_key]
        try:
            since_ns = self._ports.wall_ns() - KEY_LIFE_NS
            used = await self._ledger.store.used_key(caller.owner, command.idempotency_key, since_ns=since_ns)
            if used is not None:
                self._check_same(used.body_hash, command)
                order = await self._ledger.get(used.order_id)
                if order is not None:
                    return Placed(order, repeated=True)
            order = await self._intend(command, caller, deadline_ns, pending)
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, f"nothing was sent: {exc}; try again with the same key") from exc
        return Placed(await self._send(order))

    def _check_same(self, body_hash: str, command: PlaceCommand) -> None:
        if body_hash not in (command.body_hash, command.typed_hash):
            raise denied(
                Reason.KEY_REUSED,
                f"the idempotency key {command.idempotency_key[:32]!r} was used with another body; use a new key for a new order",
            )

    async def _intend(self, command: PlaceCommand, caller: Caller, deadline_ns: int | None, pending: _Pending) -> Order:
        order_id = self._ports.new_id()
        try:
            route = await self._router.first(command, order_id)
            if deadline_ns is not None and self._ports.monotonic_ns() >= deadline_ns:
                raise DeadlineExceeded("the deadline has passed while the order was checked; nothing was sent")
            if not pending.waiting:
                raise DeadlineExceeded("its caller has left while the order was checked; nothing was sent")
            pending.turn()
            now_ns = self._ports.wall_ns()
            body = Intended(
                owner=caller.owner,
                client_order_id=command.client_order_id,
                venue_client_order_id=client_id(order_id),
                exchange=route.venue.exchange,
                market=route.instrument.market,
                symbol=route.instrument.symbol,
                exchange_symbol=route.instrument.exchange_symbol,
                side=command.side,
                type=command.type,
                quantity=route.quantity,
                price=command.price,
                time_in_force=command.time_in_force,
                post_only=command.post_only,
                reduce_only=command.reduce_only,
                mode=self._mode,
                send_until_ns=now_ns + command.valid_for_ms * 1_000_000,
                resend_allowed=command.resend_if_not_placed,
                any_exchange=command.exchange == ANY,
            )
            key = IdempotencyRow(caller.owner, command.idempotency_key, pending.body_hash, order_id, now_ns)
            return await self._ledger.create(order_id, body, Cause.CALLER, actor=caller.name, idempotency=key)
        except ClientIdTaken:
            raise denied(
                Reason.CLIENT_ID_TAKEN,
                f"the client order id {command.client_order_id!r} was used before; ids are for ever",
            ) from None
        finally:
            self._guards.release(order_id)

    def send_again(self, order: Order) -> None:
        """Send once more an order that `SendingAgain` was journalled for."""
        task = asyncio.create_task(self._send(order), name="send-again")
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _send(self, order: Order) -> Order:
        """Send until there is an outcome; every further attempt is journalled first, like the first one."""
        tried = {order.exchange}
        attempts = 1
        while True:
            try:
                venue = self._venues.named(order.exchange)
                instrument = await venue.instrument(order.symbol)
            except (MidstreamError, *CLIENT_ERRORS) as exc:
                return await self._end(order, NotPlaced(f"never sent: {exc}"[:500]), Cause.GUARD)
            outcome = await self._attempt(order, venue, instrument)
            if not isinstance(outcome, Failure):
                return outcome
            order = await self._newest(order)
            again = await self._after_not_done(order, outcome, tried, attempts)
            if again is None:
                return await self._newest(order)
            attempts = attempts + 1 if again.exchange == order.exchange else 1
            order = again

    async def _attempt(self, order: Order, venue: Venue, instrument: Instrument) -> Order | Failure:
        """Send once. Returns the order after an outcome, or why it was certainly not executed."""
        left_s = (order.send_until_ns - self._ports.wall_ns()) / 1e9
        if self._mode is TradingMode.DRY_RUN:
            return await self._end(order, NotPlaced("dry-run: validated and journalled, never sent"), Cause.DRY_RUN)
        if left_s <= 0:
            return await self._end(order, NotPlaced("its time to be sent has passed"), Cause.GUARD)
        fault("orders.journalled")
        # Nothing may be awaited between this look and the first step of the request.
        if problem := self._guards.still_open(order.exchange):
            cause = Cause.KILL_SWITCH if "kill switch" in problem else Cause.GUARD
            return await self._end(order, NotPlaced(f"never sent: {problem}"), cause)
        begun_ns = self._ports.monotonic_ns()
        task = asyncio.ensure_future(venue.trading.place(_venue_order(order, instrument), deadline_s=left_s))
        self._wire[order.order_id] = task
        try:
            await _ended(task)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._wire.pop(order.order_id, None)
        fault("orders.answered")
        seconds = (self._ports.monotonic_ns() - begun_ns) / 1e9
        if task.cancelled():
            return await self._killed_on_the_wire(order)
        error = task.exception()
        if error is None:
            self._observer.placement_answered(order, "accepted", seconds)
            return await self._intake.absorb(order.order_id, task.result(), Cause.ANSWER)
        failure = judge(error)
        self._observer.placement_answered(order, failure.fate.name.lower(), seconds)
        return await self._after_failure(order, venue, instrument, failure, error)

    async def _killed_on_the_wire(self, order: Order) -> Order:
        lost = AnswerLost("it was taken off the wire; it may have left already")
        return await self._lose(order, lost, Cause.KILL_SWITCH, b"")

    async def _after_failure(
        self, order: Order, venue: Venue, instrument: Instrument, failure: Failure, error: BaseException
    ) -> Order | Failure:
        match failure.fate:
            case Fate.NOT_DONE:
                return failure
            case Fate.UNUSABLE:
                logger.error("exchange refuses our key", extra=fields(exchange=order.exchange, code=failure.code))
                return await self._end(order, NotPlaced(failure.text, failure.code), Cause.ANSWER, failure.raw)
            case Fate.REFUSED | Fate.MISSING:
                refused = PlacementRefused(failure.text, failure.code, ended_by=failure.ended_by)
                return await self._end(order, refused, Cause.ANSWER, failure.raw)
            case Fate.DUPLICATE:
                logger.warning("exchange knows the client id already", extra=fields(order=order.order_id))
            case Fate.LOST:
                logger.warning("answer lost", extra=fields(order=order.order_id, error=type(error).__name__))
        lost = AnswerLost(failure.text, failure.sent_wall_ns, failure.expires_server_ns)
        return await self._lose(order, lost, Cause.ANSWER, failure.raw)

    async def _lose(self, order: Order, lost: AnswerLost, cause: Cause, raw: bytes) -> Order:
        """Journal that the outcome is unknown, unless evidence came first; from now on it is followed up."""
        after = await self._ledger.change(
            order.order_id, lambda now: lost if _same_attempt(now, order) else None, cause, raw=raw
        )
        self._on_unsettled(order.order_id)
        return after

    async def _end(self, order: Order, body: Body, cause: Cause, raw: bytes = b"") -> Order:
        return await self._ledger.change(
            order.order_id, lambda now: body if _same_attempt(now, order) else None, cause, raw=raw
        )

    async def _after_not_done(self, order: Order, failure: Failure, tried: set[str], attempts: int) -> Order | None:
        """Decide after proof that the exchange did not accept it: elsewhere, once more, or not at all. None: not at all."""
        if failure.retry_after_s:
            self._free_ns[order.exchange] = self._ports.monotonic_ns() + round(failure.retry_after_s * 1e9)
        if not _waits_for_outcome(order):
            return None
        if order.any_exchange and not order.canceling:
            route = await self._router.next(order, tried)
            if route is not None:
                tried.add(route.venue.exchange)
                return await self._move(order, route, failure)
        wait_s = max(
            failure.retry_after_s or 0.0, RETRY_FLOOR_S * 2 ** (attempts - 1) * (1 + self._ports.random.random())
        )
        left_s = (order.send_until_ns - self._ports.wall_ns()) / 1e9
        if attempts >= ATTEMPTS_MAX or wait_s >= left_s or order.canceling:
            await self._end(order, NotPlaced(failure.text, failure.code), Cause.ANSWER, failure.raw)
            return None
        if await self._ports.wait(self._closing, wait_s):
            await self._end(
                order, NotPlaced(f"the server ends: {failure.text}", failure.code), Cause.ANSWER, failure.raw
            )
            return None
        text = f"certainly not executed: {failure.text}"
        again = SendingAgain(text, order.send_until_ns)
        after = await self._ledger.change(
            order.order_id, lambda now: again if _same_attempt(now, order) and not now.canceling else None, Cause.ANSWER
        )
        if after.attempts == order.attempts:
            await self._end(after, NotPlaced(failure.text, failure.code), Cause.ANSWER, failure.raw)
            return None
        return after

    async def _move(self, order: Order, route: Route, failure: Failure) -> Order | None:
        rerouted = Rerouted(
            exchange=route.venue.exchange,
            market=route.instrument.market,
            symbol=route.instrument.symbol,
            exchange_symbol=route.instrument.exchange_symbol,
            quantity=route.quantity,
            text=f"certainly not executed: {failure.text}",
        )
        try:
            after = await self._ledger.change(
                order.order_id,
                lambda now: rerouted if _same_attempt(now, order) else None,
                Cause.FAILOVER,
                raw=failure.raw,
            )
        finally:
            self._guards.release(order.order_id)
        return after if after.attempts != order.attempts else None

    async def _newest(self, order: Order) -> Order:
        return await self._ledger.get(order.order_id) or order


async def _ended(task: asyncio.Task[OrderReport]) -> None:
    """Wait for the end of a task, whatever it is; `asyncio.wait` for one of them does three times the work."""
    ended = asyncio.get_running_loop().create_future()
    task.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
    await ended


def _same_attempt(now: Order, order: Order) -> bool:
    """Whether there is neither evidence nor another attempt since."""
    return now.state is OrderState.UNKNOWN and now.attempts == order.attempts and not now.exchange_order_id


def _waits_for_outcome(order: Order) -> bool:
    return order.state is OrderState.UNKNOWN and order.sending


def _venue_order(order: Order, instrument: Instrument) -> VenueOrder:
    assert order.type is not None
    assert order.quantity is not None
    return VenueOrder(
        instrument=instrument,
        client_order_id=order.venue_client_order_id,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        price=order.price,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
    )
