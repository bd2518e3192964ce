"""What the exchange's documents have, made or recorded, the simulated BitMEX has too, as the same kind of value.

Figures are never compared.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contracts import Document, documents, over
from tests.support.simulated_calls import admin, virtual_bitmex
from tests.support.simulated_shapes import lacking
from tests.support.simulated_venues import connect
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bitmex.test_realtime import authenticate, take, tell

ORDER = "/api/v1/order"
FIGURES = frozenset(
    {
        "buyLeg",
        "capped",
        "closingTimestamp",
        "fairBasis",
        "fairBasisRate",
        "fairMethod",
        "fairPrice",
        "front",
        "fundingBaseRate",
        "fundingBaseSymbol",
        "fundingPremiumSymbol",
        "fundingQuoteRate",
        "fundingQuoteSymbol",
        "fundingTimestamp",
        "impactAskPrice",
        "impactBidPrice",
        "impactMidPrice",
        "indicativeFundingRate",
        "indicativeSettlePrice",
        "indicativeTaxRate",
        "insuranceFee",
        "inverseLeg",
        "limit",
        "limitDownPrice",
        "limitUpPrice",
        "listedSettle",
        "minTick",
        "openingTimestamp",
        "prevClosePrice",
        "prevTotalTurnover",
        "prevTotalVolume",
        "relistInterval",
        "riskLimit",
        "riskStep",
        "sellLeg",
        "sessionInterval",
        "settle",
        "totalTurnover",
        "totalVolume",
        "turnover",
        "volume",
    }
)
"""Statistics and history that the simulator does not make up."""
OLD = frozenset(
    {
        "simpleOrderQty",
        "simpleLeavesQty",
        "simpleCumQty",
        "exDestination",
        "multiLegReportingType",
        "execID",
        "execType",
    }
)
"""Gone from newer answers, or not in every one of them."""


@pytest.mark.quick
@over("bitmex/instrument", "bitmex/contracts", "bitmex/spot_instruments")
def test_instruments(document: Document) -> None:
    rows = document.plain if isinstance(document.plain, list) else [document.plain]
    theirs = next(row for row in rows if row["symbol"] in ("XBTUSD", "XBT_USDT"))

    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_bitmex(loop).get("/api/v1/instrument", symbol=theirs["symbol"])).payload[0]
        known = {name: value for name, value in theirs.items() if value is not None}

        assert lacking(ours, known, without=FIGURES) == []
        same = ("typ", "state", "isInverse", "isQuanto", "multiplier", "underlying", "quoteCurrency")
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("order_new", {"symbol": "XBT_USDT", "side": "Buy", "orderQty": 10000, "price": 60000.5, "clOrdID": "n"}),
        ("order_filled", {"symbol": "XBT_USDT", "side": "Sell", "orderQty": 10000, "price": 64000, "text": "t"}),
        ("order_sold", {"symbol": "XBT_USDT", "side": "Sell", "orderQty": 10000, "clOrdID": "m"}),
    ],
)
def test_orders_of_spot(name: str, payload: dict[str, Any]) -> None:
    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_bitmex(loop).signed("POST", ORDER, payload)).payload
        for document in documents(f"bitmex/{name}"):
            theirs = document.plain[0] if isinstance(document.plain, list) else document.plain
            without = OLD | {"price"} if name == "order_sold" else OLD
            assert lacking(ours, theirs, without=without) == [], document

    run_virtual(main)


def test_listed_and_canceled_orders_and_executions() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime")
        await authenticate(calls, socket)
        await tell(socket, "subscribe", "order", "execution", "margin", "wallet", "position")
        await take(socket, 12)
        await calls.limit(clOrdID="mine", execInst="ParticipateDoNotInitiate", orderQty=200)
        number = admin(calls.venue, "GET", "/sim/orders")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {"quantity": "100"})
        listed = (await calls.signed("GET", ORDER)).payload
        fills = (await calls.signed("GET", "/api/v1/execution/tradeHistory")).payload
        canceled = (await calls.signed("DELETE", ORDER, {"clOrdID": "mine"})).payload
        wallet = (await calls.signed("GET", "/api/v1/user/wallet", currency="all")).payload
        position = (await calls.signed("GET", "/api/v1/position")).payload

        assert _problems(listed, "contract_orders", OLD) == {}
        assert _problems(listed, "open_orders", OLD) == {}
        assert _problems(canceled, "order_canceled", OLD) == {}
        assert _problems(fills[0], "execution_row", OLD - {"execID", "execType"} | {"underlyingLastPx"}) == {}
        names = documents("bitmex/wallets")[0].plain[0]
        history = frozenset(name for name in names if name.startswith(("prev", "delta", "transfer", "withdrawn")))
        assert _problems(wallet, "wallets", history | {"addr", "script", "withdrawalLock"}) == {}
        assert {"account", "symbol", "currentQty", "avgEntryPrice", "isOpen"} <= set(position[0])

    run_virtual(main)


def test_errors() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        poor = await calls.signed("POST", ORDER, {"symbol": "XBT_USDT", "side": "Buy", "orderQty": 10_000_000_000})

        for document in documents("bitmex/error_balance"):
            assert poor.status == document.status
            assert lacking(poor.payload, document.plain) == []
            assert poor.payload["error"]["details"] == document.plain["error"]["details"]

    run_virtual(main)


@over("bitmex/conversation")
def test_quote_and_trade_frames(document: Document) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime", "subscribe=quote:XBTUSD,trade:XBTUSD")
        welcome, _, quotes, _, trades = await take(socket, 5)
        frames = document.plain

        assert lacking(welcome, frames[0]) == []
        by_table = {frame["table"]: frame for frame in frames if frame.get("action") == "partial"}
        empty = frozenset({"types", "foreignKeys", "attributes"})
        assert lacking(quotes, by_table["quote"], without=empty) == []
        assert lacking(trades, by_table["trade"], without=empty) == []

    run_virtual(main)


def _problems(ours: Any, name: str, without: frozenset[str]) -> dict[str, list[str]]:
    """What the documents of a name have and ours has not."""
    found = {str(document): lacking(ours, document.plain, without=without) for document in documents(f"bitmex/{name}")}
    return {source: problems for source, problems in found.items() if problems}
