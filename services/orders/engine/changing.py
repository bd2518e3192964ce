"""Amend and cancel: journal what is wanted, let it be followed up, and wait until it shows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clients.exchanges.trading import AmendWay, OrderType
from services.orders.domain import AmendTarget, Body, Cause, Order, OrderState
from services.orders.domain.events import AmendAsked, CancelAsked
from services.orders.domain.order import ZERO
from services.orders.domain.statements import is_closer
from services.orders.engine.amend_ways import QUEUE_PLACE, way_of
from services.orders.engine.commands import AmendCommand, Caller
from services.orders.errors import Reason, denied
from services.orders.guards.guards import Guards
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import JournalUnavailable
from services.orders.ports import Ports
from services.orders.venues import CLIENT_ERRORS, Venues
from services.runtime.errors import DeadlineExceeded, MidstreamError, NotFound
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

WAIT_S: Final = 10.0
"""How long a caller without a deadline waits for a confirmation."""


REPEATED_WAIT_S: Final = 3.0
"""How long a caller waits who asks once more for the cancel of an order that is unknown."""


@dataclass(frozen=True)
class Cancelled:
    """Outcome of a cancel."""

    order_id: str
    order: Order | None
    confirmed: bool
    filled_during_cancel: Decimal
    problem: str = ""

    def check_confirmed(self) -> None:
        """Raise what says why no terminal state was seen in time."""
        if not self.confirmed and self.order is not None and self.order.state is OrderState.UNKNOWN:
            raise denied(Reason.ORDER_UNKNOWN, self.problem)
        if not self.confirmed:
            raise DeadlineExceeded(f"order {self.order_id[:64]}: {self.problem}")


@dataclass(frozen=True)
class Amended:
    """An order with the terms that were asked for."""

    order: Order
    already: bool
    """It had them before: nothing was sent."""


class Changer:
    """Asks for amends and cancels; the follower carries them out."""

    def __init__(
        self,
        ledger: OrderLedger,
        venues: Venues,
        guards: Guards,
        ports: Ports,
        follow: Callable[[str], None],
        cancel_unjournalled: Callable[[Order], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._venues = venues
        self._guards = guards
        self._ports = ports
        self._follow = follow
        self._cancel_unjournalled = cancel_unjournalled

    async def visible(self, order_id: str, caller: Caller) -> Order:
        """Return an order that the caller may see; another owner's does not exist for the caller."""
        order = await self._ledger.get(order_id)
        if order is None or (caller.sees is not None and order.owner != caller.sees):
            raise NotFound(f"there is no order {order_id[:64]!r}")
        return order

    async def amend(self, command: AmendCommand, caller: Caller, *, wait_s: float = WAIT_S) -> Amended:
        """Amend an open order; return it once the target shows.

        A target that shows already is a success, and one that is on its way is waited for: so a caller who got no answer may repeat.
        """
        order = await self.visible(command.order_id, caller)
        if _has(order, command):
            return Amended(order, already=True)
        target = order.amending
        if target is not None and _wants(order, target, command):
            return await self._confirmed(order, target.quantity, target.price, wait_s)
        _check_amendable(order)
        assert order.quantity is not None
        assert order.price is not None
        quantity = command.quantity if command.quantity is not None else order.quantity
        price = command.price if command.price is not None else order.price
        if quantity <= order.filled:
            raise denied(
                Reason.QUANTITY,
                f"is {quantity:f}, but {order.filled:f} is executed already; cancel the order instead",
                field="quantity",
            )
        venue = self._venues.named(order.exchange)
        instrument = await venue.instrument(order.symbol)
        way = way_of(venue.trading.capabilities(instrument), order, quantity, price)
        _check_way(way, order, price)
        await self._guards.check_amend(venue, instrument, order, quantity, price, replaces=way is AmendWay.REPLACES)
        until_ns = self._ports.wall_ns() + command.valid_for_ms * 1_000_000
        asked = AmendAsked(quantity, price, until_ns, QUEUE_PLACE[way])

        def decide(now: Order) -> Body:
            _check_amendable(now)
            return asked

        try:
            await self._ledger.change(order.order_id, decide, Cause.CALLER, actor=caller.name, must=False)
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, f"nothing was sent: {exc}") from exc
        self._follow(order.order_id)
        return await self._confirmed(order, quantity, price, wait_s)

    async def _confirmed(self, order: Order, quantity: Decimal, price: Decimal, wait_s: float) -> Amended:
        """Wait for the end of an amend, and say what it was."""
        after = await self._ledger.wait_for(order.order_id, lambda now: now.amending is None, wait_s)
        if after is None:
            raise DeadlineExceeded(
                f"the amend of order {order.order_id} is journalled but not confirmed yet; GetOrder tells, and it is followed up"
            )
        if after.amend_problem:
            ended = f"; the order is {after.state} and nothing of it is open" if after.state.terminal else ""
            raise denied(Reason.AMEND_REFUSED, f"the amend did not happen: {after.amend_problem}{ended}")
        if (after.quantity, after.price) != (quantity, price) and not _moved(order, after, quantity, price):
            raise denied(Reason.ORDER_CLOSED, f"the order became {after.state} before the amend was applied")
        return Amended(after, already=False)

    async def cancel(self, order_id: str, caller: Caller, *, wait_s: float = WAIT_S) -> Cancelled:
        """Cancel an order; return what is known when a terminal state was seen, or when the time is over.

        A repetition says the same as the first one: an order that ended before it was to be cancelled executed nothing meanwhile.
        """
        order = await self.visible(order_id, caller)
        if order.state.terminal:
            return Cancelled(order_id, order, True, _filled_since_cancel(order))
        try:
            await self._ledger.change(
                order_id,
                lambda now: None if now.canceling or now.state.terminal else CancelAsked(),
                Cause.CALLER,
                actor=caller.name,
                must=False,
            )
        except JournalUnavailable as exc:
            await self._cancel_anyway(order)
            raise denied(
                Reason.JOURNAL, f"a cancel was sent once, but it is not followed up: {exc}; ask again"
            ) from exc
        self._follow(order_id)
        if order.canceling and order.state is OrderState.UNKNOWN:
            # Asked for again: what was not found out since then is not found out by another ten seconds.
            wait_s = min(wait_s, REPEATED_WAIT_S)
        after = await self._ledger.wait_for(order_id, lambda now: now.state.terminal, wait_s)
        newest = after or await self._ledger.get(order_id) or order
        problem = "" if after is not None else _unconfirmed(newest)
        return Cancelled(order_id, newest, after is not None, _filled_since_cancel(newest), problem)

    async def _cancel_anyway(self, order: Order) -> None:
        """A broken journal must not keep anybody from getting out of the market."""
        try:
            await self._cancel_unjournalled(order)
        except (*CLIENT_ERRORS, MidstreamError):
            logger.exception("cancel without journal failed", extra=fields(order=order.order_id))

    async def cancel_many(self, order_ids: Sequence[str], caller: Caller, *, wait_s: float = WAIT_S) -> list[Cancelled]:
        """Cancel several at once; one that is not known does not stop the others."""

        async def one(order_id: str) -> Cancelled:
            try:
                return await self.cancel(order_id, caller, wait_s=wait_s)
            except NotFound as exc:
                return Cancelled(order_id, None, False, ZERO, exc.message)

        return list(await asyncio.gather(*(one(order_id) for order_id in order_ids)))


