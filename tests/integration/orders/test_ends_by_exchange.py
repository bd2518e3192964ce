"""What an exchange ends by itself ends alike everywhere: orders, positions and listings, by the levers of the simulators."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from protos.orders.v1 import orders_pb2 as pb
from tests.integration.orders.test_ends import AWAY, LIMIT, MARKETS, price
from tests.support.cli import until
from tests.support.order_server import OrderServer, order_server
from tests.support.simulator_process import SimulatorProcess

EXCHANGES: Final = ("binance", "bitmex", "bybit")
SPOT: Final = "BTC/USDT"
DERIVATIVES: Final = {place: quantity for place, quantity in MARKETS.items() if place[1] != SPOT}
CAUSES: Final = {
    "liquidation": pb.ENDED_BY_LIQUIDATION,
    "auto-deleveraging": pb.ENDED_BY_DELEVERAGING,
    "settlement": pb.ENDED_BY_DELISTING,
    "administration": pb.ENDED_BY_EXCHANGE,
    "self-trade prevention": pb.ENDED_BY_SELF_TRADE,
}
UNTOLD: Final = {("binance", SPOT, "liquidation"), ("binance", SPOT, "settlement")}
"""Binance's spot market says no more than that it was the exchange."""
REFUSED: Final = {("binance", "auto-deleveraging")}
"""Binance ends no orders for somebody else's loss."""

Simulators = Mapping[str, SimulatorProcess]


def placed(
    server: OrderServer, key: str, factor: Decimal | None, *places: tuple[str, str]
) -> dict[tuple[str, str], str]:
    """Place an order to buy at each place, at the market or away from it; return their ids."""
    found = {}
    for exchange, symbol in places:
        terms = {} if factor is None else {**LIMIT, "price": price(server, exchange, symbol, factor)}
        quantity = MARKETS[exchange, symbol]
        order = server.place(
            f"{key}-{exchange}-{symbol}".replace(" ", "-"), exchange=exchange, symbol=symbol, quantity=quantity, **terms
        )
        found[exchange, symbol] = order.order_id
    return found


def seen(server: OrderServer, order_id: str) -> pb.Order:
    order: pb.Order = server.call("GetOrder", pb.GetOrderRequest(order_id=order_id, refresh=True)).order
    return order


def ended(server: OrderServer, order_id: str, cause: int) -> pb.Order:
    """Wait until an order says that it was ended for a cause: a query may say less than the stream, which comes later."""

    def said() -> pb.Order | None:
        order = seen(server, order_id)
        return order if order.ended_by == cause else None

    order: pb.Order = until(said, what=f"{pb.EndedBy.Name(pb.EndedBy.ValueType(cause))} of {order_id}")
    return order


@pytest.mark.nightly
def test_an_order_that_its_exchange_ends_says_why_alike_everywhere(tmp_path: Path, subtests: pytest.Subtests) -> None:
    with order_server(tmp_path, *EXCHANGES, ORDERS_PRICE_BAND="0.2") as (server, simulators):
        server.start()
        server.wait_trading()

        for why, cause in CAUSES.items():
            places = [place for place in MARKETS if (place[0], why) not in REFUSED]
            ids = placed(server, why, AWAY, *places)
            for (exchange, symbol), order_id in ids.items():
                with subtests.test(exchange=exchange, symbol=symbol, why=why):
                    before = seen(server, order_id)
                    body = {"id": before.venue_client_order_id, "why": why}
                    simulators[exchange].admin("POST", "/sim/orders/end", body)
                    expected = pb.ENDED_BY_EXCHANGE if (exchange, symbol, why) in UNTOLD else cause

                    after = ended(server, order_id, expected)

                    assert before.state == pb.ORDER_STATE_NEW
                    assert after.state == pb.ORDER_STATE_EXPIRED
                    assert after.venue_state
        assert server.stop() == 0


def own_orders(server: OrderServer, exchange: str, symbol: str) -> list[tuple[Any, ...]]:
    """Return the orders that nobody here placed, as the desk tells of them."""
    page = server.call("ListOrders", pb.ListOrdersRequest(exchange=exchange, symbol=symbol, page_size=500))
    return [(one.state, one.ended_by, one.side, one.filled_quantity) for one in page.orders if one.external]


