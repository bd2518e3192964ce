"""What is asked about orders and fills: what is open, what has ended, what was traded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from services.simulators.bybit.call import Call, Route
from services.simulators.bybit.conditional import is_meant, order_filter
from services.simulators.bybit.errors import parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.funding import EXECUTION_TYPE
from services.simulators.bybit.listings import LINEAR, SPOT
from services.simulators.bybit.render import TRADE, execution_row, order_row
from services.simulators.bybit.sightings import Execution, Sighting
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order

T = TypeVar("T", Sighting, Execution)

WEEK_MS: Final = 7 * 86_400_000
SELECTORS: Final = "params error: Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"


class QueryRoutes:
    """Realtime, history, executions. An order that is not there is an empty list, not an error."""

    def __init__(self, venue: BybitExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/v5/order/realtime"): Route(self.realtime, signed=True),
            ("GET", "/v5/order/history"): Route(self.history, signed=True),
            ("GET", "/v5/execution/list"): Route(self.executions, signed=True),
        }

    async def realtime(self, call: Call) -> Any:
        """List what is open; with an id, or when asked for, what has just ended as well."""
        category, seen = call.category, self._venue.sightings
        named = _is_named(call)
        if category == LINEAR and not named and not _is_selected(call):
            raise parameter(SELECTORS)
        found: Iterable[Sighting] = seen.open_of(call.owner, category)
        if named:
            found = [one for one in self._named(call) if seen.is_remembered(one, call.now_ns)]
        elif call.number("openOnly", 0, least=0) == 1:
            found = seen.closed_of(call.owner, category, call.now_ns)
        return self._orders(call, category, found, "page_args={}&symbol=6&")

    async def history(self, call: Call) -> Any:
        """List what has ended: without times, of the last seven days."""
        category, seen = call.category, self._venue.sightings
        start_ms, end_ms = self._span(call)
        found: Iterable[Sighting] = seen.history_of(call.owner, category, call.now_ns, self._engine_ns(start_ms))
        if _is_named(call):
            found = [one for one in self._named(call) if seen.is_history(one, call.now_ns)]
        within = [one for one in found if start_ms <= self._venue.shown_ms(one.order.created_ns) <= end_ms]
        return self._orders(call, category, within, "page_token={}&")

    async def executions(self, call: Call) -> Any:
        """List fills."""
        category = call.category
        start_ms, end_ms = self._span(call)
        wanted, since_ns = call.get("execType"), self._engine_ns(start_ms)
        found = [
            one
            for one in self._venue.sightings.executions_of(call.owner, category, call.now_ns, since_ns)
            if start_ms <= self._venue.shown_ms(one.event.time_ns) <= end_ms
            and wanted in (None, one.event.order.marks.get(EXECUTION_TYPE, TRADE))
            and _is_wanted(call, one.event.order)
        ]
        limit = call.number("limit", 50, most=100)
        page, cursor = _page(call, found, limit, lambda one: f"{one.number}:2,{one.number}:2")
        rows = [execution_row(one, self._venue.shown_ms) for one in page]
        return {"nextPageCursor": cursor, "category": category, "list": rows}

    def _orders(self, call: Call, category: str, found: Iterable[Sighting], form: str) -> Any:
        kind = order_filter(call)
        seen = [
            one
            for one in found
            if _is_wanted(call, one.order) and is_meant(one.order, kind) and self._venue.sees(one.order, call.route)
        ]
        form = "{}" if category == SPOT else form

        def place(one: Sighting) -> str:
            return form.format(one.order.marks["orderId"])

        page, cursor = _page(call, seen, call.number("limit", 20, most=50), place)
        rows = [order_row(one, self._venue.shown_ms) for one in page]
        return {"list": rows, "nextPageCursor": cursor, "category": category}

    def _named(self, call: Call) -> Iterator[Sighting]:
        order = self._venue.find_order(call.owner, call.get("orderId"), call.get("orderLinkId"))
        one = None if order is None else self._venue.sightings.of(order)
        if one is not None and one.order.listing.market == call.category:
            yield one

    def _engine_ns(self, shown_ms: int) -> int:
        """Return what a time on the exchange's clock is on the engine's."""
        return shown_ms * 1_000_000 - (self._venue.exchange_ns() - self._venue.wall_ns())

    def _span(self, call: Call) -> tuple[int, int]:
        start_ms, end_ms = call.time_ms("startTime"), call.time_ms("endTime")
        if start_ms is None and end_ms is None:
            now_ms = self._venue.shown_ms(call.now_ns)
            return now_ms - WEEK_MS, now_ms
        if start_ms is None:
            assert end_ms is not None
            return end_ms - WEEK_MS, end_ms
        if end_ms is None:
            return start_ms, start_ms + WEEK_MS
        if end_ms - start_ms > WEEK_MS:
            raise parameter("The time range between startTime and endTime cannot exceed 7 days")
        if end_ms < start_ms:
            raise parameter("params error: startTime is after endTime")
        return start_ms, end_ms


def _is_named(call: Call) -> bool:
    return call.get("orderId") is not None or call.get("orderLinkId") is not None


def _is_selected(call: Call) -> bool:
    return any(call.get(name) is not None for name in ("symbol", "baseCoin", "settleCoin"))


def _is_wanted(call: Call, order: Order) -> bool:
    """Whether an order is what the strongest of the filters says: orderId, orderLinkId, symbol, baseCoin, settleCoin."""
    listing: Listing = order.listing
    for name, value in (
        ("orderId", order.marks["orderId"]),
        ("orderLinkId", order.client_id),
        ("symbol", listing.symbol),
        ("baseCoin", listing.base),
        ("settleCoin", listing.settle),
    ):
        wanted = call.get(name)
        if wanted is not None:
            return wanted == value
    return True


def _page(call: Call, found: Sequence[T], limit: int, place: Callable[[T], str]) -> tuple[list[T], str]:
    """Return one page and where the next begins: a place is named even behind the last row, percent-encoded."""
    cursor = call.get("cursor")
    start = 0
    if cursor is not None:
        places = [place(one) for one in found]
        if cursor not in places:
            raise parameter("params error: cursor invalid")
        start = places.index(cursor) + 1
    page = list(found[start : start + limit])
    return page, quote(place(page[-1]), safe="-") if page else ""
