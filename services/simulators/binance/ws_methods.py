"""What can be called over the websocket APIs: the methods of each market that do what a REST route does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.simulators.binance.listings import COINM, SPOT, USDM

WS_API_PATHS: Final[Mapping[str, str]] = {"/ws-api/v3": SPOT, "/ws-fapi/v1": USDM, "/ws-dapi/v1": COINM}
"""Where each market's is."""

_SPOT: Final = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
    "klines": ("GET", "klines"),
    "uiKlines": ("GET", "uiKlines"),
    "avgPrice": ("GET", "avgPrice"),
    "ticker": ("GET", "ticker"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.tradingDay": ("GET", "ticker/tradingDay"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "ticker.price": ("GET", "ticker/price"),
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "order/amend/keepPriority"),
    "order.amendments": ("GET", "order/amendments"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "myTrades": ("GET", "myTrades"),
    "myPreventedMatches": ("GET", "myPreventedMatches"),
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
    "account.rateLimits.orders": ("GET", "rateLimit/order"),
}
_FUTURES: Final = {
    "order.place": ("POST", "order"),
    "order.modify": ("PUT", "order"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "account.balance": ("GET", "balance"),
    "account.status": ("GET", "account"),
    "account.position": ("GET", "positionRisk"),
    "userDataStream.start": ("POST", "listenKey"),
    "userDataStream.ping": ("PUT", "listenKey"),
    "userDataStream.stop": ("DELETE", "listenKey"),
}
_USDM: Final = {
    **_FUTURES,
    "depth": ("GET", "depth"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "ticker.price": ("GET", "ticker/price"),
}


def _under(prefix: str, methods: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {name: (verb, f"{prefix}/{path}") for name, (verb, path) in methods.items()}


METHODS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    SPOT: _under("/api/v3", _SPOT),
    USDM: {
        **_under("/fapi/v1", _USDM),
        "v2/account.balance": ("GET", "/fapi/v3/balance"),
        "v2/account.status": ("GET", "/fapi/v3/account"),
        "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    },
    COINM: _under("/dapi/v1", _FUTURES),
}
"""By market and method: the route whose work it does."""
