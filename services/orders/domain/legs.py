"""Orders that consist of several orders at the exchange, one after the other: which one a statement is about, and what they sum to."""

from __future__ import annotations

from decimal import Decimal

from services.orders.domain.altered import altered
from services.orders.domain.client_ids import order_id_of
from services.orders.domain.events import Replacing, Stated
from services.orders.domain.order import ZERO, Leg, Order, Replacement
from services.orders.domain.states import OrderState


def leg_named(order: Order, client_order_id: str, exchange_order_id: str) -> str:
    """Return the client id of the leg that a statement is about; empty for the present one."""
    if exchange_order_id:
        if exchange_order_id == order.exchange_order_id:
            return ""
        for leg in order.replaced:
            if leg.exchange_order_id == exchange_order_id:
                return leg.venue_client_order_id
    if client_order_id == order.venue_client_order_id or order_id_of(client_order_id) != order.order_id:
        return ""
    return client_order_id


def is_known(order: Order, leg: str) -> bool:
    """Whether a leg was journalled before it was sent, as every one is."""
    names = {one.venue_client_order_id for one in order.replaced}
    return leg in names or (order.replacing is not None and leg == order.replacing.venue_client_order_id)


def begun(order: Order, body: Replacing) -> Order:
    """Return the order with a replacement that may go out."""
    before = order.replacement
    replacing = Replacement(
        body.venue_client_order_id,
        body.quantity,
        body.price,
        body.until_ns,
        ended=before.ended if before is not None else "",
    )
    # What was uncertain were requests that can have no effect any more: each needs the order before to be as it was.
    target = altered(order.amending, uncertain=False, expires_server_ns=None) if order.amending is not None else None
    return altered(order, replacing=replacing, amending=target)


def given_up(replacing: Replacement | None) -> Replacement | None:
    """Return a replacement as one that nobody waits for."""
    return None if replacing is None else altered(replacing, given_up=True)


def adopted(order: Order) -> Order:
    """Return the order after its replacement has shown: that is the present leg now."""
    replacing = order.replacing
    assert replacing is not None
    leg = Leg(
        order.venue_client_order_id, order.exchange_order_id, order.filled - order.filled_before, _leg_notional(order)
    )
    moved = altered(
        order,
        replaced=(*order.replaced, leg),
        replacing=None,
        venue_client_order_id=replacing.venue_client_order_id,
        exchange_order_id="",
        venue_state="",
        venue_update_ns=None,
        price=replacing.price,
        state=OrderState.PARTIALLY_FILLED if order.filled else OrderState.NEW,
        reason="",
        ended_by=None,
    )
    quantity = replacing.quantity
    return moved if quantity is None else altered(moved, quantity=order.filled + quantity)


def in_total(order: Order, stated: Stated) -> Stated:
    """Return a statement about the present leg with what was executed of the legs before."""
    if not order.replaced:
        return stated
    before = order.filled_before
    average: Decimal | None = None
    if stated.filled is not None and stated.filled and stated.average_price is not None:
        worth = _notional(order.replaced)
        if worth is not None:
            average = ((worth + stated.filled * stated.average_price) / (before + stated.filled)).normalize()
    return altered(
        stated,
        quantity=None if stated.quantity is None else before + stated.quantity,
        filled=None if stated.filled is None else before + stated.filled,
        average_price=average,
    )


def with_past_leg(order: Order, stated: Stated) -> Order:
    """Return the order after a statement about a leg that was replaced: only what was executed of it still counts."""
    legs = tuple(_told(leg, stated) if leg.venue_client_order_id == stated.leg else leg for leg in order.replaced)
    grown = sum((leg.filled for leg in legs), ZERO) - order.filled_before
    return altered(
        order,
        replaced=legs,
        filled=order.filled + grown,
        quantity=None if order.quantity is None else order.quantity + grown,
    )


def _told(leg: Leg, stated: Stated) -> Leg:
    exchange_order_id = leg.exchange_order_id or stated.exchange_order_id
    if stated.filled is None or stated.filled <= leg.filled:
        return altered(leg, exchange_order_id=exchange_order_id)
    worth = stated.filled * stated.average_price if stated.average_price is not None else None
    return altered(leg, exchange_order_id=exchange_order_id, filled=stated.filled, notional=worth)


def _notional(legs: tuple[Leg, ...]) -> Decimal | None:
    found = ZERO
    for leg in legs:
        if leg.notional is None:
            return None
        found += leg.notional
    return found


def _leg_notional(order: Order) -> Decimal | None:
    if order.filled == order.filled_before:
        return ZERO
    before = _notional(order.replaced)
    if before is None or order.average_price is None:
        return None
    return order.filled * order.average_price - before
