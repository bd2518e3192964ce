"""The same order ends in the same state on every exchange and market, with the exchange's own word beside it."""

from __future__ import annotations

import json
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from protos.orders.v1 import orders_pb2 as pb
from tests.support.cli import until
from tests.support.order_server import OrderServer, order_server

MARKETS = {
    ("binance", "BTC/USDT"): "0.002",
    ("binance", "BTC/USDT:USDT"): "0.01",
    ("binance", "BTC/USD:BTC"): "2",
    ("bitmex", "BTC/USD:BTC"): "200",
    ("bitmex", "BTC/USDT:USDT"): "1000",
    ("bitmex", "BTC/USDT"): "0.01",
    ("bybit", "BTC/USDT"): "0.002",
    ("bybit", "BTC/USDT:USDT"): "0.01",
    ("bybit", "BTC/USD:BTC"): "200",
}
LIMIT = {"type": pb.ORDER_TYPE_LIMIT, "valid_for_ms": 10_000}
AWAY, THROUGH = Decimal("0.97"), Decimal("1.005")
"""Within what every exchange lets a price be from the market."""


def price(server: OrderServer, exchange: str, symbol: str, factor: Decimal) -> str:
    request = urllib.request.Request(
        f"{server.rest_url}/v1/prices/{symbol}?exchange={exchange}", headers={"authorization": f"Bearer {server.key}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str((Decimal(json.load(answer)["price"]) * factor).quantize(Decimal(1)))


def ends(server: OrderServer, factor: Decimal, **terms: Any) -> dict[tuple[str, str], pb.Order]:
    """Place the same order everywhere; return what became of it, answered and heard on the streams."""
    placed = {
        (exchange, symbol): server.place(
            f"{exchange}-{symbol}-{sorted(terms.items())}".replace(" ", ""),
            exchange=exchange,
            symbol=symbol,
            quantity=quantity,
            price=price(server, exchange, symbol, factor),
            **LIMIT,
            **terms,
        )
        for (exchange, symbol), quantity in MARKETS.items()
    }

    def over() -> dict[tuple[str, str], pb.Order]:
        now = {
            place: server.call("GetOrder", pb.GetOrderRequest(order_id=order.order_id, refresh=True)).order
            for place, order in placed.items()
        }
        open_states = (pb.ORDER_STATE_NEW, pb.ORDER_STATE_PARTIALLY_FILLED, pb.ORDER_STATE_UNKNOWN)
        return {} if any(order.state in open_states for order in now.values()) else now

    return dict(until(over, what="an end of every order"))


def test_an_order_that_cannot_be_executed_ends_alike_everywhere(tmp_path: Path) -> None:
    with order_server(tmp_path, "binance", "bitmex", "bybit", ORDERS_PRICE_BAND="0.2") as (server, _):
        server.start()
        server.wait_trading()

        for time_in_force in (pb.TIME_IN_FORCE_IOC, pb.TIME_IN_FORCE_FOK):
            orders = ends(server, AWAY, time_in_force=time_in_force)
            states = {place: pb.OrderState.Name(order.state) for place, order in orders.items()}
            assert set(states.values()) == {"ORDER_STATE_EXPIRED"}, states
            assert all(order.venue_state or order.reason for order in orders.values())
            assert {order.filled_quantity for order in orders.values()} == {"0"}
            assert {order.ended_by for order in orders.values()} == {pb.ENDED_BY_TIME_IN_FORCE}

        orders = ends(server, THROUGH, post_only=True)
        states = {place: pb.OrderState.Name(order.state) for place, order in orders.items()}
        assert set(states.values()) == {"ORDER_STATE_REJECTED"}, states
        assert {order.ended_by for order in orders.values()} == {pb.ENDED_BY_POST_ONLY}
        assert all(order.venue_state or order.reason for order in orders.values())
        assert server.stop() == 0
