"""What recorded and documented payloads have, the simulated Binance has too, as the same kind of value.

Provenance of each file: shared/exchanges/recorded/index.json. Figures are never compared, only names and kinds.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.simulated_calls import BinanceCalls, admin, virtual_binance
from tests.support.simulated_shapes import lacking, recorded, recorded_body
from tests.support.simulated_venues import connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_streams import LIVELY, user_socket

STOPS = frozenset(
    {"activatePrice", "priceRate", "trailingDelta", "trailingTime", "strategyId", "strategyType", "priceMatch"}
)
"""Of order types that are not simulated."""
RETIRED = frozenset({"avgPrice", "cumQuote", "cumBase"})
"""Not in acknowledgements since July 2026."""
OLD = frozenset({"pair", "cumQty", "autoAssetExchange"})
"""Present on one of the two futures markets, in another kind of answer, or text in captures and a number in documents."""


async def answers(calls: BinanceCalls, prefix: str, symbol: str) -> dict[str, Any]:
    """Place, amend, query, trade and cancel; return what was answered."""
    key = f"{prefix}/order"
    made: dict[str, Any] = {}
    quantity = "5" if prefix == "/dapi/v1" else "0.002"
    placed = await calls.limit(key, symbol=symbol, quantity=quantity)
    named = {"symbol": symbol, "orderId": placed.payload["orderId"]}
    made["PlaceOrder"] = placed.payload
    made["GetOrder"] = (await calls.signed("GET", key, **named)).payload
    made["GetOrders"] = (await calls.signed("GET", f"{prefix}/allOrders", symbol=symbol)).payload
    made["GetOpenOrders"] = (await calls.signed("GET", f"{prefix}/openOrders", symbol=symbol)).payload
    if prefix == "/api/v3":
        trade = await calls.signed("POST", key, symbol=symbol, side="BUY", type="MARKET", quantity=quantity)
        made["PlaceOrder"] = trade.payload
        made["GetUserTrades"] = (await calls.signed("GET", f"{prefix}/myTrades", symbol=symbol)).payload
        amended = await calls.signed("PUT", f"{key}/amend/keepPriority", newQty="0.001", **named)
        made["AmendOrder"] = amended.payload
    else:
        made["GetOpenOrder"] = (await calls.signed("GET", f"{prefix}/openOrder", **named)).payload
        target = {"side": "BUY", "quantity": quantity, "price": "59000"}
        made["EditOrder"] = (await calls.signed("PUT", key, **named, **target)).payload
        made["GetOrderEditHistory"] = (await calls.signed("GET", f"{prefix}/orderAmendment", **named)).payload
    made["CancelOrder"] = (await calls.signed("DELETE", key, **named)).payload
    made["GetServerTime"] = (await calls.get(f"{prefix}/time")).payload
    made["GetExchangeInfo"] = (await calls.get(f"{prefix}/exchangeInfo")).payload
    made["GetBookPrices"] = (await calls.get(f"{prefix}/ticker/bookTicker")).payload
    made["GetBookPrice"] = made["GetBookPrices"][0]
    return made


SHARED = ("PlaceOrder", "GetOrder", "GetOrders", "GetOpenOrders", "CancelOrder", "GetServerTime")
MARKETS = {
    "spot": ("/api/v3", "BTCUSDT", (*SHARED, "GetUserTrades", "GetBookPrice")),
    "usdm": (
        "/fapi/v1",
        "BTCUSDT",
        (*SHARED, "GetOpenOrder", "EditOrder", "GetOrderEditHistory", "GetExchangeInfo", "GetBookPrice"),
    ),
    "coinm": ("/dapi/v1", "BTCUSD_PERP", (*SHARED, "GetOpenOrder", "GetExchangeInfo", "GetBookPrices")),
}


@pytest.mark.quick
@pytest.mark.parametrize("market", MARKETS)
def test_documented_answers(market: str) -> None:
    """Provenance: documentation examples paired with routes."""
    prefix, symbol, names = MARKETS[market]

    async def main(loop: VirtualLoop) -> None:
        made = await answers(virtual_binance(loop), prefix, symbol)
        without = STOPS | (RETIRED if market != "spot" else frozenset()) | OLD
        problems = {
            name: lacking(made[name], recorded_body(f"binance/{market}/rest/binancenet/{name}.json"), without=without)
            for name in names
        }
        assert {name: found for name, found in problems.items() if found} == {}

    run_virtual(main)


@pytest.mark.parametrize("market", MARKETS)
def test_captured_instrument_lists(market: str) -> None:
    """Provenance: captured in 2021; filters that were renamed since are left out."""
    prefix, _, _ = MARKETS[market]

    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_binance(loop).get(f"{prefix}/exchangeInfo")).payload
        theirs = recorded(f"binance/{market}/rest/exchangeInfo.2021-capture.A.json")

        assert lacking(ours, theirs, without=frozenset({"filters", "permissions"})) == []
        mine = {row["filterType"]: row for row in ours["symbols"][0]["filters"]}
        for row in theirs["symbols"][0]["filters"]:
            if row["filterType"] in ("PERCENT_PRICE", "MIN_NOTIONAL", "ICEBERG_PARTS") and market == "spot":
                continue
            assert lacking(mine[row["filterType"]], row) == []

    run_virtual(main)


def test_amended_order_as_documented() -> None:
    """Provenance: the exchange's own documentation."""

    async def main(loop: VirtualLoop) -> None:
        ours = (await answers(virtual_binance(loop), "/api/v3", "BTCUSDT"))["AmendOrder"]
        theirs = recorded_body("binance/spot/rest/docs/amendKeepPriority.single.json")
        assert lacking(ours, theirs) == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "cancel_id", "mode"),
    [
        ("cancelReplace.ok", "mine", "STOP_ON_FAILURE"),
        ("cancelReplace.stopOnFailure.cancelFailed", "other", "STOP_ON_FAILURE"),
        ("cancelReplace.allowFailure.cancelFailed.newOk", "other", "ALLOW_FAILURE"),
    ],
)
def test_cancel_replace_as_documented(name: str, cancel_id: str, mode: str) -> None:
    """Provenance: the exchange's own documentation."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")
        ours = await calls.limit(
            "/api/v3/order/cancelReplace", cancelReplaceMode=mode, cancelOrigClientOrderId=cancel_id, price="59000"
        )
        theirs = recorded(f"binance/spot/rest/docs/{name}.json")["response"]

        assert ours.status == theirs["status"]
        assert lacking(ours.payload, theirs["body"]) == []
        if theirs["status"] != 200:
            assert ours.payload["data"]["cancelResponse"] == theirs["body"]["data"]["cancelResponse"]

    run_virtual(main)


def test_user_events_as_documented() -> None:
    """Provenance: documentation examples in a client's test data."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        spot = await user_socket(calls)
        key = (await calls.keyed("POST", "/fapi/v1/listenKey")).payload["listenKey"]
        futures = connect(calls.venue, f"/fstream/private/ws/{key}")
        for path in ("/api/v3/order", "/fapi/v1/order"):
            placed = await calls.limit(path)
            admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {"quantity": "0.001"})
            await calls.signed("DELETE", path, symbol="BTCUSDT", orderId=placed.payload["orderId"])

        new, trade, canceled = [json.loads(await spot.recv()) for _ in range(3)]
        assert lacking(new, recorded("binance/spot/ws/nautilus/execution_report_wrapped.json")) == []
        for event, name in ((trade, "trade"), (canceled, "canceled")):
            theirs = recorded(f"binance/spot/ws/nautilus/execution_report_{name}.json")
            assert lacking(event["event"], theirs) == []
        new, lite, trade = [json.loads(await futures.recv()) for _ in range(3)]
        trailing = frozenset({"AP", "cr", "N", "n"})
        assert lacking(new, recorded("binance/usdm/ws/nautilus/order_update_new.json"), without=trailing) == []
        theirs = recorded("binance/usdm/ws/nautilus/order_update_trade_partial.json")
        assert lacking(trade, theirs, without=frozenset({"AP", "cr"})) == []
        assert lacking(lite, recorded("binance/usdm/ws/nautilus/trade_lite.json")) == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "query", "file", "without"),
    [
        ("/ws/btcusdt@bookTicker", "", "spot/ws/bookTicker.BTCUSDT.2022-capture.json", frozenset({"stream"})),
        ("/fstream/public/ws/btcusdt@bookTicker", "", "usdm/ws/nautilus/book_ticker_stream.json", frozenset()),
        (
            "/dstream/stream",
            "streams=ethusd_perp@bookTicker",
            "coinm/ws/bookTicker.ETHUSD_PERP.2022-capture.json",
            frozenset(),
        ),
    ],
    ids=["spot", "usdm", "coinm"],
)
def test_book_tickers_as_captured(path: str, query: str, file: str, without: frozenset[str]) -> None:
    """Provenance: captured frames (spot and COIN-M), a documentation example of 2026 (USD-M)."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        theirs = recorded(f"binance/{file}")
        async with moving(calls.venue):
            ours = json.loads(await connect(calls.venue, path, query).recv())
        if "data" in theirs and "data" not in ours:
            theirs = theirs["data"]
        assert lacking(ours, theirs, without=without) == []

    run_virtual(main)
