"""What BitMEX is asked, by groups that fail together."""

from __future__ import annotations

from typing import Final

from clients.exchanges.bitmex.instruments import EXCHANGE
from clients.exchanges.endpoints import MARKET, Endpoints

ENDPOINTS: Final = Endpoints(
    targets=(EXCHANGE,),
    groups={
        MARKET: ("get_server_time", "get_instruments", "get_quote", "get_price"),
        "orders": ("place_order", "amend_order", "cancel_order", "cancel_all", "arm_dead_man"),
        "account": ("query_order", "open_orders", "orders_between", "fills", "positions"),
    },
)
