"""List orders and executions by pages, the same for both faces."""

from __future__ import annotations

from dataclasses import replace

from services.orders.desk import Desk
from services.orders.domain import Order
from services.orders.engine.commands import Caller
from services.orders.filters import exchange_filter, symbol_filter
from services.orders.journal.store import FillFilter, FillRow, OrderFilter
from services.orders.paging import page_size, page_token, position_of


async def order_page(
    desk: Desk, caller: Caller, wanted: OrderFilter, *, size: int, token: str
) -> tuple[list[Order], str]:
    """Return matching orders, oldest first, and the token of the next page; it is empty on the last one."""
    rows = page_size(size)
    position = position_of(token, int, str)
    wanted = replace(wanted, exchange=exchange_filter(wanted.exchange), symbol=symbol_filter(wanted.symbol))
    # One more than is shown tells whether there are more.
    found = await desk.find(caller, replace(wanted, after=position, limit=rows + 1))
    page = found[:rows]
    return page, page_token(page[-1].created_ns, page[-1].order_id) if len(found) > rows else ""


async def fill_page(
    desk: Desk, caller: Caller, wanted: FillFilter, *, size: int, token: str
) -> tuple[list[FillRow], str]:
    """Return matching executions, oldest first, and the token of the next page; it is empty on the last one."""
    rows = page_size(size)
    position = position_of(token, int, str, str, str, str)
    wanted = replace(wanted, exchange=exchange_filter(wanted.exchange), symbol=symbol_filter(wanted.symbol))
    found = await desk.fills(caller, replace(wanted, after=position, limit=rows + 1))
    page = found[:rows]
    if len(found) <= rows:
        return page, ""
    last = page[-1]
    return page, page_token(last.trade_time_ns, last.exchange, last.market, last.symbol, last.trade_id)
