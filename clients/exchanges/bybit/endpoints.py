"""What Bybit is asked, by groups that fail together."""

from __future__ import annotations

from typing import Final

from clients.exchanges.bybit.markets import MARKETS, NAME
from clients.exchanges.endpoints import MARKET, Endpoints

ENDPOINTS: Final = Endpoints(
    targets=tuple(f"{NAME}:{market}" for market in MARKETS),
    groups={
        MARKET: ("get_server_time", "get_instruments", "get_quote", "get_price"),
        "orders": ("place_order", "amend_order"),
        # A group of its own: a breaker that keeps new orders back must not keep cancels back.
        "cancels": ("cancel_order", "cancel_all"),
        "account": ("query_order", "get_system_status", "open_orders", "orders_between", "fills", "positions"),
    },
)
