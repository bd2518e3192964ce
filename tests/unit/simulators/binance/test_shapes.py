"""What the exchange's documents have, made or recorded, the simulated Binance has too, as the same kind of value.

Figures are never compared, only names and kinds.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.contracts import documents
from tests.support.simulated_calls import BinanceCalls, admin, virtual_binance
from tests.support.simulated_shapes import lacking
from tests.support.simulated_venues import connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_streams import LIVELY, user_socket

STOPS = frozenset(
    {"activatePrice", "priceRate", "trailingDelta", "trailingTime", "strategyId", "strategyType", "priceMatch"}
)
"""Of order types that are not simulated."""
RETIRED = frozenset({"avgPrice", "cumQuote", "cumBase"})
"""Not in acknowledgements since July 2026."""
UNSIMULATED = frozenset({"sors", "opoAllowed", "pegInstructionsAllowed"})
"""Of order kinds and routing that are not simulated; captures are older than they."""
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


ANSWERS = {
    "order_placed": ("PlaceOrder",),
    "order": ("GetOrder",),
    "orders": ("GetOrders", "GetOpenOrders"),
    "order_canceled": ("CancelOrder",),
    "server_time": ("GetServerTime",),
}
"""Documents of every market, and which of our answers have their shape."""
ON_FUTURES = {"order": ("GetOrder", "GetOpenOrder"), "instruments": ("GetExchangeInfo",)}
MARKETS: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "spot": ("/api/v3", "BTCUSDT", {**ANSWERS, "trades": ("GetUserTrades",), "book_ticker": ("GetBookPrice",)}),
    "usdm": (
        "/fapi/v1",
        "BTCUSDT",
        {
            **ANSWERS,
            **ON_FUTURES,
            "order_amended": ("EditOrder",),
            "order_amendments": ("GetOrderEditHistory",),
            "book_ticker": ("GetBookPrice",),
        },
    ),
    "coinm": ("/dapi/v1", "BTCUSD_PERP", {**ANSWERS, **ON_FUTURES, "book_tickers": ("GetBookPrices",)}),
}


@pytest.mark.quick
@pytest.mark.parametrize("market", MARKETS)
def test_answers_to_requests(market: str) -> None:
    prefix, symbol, names = MARKETS[market]

    async def main(loop: VirtualLoop) -> None:
        made = await answers(virtual_binance(loop), prefix, symbol)
        without = STOPS | (RETIRED if market != "spot" else frozenset()) | OLD
        problems = {
            f"{answer}, {document}": lacking(made[answer], document.plain, without=without)
            for name, ours in names.items()
            for document in documents(f"binance/{market}/{name}")
            for answer in ours
            # Lists of instruments that were captured have filters of their time: below.
            if "capture" not in document.source and not ("nautilus" in document.source and name == "instruments")
        }
        assert {name: found for name, found in problems.items() if found} == {}

    run_virtual(main)


@pytest.mark.parametrize("market", MARKETS)
def test_instrument_lists(market: str) -> None:
    """Filters that were renamed since 2021 are left out."""
    prefix, _, _ = MARKETS[market]

    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_binance(loop).get(f"{prefix}/exchangeInfo")).payload
        mine = {row["filterType"]: row for row in ours["symbols"][0]["filters"]}
        for document in documents(f"binance/{market}/instruments"):
            if not document.made and "2021-capture" not in document.source:
                continue
            theirs = document.plain
            without = frozenset({"filters", "permissions"}) | (UNSIMULATED if document.made else frozenset())
            assert lacking(ours, theirs, without=without) == [], document
            for row in theirs["symbols"][0]["filters"]:
                if row["filterType"] in ("PERCENT_PRICE", "MIN_NOTIONAL", "ICEBERG_PARTS") and market == "spot":
                    continue
                assert lacking(mine[row["filterType"]], row) == [], document

    run_virtual(main)


def test_an_amended_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        ours = (await answers(virtual_binance(loop), "/api/v3", "BTCUSDT"))["AmendOrder"]
        for document in documents("binance/spot/order_amended"):
            assert lacking(ours, document.plain) == [], document

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "cancel_id", "mode"),
    [
        ("replaced", "mine", "STOP_ON_FAILURE"),
        ("replace_failed", "other", "STOP_ON_FAILURE"),
        ("replace_half_failed", "other", "ALLOW_FAILURE"),
    ],
)
def test_cancel_replace(name: str, cancel_id: str, mode: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")
        ours = await calls.limit(
            "/api/v3/order/cancelReplace", cancelReplaceMode=mode, cancelOrigClientOrderId=cancel_id, price="59000"
        )
        for document in documents(f"binance/spot/{name}"):
            theirs = document.plain
            assert ours.status == document.status
            assert lacking(ours.payload, theirs) == [], document
            if document.status != 200:
                assert ours.payload["data"]["cancelResponse"] == theirs["data"]["cancelResponse"]

    run_virtual(main)


def test_user_events() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        spot = await user_socket(calls)
        key = (await calls.keyed("POST", "/fapi/v1/listenKey")).payload["listenKey"]
        futures = connect(calls.venue, f"/fstream/private/ws/{key}")
        for path in ("/api/v3/order", "/fapi/v1/order"):
            placed = await calls.limit(path)
            admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {"quantity": "0.001"})
            await calls.signed("DELETE", path, symbol="BTCUSDT", orderId=placed.payload["orderId"])

        new, _, trade, _, canceled = [json.loads(await spot.recv()) for _ in range(5)]
        assert _problems(new, "spot/report_wrapped") == {}
        assert _problems(trade["event"], "spot/report_filled") == {}
        assert _problems(canceled["event"], "spot/report_canceled") == {}
        new, lite, _, trade = [json.loads(await futures.recv()) for _ in range(4)]
        assert _problems(new, "usdm/update_new", frozenset({"AP", "cr", "N", "n", "gtd", "W"})) == {}
        assert _problems(trade, "usdm/update_partly_filled", frozenset({"AP", "cr", "gtd", "W"})) == {}
        assert _problems(lite, "usdm/trade_lite") == {}

    run_virtual(main)


@pytest.mark.parametrize(
    ("market", "path", "query"),
    [
        ("spot", "/ws/btcusdt@bookTicker", ""),
        ("usdm", "/fstream/public/ws/btcusdt@bookTicker", ""),
        ("coinm", "/dstream/stream", "streams=ethusd_perp@bookTicker"),
    ],
)
def test_book_tickers(market: str, path: str, query: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            ours = json.loads(await connect(calls.venue, path, query).recv())
        for document in documents(f"binance/{market}/ticker_frame"):
            theirs = document.plain
            if "data" in theirs and "data" not in ours:
                theirs = theirs["data"]
            # One edited recording gives spot the times that only futures have.
            edited = frozenset({"E", "T"}) if market == "spot" else frozenset()
            assert lacking(ours, theirs, without=edited | {"stream"}) == [], document

    run_virtual(main)


def _problems(ours: Any, name: str, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """What the documents of a name have and ours has not."""
    found = {str(document): lacking(ours, document.plain, without=without) for document in documents(f"binance/{name}")}
    return {source: problems for source, problems in found.items() if problems}
