"""Several orders of the futures in one request: each stands for itself, and its answer or refusal has its place in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.runtime.json_text import read_json
from services.simulators.binance.call import Call, Handler, Route, Security, flat
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.futures_routes import FuturesRoutes
from services.simulators.binance.listings import PREFIXES

ORDERS_MAX: Final = 5
CANCELS_MAX: Final = 10
LISTS: Final = {
    "orderIdList": "orderId",
    "orderidlist": "orderId",
    "origClientOrderIdList": "origClientOrderId",
    "origclientorderidlist": "origClientOrderId",
}
"""What may name the orders to be cancelled, and what each entry is."""


class BatchOrders:
    """The routes of one futures market."""

    def __init__(self, orders: FuturesRoutes, market: str) -> None:
        self._orders = orders
        self._market = market

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market, path = self._market, f"{PREFIXES[self._market]}/batchOrders"
        signed = Security.SIGNED
        return {
            ("POST", path): Route(market, self.place, flat(5), signed, counts_order=True, right="order"),
            ("PUT", path): Route(market, self.amend, flat(5), signed, counts_order=True, right="order"),
            ("DELETE", path): Route(market, self.cancel, flat(1), signed, right="cancel"),
        }

    async def place(self, call: Call) -> Any:
        """Place each order."""
        return await self._each(call, _orders(call), self._orders.place)

    async def amend(self, call: Call) -> Any:
        """Amend each order."""
        return await self._each(call, _orders(call), self._orders.amend)

    async def cancel(self, call: Call) -> Any:
        """Cancel each order that is named."""
        symbol = call.need("symbol")
        # The names of the lists are taken in lower case as well: some clients send them so.
        given = [(key, name) for key, name in LISTS.items() if call.get(key)]
        if len(given) != 1:
            raise BinanceError(400, -1128, "Combination of optional parameters invalid.")
        [(key, name)] = given
        named = _listed(call, key)
        if not 1 <= len(named) <= CANCELS_MAX:
            raise BinanceError(400, -4032, "Exceed maximum cancel order size.")
        wanted = [{"symbol": symbol, name: str(one)} for one in named]
        return await self._each(call, wanted, self._orders.cancel)

    async def _each(self, call: Call, wanted: list[dict[str, str]], work: Handler) -> list[Any]:
        answers: list[Any] = []
        for parameters in wanted:
            one = Call(call.market, call.route, parameters, call.now_ns, call.account, call.expires_ms)
            try:
                answers.append(await work(one))
            except BinanceError as refusal:
                answers.append(refusal.payload())
        return answers


def _orders(call: Call) -> list[dict[str, str]]:
    wanted = _listed(call, "batchOrders")
    if not 1 <= len(wanted) <= ORDERS_MAX:
        raise BinanceError(400, -4082, f"Invalid number of batch place orders: {len(wanted)}")
    if not all(isinstance(one, dict) for one in wanted):
        raise missing("batchOrders")
    return [{name: _text(value) for name, value in one.items() if value is not None} for one in wanted]


def _listed(call: Call, name: str) -> list[Any]:
    try:
        found = read_json(call.need(name))
    except ValueError:
        raise missing(name) from None
    if not isinstance(found, list):
        raise missing(name)
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
