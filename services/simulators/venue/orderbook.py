"""All orders and fills of a venue, found by id, by client id, by listing; what is closed longest is forgotten first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from services.simulators.venue.orders import Fill, Order

ORDERS_MAX: Final = 200_000
FILLS_MAX: Final = 400_000


class OrderBook:
    """The engine's memory. Open orders are never forgotten."""

    def __init__(self, *, orders_max: int = ORDERS_MAX) -> None:
        self._orders: dict[int, Order] = {}
        self._open: dict[tuple[str, str], dict[int, Order]] = {}
        self._by_client: dict[tuple[str, str, str, str], list[int]] = {}
        self._orders_max = orders_max
        self.fills: deque[Fill] = deque()
        """The newest, oldest first."""
        self._fills_of: dict[int, list[Fill]] = {}

    def add(self, order: Order) -> None:
        """Remember an order, open or not."""
        self._orders[order.id] = order
        if order.status.is_open:
            self._open.setdefault(_place(order), {})[order.id] = order
        self._by_client.setdefault(_client(order, order.client_id), []).append(order.id)
        if len(self._orders) > self._orders_max:
            self._forget_oldest()

    def executed(self, fill: Fill) -> None:
        """Remember an execution, and forget the oldest one where there are too many."""
        self.fills.append(fill)
        self._fills_of.setdefault(fill.order_id, []).append(fill)
        if len(self.fills) > FILLS_MAX:
            oldest = self.fills.popleft()
            of_its_order = self._fills_of[oldest.order_id]
            of_its_order.remove(oldest)
            if not of_its_order:
                del self._fills_of[oldest.order_id]

    def fills_of(self, order_id: int) -> list[Fill]:
        """Return the executions of an order, as far as they are remembered, oldest first."""
        return list(self._fills_of.get(order_id, ()))

    def close(self, order: Order) -> None:
        """Take an order out of the open ones."""
        self._open.get(_place(order), {}).pop(order.id, None)

    def rename(self, order: Order, client_id: str) -> None:
        """Give an order another client id; the old one finds it no longer."""
        ids = self._by_client.get(_client(order, order.client_id), [])
        if order.id in ids:
            ids.remove(order.id)
        order.client_id = client_id
        self._by_client.setdefault(_client(order, client_id), []).append(order.id)

    def get(self, order_id: int) -> Order | None:
        """Return the order, if it is known."""
        return self._orders.get(order_id)

    def named(self, name: str) -> Order:
        """Return an order by any of its ids: the engine's number, the exchange's own, the client's (of several the newest)."""
        found = self.get(int(name)) if name.isascii() and name.isdecimal() and len(name) < 20 else None
        if found is None and name:
            found = next(
                (one for one in reversed(self._orders.values()) if name in (one.client_id, *one.marks.values())), None
            )
        if found is None:
            raise ValueError(f"no order has the id {name[:64]!r}; GET /sim/orders lists them")
        return found

    def by_client_id(self, account: str, market: str, symbol: str, client_id: str) -> list[Order]:
        """Return all orders that ever had the id, oldest first."""
        ids = self._by_client.get((account, market, symbol, client_id), [])
        return [self._orders[order_id] for order_id in ids if order_id in self._orders]

    def open_at(self, market: str, symbol: str) -> list[Order]:
        """Return the open orders of a listing."""
        return list(self._open.get((market, symbol), {}).values())

    def open_of(self, account: str, market: str | None = None, symbol: str | None = None) -> list[Order]:
        """Return an account's open orders, oldest first."""
        found = [
            order
            for (its_market, its_symbol), orders in self._open.items()
            if market in (None, its_market) and symbol in (None, its_symbol)
            for order in orders.values()
            if order.account == account
        ]
        return sorted(found, key=lambda order: order.id)

    def places_with_orders(self) -> list[tuple[str, str]]:
        """Return the (market, symbol) pairs where something is open."""
        return [place for place, orders in self._open.items() if orders]

    def of(self, account: str, market: str | None = None, symbol: str | None = None) -> Iterator[Order]:
        """Yield an account's orders, oldest first."""
        for order in self._orders.values():
            if (
                order.account == account
                and market in (None, order.listing.market)
                and symbol in (None, order.listing.symbol)
            ):
                yield order

    def all(self) -> Iterator[Order]:
        """Yield every order, oldest first."""
        yield from self._orders.values()

    def _forget_oldest(self) -> None:
        for order_id, order in self._orders.items():
            if not order.status.is_open:
                del self._orders[order_id]
                ids = self._by_client[_client(order, order.client_id)]
                ids.remove(order_id)
                if not ids:
                    del self._by_client[_client(order, order.client_id)]
                return


def _place(order: Order) -> tuple[str, str]:
    return order.listing.market, order.listing.symbol


def _client(order: Order, client_id: str) -> tuple[str, str, str, str]:
    return order.account, order.listing.market, order.listing.symbol, client_id


def make_room(known: dict[tuple[str, str], Order]) -> None:
    """Forget the oldest order that is not open, where there are more than are remembered."""
    if len(known) > ORDERS_MAX:
        oldest = next((key for key, order in known.items() if not order.status.is_open), None)
        if oldest is not None:
            del known[oldest]
