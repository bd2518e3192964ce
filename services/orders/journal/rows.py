"""Orders and executions as rows."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from clients.exchanges.trading import Side
from services.orders.domain import Order
from services.orders.journal.codec import encode
from services.orders.journal.store import FillRow


def order_row(order: Order) -> dict[str, Any]:
    """Return the row of an order: what it is found by, and the whole as a snapshot."""
    return {
        "order_id": order.order_id,
        "owner": order.owner,
        "client_order_id": order.client_order_id or None,
        "venue_client_order_id": order.venue_client_order_id,
        "exchange": order.exchange,
        "market": order.market,
        "symbol": order.symbol,
        "exchange_order_id": order.exchange_order_id,
        "state": order.state.value,
        "open": not order.state.terminal,
        "created_ns": order.created_ns,
        "revision": order.revision,
        "snapshot": encode(order),
    }


def fill_row(fill: FillRow) -> dict[str, Any]:
    """Return the row of an execution."""
    return {
        **vars(fill),
        "side": fill.side.value,
        "quantity": format(fill.quantity, "f"),
        "price": format(fill.price, "f"),
        "fee": None if fill.fee is None else format(fill.fee, "f"),
    }


def filled_rows(rows: Iterable[Any]) -> list[FillRow]:
    """Return executions from rows."""
    return [
        FillRow(
            **{
                **row._mapping,
                "side": Side(row.side),
                "quantity": Decimal(row.quantity),
                "price": Decimal(row.price),
                "fee": None if row.fee is None else Decimal(row.fee),
            }
        )
        for row in rows
    ]
