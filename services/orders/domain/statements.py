"""Turn an exchange's report into an event, or into nothing when it says nothing new."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from clients.exchanges.endings import EndedBy
from clients.exchanges.symbols import expiry_day
from clients.exchanges.trading import Fill, OrderReport, OrderType, Side, TimeInForce, VenueState
from services.orders.domain.altered import altered
from services.orders.domain.events import FillBody, Stated
from services.orders.domain.fold import Folded, merged
from services.orders.domain.legs import is_known, leg_named
from services.orders.domain.order import Order

AT_ONCE_NS: Final = 60_000_000_000
"""How long after its intent an order that must not take may be ended and count as never accepted: clocks differ, answers are late."""


def stated(report: OrderReport, leg: str = "") -> Stated:
    """Return the event body of a report."""
    return Stated(
        state=report.state,
        raw_state=report.raw_state[:64],
        exchange_order_id=report.exchange_order_id,
        quantity=report.quantity,
        price=report.price if report.price else None,
        filled=report.filled_quantity,
        average_price=report.average_price if report.average_price else None,
        update_time_ns=report.update_time_ns,
        reason=report.reason[:500],
        fill=fill_body(report.fill) if report.fill is not None else None,
        leg=leg,
    )


def fill_body(fill: Fill) -> FillBody:
    """Return the event's part of an execution."""
    return FillBody(fill.trade_id, fill.quantity, fill.price, fill.fee, fill.fee_currency, fill.trade_time_ns)


def ended_as(report: OrderReport, order: Order | None = None) -> VenueState:
    """Return how an order has ended, in the same word for the same thing: exchanges differ in what they call a cancel.

    What the exchange ended by itself is EXPIRED, for whatever cause and however much of it was executed. Only an order that was accepted
    to be ended at once because it must not take is REJECTED, as where it is refused instead. The exchange's own word stays beside it.
    Without an order the report's own terms count.
    """
    cause = ended_by(report, order)
    if report.state is VenueState.FILLED or cause is None:
        return report.state
    if cause is EndedBy.POST_ONLY and not report.filled_quantity and not _has_rested(order, report):
        return VenueState.REJECTED
    return VenueState.EXPIRED


def ended_by(report: OrderReport, order: Order | None = None) -> EndedBy | None:
    """Return why an order has ended that its owner did not end: as the exchange says, else as the terms of the order do."""
    if not report.state.terminal or report.ended_by is not None:
        return report.ended_by if report.state.terminal else None
    if report.state not in (VenueState.CANCELED, VenueState.EXPIRED):
        return None
    type_ = order.type if order is not None else report.type
    time_in_force = order.time_in_force if order is not None else report.time_in_force
    if type_ is OrderType.MARKET or time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        return EndedBy.TIME_IN_FORCE
    # Nobody but the exchange lets an order expire that may rest.
    if report.state is not VenueState.EXPIRED:
        return None
    return EndedBy.DELISTING if _at_the_end(report) else EndedBy.EXCHANGE


def is_delivery(report: OrderReport) -> bool:
    """Whether it is of an order with which the exchange closes a position because its instrument ends."""
    ended_early = report.state in (VenueState.CANCELED, VenueState.EXPIRED, VenueState.REJECTED)
    return report.ended_by is EndedBy.DELISTING and not ended_early


