"""What is not simulated, such as lists of orders or liquidations: refused by the exchange's own errors, and listed as none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulators.binance.call import Call, Handler, Route, Security, flat
from services.simulators.binance.errors import BinanceError
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM

LISTS = {
    "order/oco": "OCO orders are not supported for this symbol",
    "orderList/oco": "OCO orders are not supported for this symbol",
    "orderList/oto": "OTO orders are not supported for this symbol",
    "orderList/otoco": "OTO orders are not supported for this symbol",
    "sor/order": "This symbol is not permitted for this account.",
}
"""How spot refuses each, as `exchangeInfo` says it will: `ocoAllowed` and `otoAllowed` are false, `sors` is empty."""


class NotSimulated:
    """The routes."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""

        def route(market: str, handler: Handler, right: str = "read") -> Route:
            return Route(market, handler, flat(1), Security.SIGNED, right=right)

        table = {("POST", f"/api/v3/{path}"): route(SPOT, self.refuse_list, "order") for path in LISTS}
        for path in ("openOrderList", "allOrderList", "myAllocations"):
            table["GET", f"/api/v3/{path}"] = route(SPOT, self.none)
        table["GET", "/api/v3/orderList"] = route(SPOT, self.no_list)
        table["DELETE", "/api/v3/orderList"] = route(SPOT, self.no_list, "cancel")
        for market in (USDM, COINM):
            key = PREFIXES[market]
            table["POST", f"{key}/algoOrder"] = route(market, self.refuse_algo, "order")
            table["DELETE", f"{key}/algoOrder"] = route(market, self.no_algo, "cancel")
            table["GET", f"{key}/algoOrder"] = route(market, self.no_algo)
            for path in ("openAlgoOrders", "allAlgoOrders", "forceOrders"):
                table["GET", f"{key}/{path}"] = route(market, self.none)
        return table

    async def refuse_list(self, call: Call) -> Any:
        """Refuse a list of orders on a symbol that has none."""
        self._venue.listing(SPOT, call.need("symbol"))
        raise BinanceError(400, -2010, LISTS[call.route.removeprefix("POST /api/v3/")])

    async def refuse_algo(self, call: Call) -> Any:
        """Refuse a conditional order."""
        self._venue.listing(call.market, call.need("symbol"))
        raise BinanceError(400, -4084, "Method is not allowed currently. Conditional orders are not simulated.")

    async def no_list(self, call: Call) -> Any:
        """Say that there is no such list."""
        raise BinanceError(400, -2018 if call.route.startswith("GET") else -2011, "Order list does not exist.")

    async def no_algo(self, call: Call) -> Any:
        """Say that there is no such order."""
        raise BinanceError(400, -2013 if call.route.startswith("GET") else -2011, "Order does not exist.")

    async def none(self, call: Call) -> Any:
        """List nothing: there is none."""
        return []