def _unconfirmed(order: Order) -> str:
    if order.state is not OrderState.UNKNOWN:
        return "no terminal state was seen in time; the cancel is repeated until one is"
    return (
        f"the order is UNKNOWN: {order.exchange} has not shown it, so there is nothing to cancel yet; it goes on being asked for, and is "
        "cancelled as soon as it shows. Whoever has looked at the exchange and knows that it is not there can settle it "
        "(role admin: SettleOrder)"
    )


def _filled_since_cancel(order: Order) -> Decimal:
    return max(order.filled - order.filled_at_cancel, ZERO) if order.cancel_asked_ns else ZERO


def _has(order: Order, command: AmendCommand) -> bool:
    """Whether the order has the terms that are asked for; one that has ended only when it was amended to them."""
    known = order.state.live or (order.state.terminal and bool(order.queue_place))
    if not known or order.halted or order.amending is not None or order.type is not OrderType.LIMIT:
        return False
    return command.quantity in (None, order.quantity) and command.price in (None, order.price)


def _moved(before: Order, after: Order, quantity: Decimal, price: Decimal) -> bool:
    """Whether an amend was done at the exchange's limit instead of its price: the order says so in `reason`."""
    changed = (after.quantity, after.price) != (before.quantity, before.price)
    return (
        changed and after.quantity == quantity and after.price is not None and is_closer(after.side, after.price, price)
    )


def _wants(order: Order, target: AmendTarget, command: AmendCommand) -> bool:
    """Whether an amend that is on its way is the one that is asked for: what is not named stays as it is."""
    quantity = command.quantity if command.quantity is not None else order.quantity
    price = command.price if command.price is not None else order.price
    return (quantity, price) == (target.quantity, target.price)


def _check_way(way: AmendWay, order: Order, price: Decimal) -> None:
    field = "price" if price != order.price else "quantity"
    if way is AmendWay.NONE:
        raise denied(Reason.UNSUPPORTED, f"cannot be amended for {order.symbol}; cancel and place anew", field=field)
    if way is AmendWay.REPLACES and order.external:
        raise denied(
            Reason.UNSUPPORTED,
            f"can only be changed by replacing the order at {order.exchange}, and not all terms of one that was not placed here "
            "are known; cancel and place anew",
            field=field,
        )


def _check_amendable(order: Order) -> None:
    if order.halted:
        raise denied(Reason.ORDER_HALTED, f"the order is halted: {order.halted}")
    if order.state.terminal:
        raise denied(Reason.ORDER_CLOSED, f"the order is {order.state}")
    if not order.state.live or order.canceling or order.amending is not None:
        what = "being cancelled" if order.canceling else "being amended" if order.amending is not None else "UNKNOWN"
        raise denied(Reason.ORDER_BUSY, f"the order is {what}; wait until that is settled")
    if order.type is not OrderType.LIMIT or order.quantity is None or order.price is None:
        raise denied(Reason.UNSUPPORTED, "is no LIMIT order, only those can be amended", field="order_id")
