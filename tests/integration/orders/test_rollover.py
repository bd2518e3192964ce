"""A quarterly ends at simulated exchanges while the orders server is dead: started again, it says what has become of everything."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from tests.integration.orders.test_ends import AWAY, LIMIT, price
from tests.support.cli import until
from tests.support.order_server import OrderServer, order_server

FAMILIES = {
    ("binance", "BTC/USDT:USDT"): "0.01",
    ("binance", "BTC/USD:BTC"): "5",
    ("bybit", "BTC/USDT:USDT"): "0.01",
    ("bybit", "BTC/USD:BTC"): "500",
}


def quarters(server: OrderServer, exchange: str, family: str) -> list[pb.Instrument]:
    """Return the dated contracts that are listed, the next to end first."""
    listed = server.call("ListInstruments", pb.ListInstrumentsRequest(exchange=exchange, kind="delivery")).instruments
    return sorted((one for one in listed if one.symbol.startswith(f"{family}-")), key=lambda one: one.expiry_time_ns)


@pytest.mark.long
def test_a_server_that_was_killed_before_a_quarter_ends_finds_out_everything(tmp_path: Path) -> None:
    with order_server(tmp_path, "binance", "bybit", ORDERS_PRICE_BAND="0.2") as (server, simulators):
        server.start()
        server.wait_trading()
        old = {place: quarters(server, *place)[0] for place in FAMILIES}
        resting = {}
        for (exchange, family), quantity in FAMILIES.items():
            symbol = old[exchange, family].symbol
            key = f"{exchange}-{family}".replace(" ", "")
            server.place(f"{key}-held", exchange=exchange, symbol=symbol, quantity=quantity, valid_for_ms=10_000)
            limit = price(server, exchange, symbol, AWAY)
            terms = {"exchange": exchange, "symbol": symbol, "quantity": quantity, "price": limit, **LIMIT}
            resting[exchange, family] = server.place(f"{key}-rests", **terms)

        server.kill()
        for name, simulator in simulators.items():
            end_ns = next(one.expiry_time_ns for place, one in old.items() if place[0] == name)
            now_ns = simulator.admin("GET", "/sim")["time_ns"]
            simulator.admin("PUT", "/sim/clock", {"forward_seconds": (end_ns - now_ns) // 1_000_000_000 + 5})
        server.start()
        server.wait_trading()

        for place, order in resting.items():
            exchange, family = place

            def ended(order_id: str = order.order_id) -> pb.Order | None:
                now = server.call("GetOrder", pb.GetOrderRequest(order_id=order_id, refresh=True)).order
                return now if now.state == pb.ORDER_STATE_EXPIRED else None

            now = until(ended, what=f"the end of the order on {order.symbol}")
            held = server.call("ListPositions", pb.ListPositionsRequest(exchange=exchange)).positions
            assert now.ended_by == pb.ENDED_BY_DELISTING
            assert (now.symbol, now.exchange_symbol) == (order.symbol, order.exchange_symbol)
            assert {one.quantity for one in held if one.symbol == order.symbol} <= {"0"}
            assert order.symbol not in {one.symbol for one in quarters(server, exchange, family)}
            with pytest.raises(grpc.RpcError, match="it ended on 20") as refused:
                server.place(f"late-{exchange}-{family}", exchange=exchange, symbol=order.symbol, quantity="5")
            assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            fresh = quarters(server, exchange, family)[-1].symbol
            limit = price(server, exchange, fresh, AWAY)
            terms = {"exchange": exchange, "symbol": fresh, "quantity": FAMILIES[place], "price": limit, **LIMIT}
            assert server.place(f"new-{exchange}-{family}", **terms).state == pb.ORDER_STATE_NEW
        assert not any(order.halted or order.state == pb.ORDER_STATE_UNKNOWN for order in server.orders().values())
        assert server.switch().blocked == {}
        assert server.stop() == 0