def wait_own(server: OrderServer, exchange: str, symbol: str, closing: tuple[Any, ...]) -> None:
    until(lambda: closing in own_orders(server, exchange, symbol), what=f"the closing order of {exchange} {symbol}")


def wait_flat(server: OrderServer, exchange: str, symbol: str) -> None:
    until(lambda: held(server, exchange, symbol) == "0", what=f"a flat position of {exchange} {symbol}")


def held(server: OrderServer, exchange: str, symbol: str) -> str:
    rows = server.call("ListPositions", pb.ListPositionsRequest(exchange=exchange)).positions
    return next((row.quantity for row in rows if row.symbol == symbol), "0")


@pytest.mark.nightly
@pytest.mark.parametrize("why", ["liquidation", "auto-deleveraging"])
def test_a_position_that_its_exchange_closes_says_why_alike_everywhere(
    tmp_path: Path, subtests: pytest.Subtests, why: str
) -> None:
    with order_server(tmp_path, *EXCHANGES, ORDERS_PRICE_BAND="0.2") as (server, simulators):
        server.start()
        server.wait_trading()
        bought = placed(server, "market", None, *DERIVATIVES)
        resting = placed(server, "limit", AWAY, *DERIVATIVES)

        for (exchange, symbol), quantity in DERIVATIVES.items():
            with subtests.test(exchange=exchange, symbol=symbol):
                assert seen(server, bought[exchange, symbol]).state == pb.ORDER_STATE_FILLED
                name = seen(server, resting[exchange, symbol]).exchange_symbol
                simulators[exchange].admin(
                    "POST", "/sim/positions/close", {**market_of(exchange, symbol, name), "why": why}
                )

                closing = (pb.ORDER_STATE_FILLED, CAUSES[why], pb.SIDE_SELL, quantity)
                wait_own(server, exchange, symbol, closing)
                wait_flat(server, exchange, symbol)
                order = seen(server, resting[exchange, symbol])
                if why == "liquidation":
                    assert (order.state, order.ended_by) == (pb.ORDER_STATE_EXPIRED, CAUSES[why])
                else:
                    assert (order.state, order.ended_by) == (pb.ORDER_STATE_NEW, pb.ENDED_BY_UNSPECIFIED)
        assert server.stop() == 0


def market_of(exchange: str, symbol: str, name: str) -> dict[str, str]:
    """Return what a lever takes for an instrument: a market of the simulator where its name does not say it."""
    if exchange == "bitmex":
        return {"symbol": name}
    markets = {"binance": ("spot", "usdm", "coinm"), "bybit": ("spot", "linear", "inverse")}[exchange]
    return {"symbol": name, "market": markets[[SPOT, "BTC/USDT:USDT", "BTC/USD:BTC"].index(symbol)]}


@pytest.mark.nightly
def test_what_is_delisted_ends_alike_everywhere(tmp_path: Path, subtests: pytest.Subtests) -> None:
    with order_server(tmp_path, *EXCHANGES, ORDERS_PRICE_BAND="0.2") as (server, simulators):
        server.start()
        server.wait_trading()
        placed(server, "market", None, *DERIVATIVES)
        resting = placed(server, "limit", AWAY, *MARKETS)

        for exchange, symbol in MARKETS:
            with subtests.test(exchange=exchange, symbol=symbol):
                before = seen(server, resting[exchange, symbol])
                body = market_of(exchange, symbol, before.exchange_symbol)
                simulators[exchange].admin("POST", "/sim/listings/delist", body)
                untold = (exchange, symbol, "settlement") in UNTOLD
                expected = pb.ENDED_BY_EXCHANGE if untold else pb.ENDED_BY_DELISTING

                after = ended(server, resting[exchange, symbol], expected)

                assert after.state == pb.ORDER_STATE_EXPIRED
                if symbol != SPOT:
                    wait_flat(server, exchange, symbol)
                else:
                    assert after.quantity_base == before.quantity_base != ""
        assert server.stop() == 0
