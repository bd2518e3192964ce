"""What recorded payloads have, the simulated BitMEX has too, as the same kind of value; figures are never compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.simulated_calls import admin, virtual_bitmex
from tests.support.simulated_shapes import EXCHANGES, lacking, recorded, recorded_body
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
@pytest.mark.parametrize(
    ("file", "symbol", "pick"),
    [
        ("rest/nautilus/http_get_instrument_xbtusd.json", "XBTUSD", "XBTUSD"),
        ("rest/instrument_active.2021-capture.A.json", "XBTUSD", "XBTUSD"),
        ("rest/xchange/instrument_active.json", "XBT_USDT", "XBT_USDT"),
    ],
    ids=["2024", "2021", "spot"],
)
def test_instruments_as_captured(file: str, symbol: str, pick: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_bitmex(loop).get("/api/v1/instrument", symbol=symbol)).payload[0]
        theirs = recorded_body(f"bitmex/{file}")
        row = next(one for one in (theirs if isinstance(theirs, list) else [theirs]) if one["symbol"] == pick)
        known = {name: value for name, value in row.items() if value is not None}

        assert lacking(ours, known, without=FIGURES) == []
        same = ("typ", "state", "isInverse", "isQuanto", "lotSize", "multiplier", "underlying", "quoteCurrency")
        assert {name: ours[name] for name in same} == {name: row[name] for name in same}

    run_virtual(main)


@pytest.mark.parametrize(
    ("file", "payload", "fill"),
    [
        ("order_new-limit-buy-order", {"symbol": "XBT_USDT", "side": "Buy", "orderQty": 10000, "price": 60000.5, "clOrdID": "n"}, False),
        ("order_filled-limit-sell-order", {"symbol": "XBT_USDT", "side": "Sell", "orderQty": 10000, "price": 64000, "text": "t"}, False),
        ("order_new-market-sell-order", {"symbol": "XBT_USDT", "side": "Sell", "orderQty": 10000, "clOrdID": "m"}, False),
    ],
)  # fmt: skip
def test_orders_as_captured_on_the_testnet(file: str, payload: dict[str, Any], fill: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_bitmex(loop).signed("POST", ORDER, payload)).payload
        theirs = recorded_body(f"bitmex/rest/xchange/{file}.json")
        theirs = theirs[0] if isinstance(theirs, list) else theirs

        assert lacking(ours, theirs, without=OLD | {"price"} if "market" in file else OLD) == []

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

        assert lacking(listed, recorded("bitmex/rest/nautilus/http_get_orders.json"), without=OLD) == []
        open_orders = recorded_body("bitmex/rest/xchange/order_all-open-orders.json")
        assert lacking(listed, open_orders, without=OLD) == []
        assert lacking(canceled, recorded_body("bitmex/rest/xchange/order_cancel-order.json"), without=OLD) == []
        theirs = recorded("bitmex/ws/nautilus/ws_execution.json")
        assert lacking(fills[0], theirs, without=OLD - {"execID", "execType"} | {"underlyingLastPx"}) == []
        kept = frozenset({"addr", "script", "withdrawalLock"})
        wallets = recorded("bitmex/rest/nautilus/http_get_wallet.json")
        history = frozenset(name for name in wallets[0] if name.startswith(("prev", "delta", "transfer", "withdrawn")))
        assert lacking(wallet, wallets, without=kept | history) == []
        assert {"account", "symbol", "currentQty", "avgEntryPrice", "isOpen"} <= set(position[0])

    run_virtual(main)


def test_errors_as_captured() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        poor = await calls.signed("POST", ORDER, {"symbol": "XBT_USDT", "side": "Buy", "orderQty": 10_000_000_000})
        theirs = recorded("bitmex/rest/xchange/order_error-insufficient-balance.json")["response"]

        assert poor.status == theirs["status"]
        assert lacking(poor.payload, theirs["body"]) == []
        assert poor.payload["error"]["details"] == theirs["body"]["error"]["details"]

    run_virtual(main)


def test_quote_and_trade_frames_as_captured() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime", "subscribe=quote:XBTUSD,trade:XBTUSD")
        welcome, _, quotes, _, trades = await take(socket, 5)
        lines = _captured_lines()

        assert lacking(welcome, lines[0]) == []
        by_table = {frame["table"]: frame for frame in lines if frame.get("action") == "partial"}
        empty = frozenset({"types", "foreignKeys", "attributes"})
        assert lacking(quotes, by_table["quote"], without=empty) == []
        assert lacking(trades, by_table["trade"], without=empty) == []

    run_virtual(main)


def _captured_lines() -> list[dict[str, Any]]:
    file = EXCHANGES / "recorded" / "bitmex" / "ws" / "quote_trade.XBTUSD.2021-capture.jsonl"
    if not file.exists():
        pytest.skip(f"{file} is not there; set MIDSTREAM_SHARED to where the recordings are")
    return [json.loads(line)["msg"] for line in file.read_text(encoding="utf-8").splitlines()]