def _at_the_end(report: OrderReport) -> bool:
    """Whether it is of a contract that has come to its end: queries do not always say why they say that an order expired."""
    day = expiry_day(report.symbol)
    if day is None or report.update_time_ns is None:
        return False
    return datetime.fromtimestamp(report.update_time_ns // 1_000_000_000, UTC).date() >= day


def _has_rested(order: Order | None, report: OrderReport) -> bool:
    if order is None:
        return False
    ended_ns = report.update_time_ns if report.update_time_ns is not None else order.created_ns
    return bool(order.amending or order.queue_place) or ended_ns - order.created_ns > AT_ONCE_NS


def news(order: Order, report: OrderReport) -> Folded | None:
    """Return the event for a report that changes something, and what it makes of the order; None for one that repeats what is known.

    Without it an exchange that says the same every 30 seconds would fill the journal.
    """
    leg = leg_named(order, report.client_order_id, report.exchange_order_id)
    amended = "" if leg else _amend_moved(order, report)
    reason = (
        report.reason or amended or (_as_moved(order, report) if order.exchange_order_id else _moved(order, report))
    )
    body = altered(
        stated(report, leg),
        state=ended_as(report, order),
        ended_by=ended_by(report, order),
        reason=reason[:500],
        amend_moved=bool(amended),
    )
    after = merged(order, body)
    unchanged = altered(after, venue_update_ns=order.venue_update_ns, venue_state=order.venue_state) == order
    return None if unchanged else Folded(body, after)


def mismatch(order: Order, report: OrderReport) -> str:
    """Say in which field an exchange's order is not the one that was sent; empty when it is.

    Used before an order is adopted that answers to our client id. An amended order differs from its intent, so once there is an
    exchange id only that one counts.
    """
    if report.exchange != order.exchange:
        return f"{report.exchange} has it, too, after it went to {order.exchange}"
    leg = leg_named(order, report.client_order_id, report.exchange_order_id)
    if leg:
        return _leg_mismatch(order, report, leg)
    if order.exchange_order_id and report.exchange_order_id and order.exchange_order_id != report.exchange_order_id:
        return (
            f"the exchange has two orders under client id {order.venue_client_order_id}: "
            f"{order.exchange_order_id} and {report.exchange_order_id}"
        )
    if order.external:
        return ""
    if problem := _other_instrument(order, report):
        return problem
    if order.exchange_order_id:
        return ""
    sent = order.leg_quantity
    if report.quantity is not None and report.quantity != sent and not _amend(order, report.quantity):
        return f"quantity is {report.quantity}, sent was {sent}"
    if report.price and order.price is not None and report.price != order.price and not _amend(order, report.price):
        return "" if _moved(order, report) else f"price is {report.price}, sent was {order.price}"
    return ""


def _moved(order: Order, report: OrderReport) -> str:
    """Say that the exchange moved a price to its limit; empty when it did not, or does not do that.

    Such a limit is beyond the market, so a price can only have come closer to it: a buy got cheaper, a sell dearer.
    """
    price, sent = report.price, order.price
    if not report.price_may_move or not price or sent is None or _amend(order, price):
        return ""
    return _moved_text(report, sent) if is_closer(order.side, price, sent) else ""


def _as_moved(order: Order, report: OrderReport) -> str:
    """Return what was said of the price of an open order, while it has that price."""
    same = report.price_may_move and report.price in (None, order.price)
    return order.reason if order.state.live and same else ""


def _amend_moved(order: Order, report: OrderReport) -> str:
    """Say that the exchange has done an amend at its limit instead of the price that was asked for; empty when it has not.

    An order that shows neither its terms of before nor those that were asked for was amended all the same.
    """
    target, price, quantity = order.amending, report.price, report.quantity
    if target is None or not report.price_may_move or not price or quantity is None:
        return ""
    quantity += order.filled_before
    at_ns, known_ns = report.update_time_ns, order.venue_update_ns
    newer = at_ns is not None and (known_ns is None or at_ns > known_ns)
    as_before = (quantity, price) == (order.quantity, order.price)
    moved = quantity == target.quantity and is_closer(order.side, price, target.price)
    return _moved_text(report, target.price) if newer and moved and not as_before else ""


def is_closer(side: Side, price: Decimal, wanted: Decimal) -> bool:
    """Whether a price is closer to the market than the one that was wanted, as one is that was moved to the exchange's limit."""
    return price < wanted if side is Side.BUY else price > wanted


def _moved_text(report: OrderReport, wanted: Decimal) -> str:
    return f"{report.exchange} moved the price from {wanted} to {report.price}, its limit"


def _other_instrument(order: Order, report: OrderReport) -> str:
    if report.symbol != order.symbol or report.market != order.market:
        return f"symbol is {report.market} {report.symbol}, sent was {order.market} {order.symbol}"
    return "" if report.side is order.side else f"side is {report.side}, sent was {order.side}"


def _leg_mismatch(order: Order, report: OrderReport, leg: str) -> str:
    """Say in which field a replaced leg, or the replacement under way, is not what was sent."""
    if not is_known(order, leg):
        return f"the exchange has an order under client id {leg}, which was never sent"
    if problem := _other_instrument(order, report):
        return problem
    replacing = order.replacing
    if replacing is None or leg != replacing.venue_client_order_id:
        return ""
    if report.quantity is not None and report.quantity != replacing.quantity:
        return f"quantity of the replacement is {report.quantity}, sent was {replacing.quantity}"
    if report.price and report.price != replacing.price:
        return f"price of the replacement is {report.price}, sent was {replacing.price}"
    return ""


def _amend(order: Order, value: Decimal) -> bool:
    """Whether the difference is an amend of ours that has been applied."""
    return order.amending is not None and value in (order.amending.quantity, order.amending.price)
