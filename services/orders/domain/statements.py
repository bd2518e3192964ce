"""Turn an exchange's report into an event, or into nothing when it says nothing new."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from clients.exchanges.trading import Fill, OrderReport
from services.orders.domain.events import FillBody, Stated
from services.orders.domain.fold import merged
from services.orders.domain.order import Order


def stated(report: OrderReport) -> Stated:
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
    )


def fill_body(fill: Fill) -> FillBody:
    """Return the event's part of an execution."""
    return FillBody(fill.trade_id, fill.quantity, fill.price, fill.fee, fill.fee_currency, fill.trade_time_ns)


def news(order: Order, report: OrderReport) -> Stated | None:
    """Return the event for a report that changes something, None for one that repeats what is known.

    Without it an exchange that says the same every 30 seconds would fill the journal.
    """
    body = stated(report)
    after = merged(order, body)
    unchanged = replace(after, venue_update_ns=order.venue_update_ns, venue_state=order.venue_state) == order
    return None if unchanged else body


def mismatch(order: Order, report: OrderReport) -> str:
    """Say in which field an exchange's order is not the one that was sent; empty when it is.

    Used before an order is adopted that answers to our client id. An amended order differs from its intent, so once there is an
    exchange id only that one counts.
    """
    if report.exchange != order.exchange:
        return f"{report.exchange} has it, too, after it went to {order.exchange}"
    if order.exchange_order_id and report.exchange_order_id and order.exchange_order_id != report.exchange_order_id:
        return (
            f"the exchange has two orders under client id {order.venue_client_order_id}: "
            f"{order.exchange_order_id} and {report.exchange_order_id}"
        )
    if order.external:
        return ""
    if report.symbol != order.symbol or report.market != order.market:
        return f"symbol is {report.market} {report.symbol}, sent was {order.market} {order.symbol}"
    if report.side is not order.side:
        return f"side is {report.side}, sent was {order.side}"
    if order.exchange_order_id:
        return ""
    if report.quantity is not None and report.quantity != order.quantity and not _amend(order, report.quantity):
        return f"quantity is {report.quantity}, sent was {order.quantity}"
    if report.price and order.price is not None and report.price != order.price and not _amend(order, report.price):
        return f"price is {report.price}, sent was {order.price}"
    return ""


def _amend(order: Order, value: Decimal) -> bool:
    """Whether the difference is an amend of ours that has been applied."""
    return order.amending is not None and value in (order.amending.quantity, order.amending.price)
