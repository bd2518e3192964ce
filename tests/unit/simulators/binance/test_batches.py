"""Several orders in one request of the futures; lists of orders and conditional orders, which there are none of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, USDM
from tests.support.simulated_calls import virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

SYMBOLS = {USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
futureswise = pytest.mark.parametrize("market", [USDM, COINM])


def order(market: str, **more: Any) -> dict[str, Any]:
    usual = {"symbol": SYMBOLS[market], "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "60000"}
    return {**usual, "quantity": "5" if market == COINM else "0.01", **more}


@pytest.mark.quick
@futureswise
def test_each_order_of_a_batch_stands_for_itself(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        path, symbol = f"{PREFIXES[market]}/batchOrders", SYMBOLS[market]
        wanted = [
            order(market, newClientOrderId="a"),
            order(market, quantity="0"),
            order(market, newClientOrderId="b", reduceOnly=False),
        ]
        placed = (await calls.signed("POST", path, batchOrders=json.dumps(wanted))).payload
        terms = [
            {
                "symbol": symbol,
                "side": "BUY",
                "orderId": placed[0]["orderId"],
                "quantity": wanted[0]["quantity"],
                "price": "59000",
            },
            {"symbol": symbol, "side": "BUY", "orderId": 1, "quantity": wanted[0]["quantity"], "price": "59000"},
        ]
        amended = (await calls.signed("PUT", path, batchOrders=json.dumps(terms))).payload
        open_now = (await calls.signed("GET", f"{PREFIXES[market]}/openOrders", symbol=symbol)).payload
        canceled = (await calls.signed("DELETE", path, symbol=symbol, origClientOrderIdList='["a","z"]')).payload
        rest = (await calls.signed("DELETE", path, symbol=symbol, orderidlist=f"[{placed[2]['orderId']}]")).payload

        assert [placed[0]["clientOrderId"], placed[2]["clientOrderId"]] == ["a", "b"]
        assert placed[1]["code"] == -4003
        assert [amended[0]["price"], amended[1]["code"]] == ["59000", -2013]
        assert {row["clientOrderId"] for row in open_now} == {"a", "b"}
        assert [canceled[0]["status"], canceled[1]["code"]] == ["CANCELED", -2011]
        assert rest[0]["status"] == "CANCELED"

    run_virtual(main)


@pytest.mark.parametrize(
    ("method", "parameters", "code"),
    [
        ("POST", {}, -1102),
        ("POST", {"batchOrders": "no json"}, -1102),
        ("POST", {"batchOrders": "{}"}, -1102),
        ("POST", {"batchOrders": "[1]"}, -1102),
        ("POST", {"batchOrders": "[]"}, -4082),
        ("POST", {"batchOrders": json.dumps([{}] * 6)}, -4082),
        ("DELETE", {"symbol": "BTCUSDT"}, -1128),
        ("DELETE", {"symbol": "BTCUSDT", "orderIdList": "[1]", "origClientOrderIdList": '["a"]'}, -1128),
        ("DELETE", {"symbol": "BTCUSDT", "orderIdList": json.dumps(list(range(11)))}, -4032),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(method: str, parameters: dict[str, str], code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        said = await calls.signed(method, "/fapi/v1/batchOrders", at_ms=None, **parameters)

        assert said.code == code
        assert list(calls.venue.engine.book.all()) == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/api/v3/order/oco", -2010),
        ("POST", "/api/v3/orderList/oco", -2010),
        ("POST", "/api/v3/orderList/oto", -2010),
        ("POST", "/api/v3/orderList/otoco", -2010),
        ("POST", "/api/v3/sor/order", -2010),
        ("DELETE", "/api/v3/orderList", -2011),
        ("POST", "/fapi/v1/algoOrder", -4084),
        ("DELETE", "/fapi/v1/algoOrder", -2011),
    ],
)
def test_what_is_not_simulated_is_refused_by_the_exchanges_own_error(method: str, path: str, code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        said = await calls.signed(method, path, symbol="BTCUSDT", side="SELL", quantity="1", price="90000")
        unknown = await calls.signed(method, path, symbol="NOSUCH")

        assert (said.status, said.code) == (400, code)
        assert unknown.code == (-1121 if method == "POST" else code)
        assert list(calls.venue.engine.book.all()) == []

    run_virtual(main)


@pytest.mark.parametrize("path", ["/api/v3/openOrderList", "/api/v3/allOrderList", "/fapi/v1/openAlgoOrders"])
def test_lists_that_are_refused_are_listed_as_none(path: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        assert (await virtual_binance(loop).signed("GET", path)).payload == []

    run_virtual(main)
