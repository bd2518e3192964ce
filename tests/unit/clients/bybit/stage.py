"""Bybit on the stage: rows of our own making in the shapes of its documentation, and a client over answers that a test writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clients.exchanges.bases import MarketBases
from clients.exchanges.bybit import BybitClient, BybitTrading
from clients.exchanges.bybit.instruments import parse_instrument
from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.model import Instrument
from clients.exchanges.streaming import StreamPorts
from tests.support.exchange_stage import NOW_S, Reply, Seen, StagedTransport, StageKey, ports

BASES = dict.fromkeys(MARKETS, MarketBases("https://bybit.invalid", "wss://stream.bybit.invalid"))
NOW_MS = NOW_S * 1000
KEY = StageKey("MidstreamTestKey01", "MidstreamTestSecret0123456789abcdef")

BTC_USDT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "innovation": "0",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.0000001",
        "minOrderQty": "0.000048",
        "maxOrderQty": "71.5",
        "minOrderAmt": "5",
        "maxOrderAmt": "4000000",
        "maxLimitOrderQty": "90",
        "maxMarketOrderQty": "45",
    },
    "priceFilter": {"tickSize": "0.1"},
}


def contract(symbol: str, kind: str, base: str, quote: str, settle: str, **changes: Any) -> dict[str, Any]:
    """Return a row of a contract."""
    inverse = kind.startswith("Inverse")
    return {
        "symbol": symbol,
        "contractType": kind,
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
        "settleCoin": settle,
        "deliveryTime": "0",
        "priceScale": "2",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {
            "minOrderQty": "1" if inverse else "0.001",
            "qtyStep": "1" if inverse else "0.001",
            "maxOrderQty": "25000000" if inverse else "1190.000",
            "maxMktOrderQty": "5000000" if inverse else "119.000",
            "minNotionalValue": "" if inverse else "5",
        },
    } | changes


DEC_26_MS = "1798185600000"
"""2026-12-25 08:00 UTC."""
LINEAR_ROWS = [
    contract("BTCUSDT", "LinearPerpetual", "BTC", "USDT", "USDT"),
    contract("BTCUSDT-25DEC26", "LinearFutures", "BTC", "USDT", "USDT", deliveryTime=DEC_26_MS),
    contract("BTCPERP", "LinearPerpetual", "BTC", "USDC", "USDC"),
    contract("BTC-25DEC26", "LinearFutures", "BTC", "USD", "USDC", deliveryTime=DEC_26_MS),
    # A perpetual that is taken off one day is one all the same.
    contract("ETHUSDT", "LinearPerpetual", "ETH", "USDT", "USDT", deliveryTime=DEC_26_MS),
]
INVERSE_ROWS = [
    contract("BTCUSD", "InversePerpetual", "BTC", "USD", "BTC"),
    contract("BTCUSDZ26", "InverseFutures", "BTC", "USD", "BTC", deliveryTime=DEC_26_MS),
]
ROWS = {"spot": [BTC_USDT], "linear": LINEAR_ROWS, "inverse": INVERSE_ROWS}


def envelope(result: Any, *, code: int = 0, text: str = "OK") -> dict[str, Any]:
    """Return an answer as the exchange wraps it."""
    return {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": NOW_MS}


def refusal(code: int, text: str = "", **more: Any) -> Reply:
    """Return a refusal: it comes with status 200."""
    return Reply(envelope({}, code=code, text=text), **more)


def page(rows: list[Any], cursor: str = "", **more: Any) -> Reply:
    """Return one page of a list."""
    return Reply(envelope({"list": rows, "nextPageCursor": cursor} | more))


def instrument(row: Mapping[str, Any], market: str) -> Instrument:
    """Return a row as an instrument."""
    return parse_instrument(MARKETS[market], row)


SPOT = instrument(BTC_USDT, "spot")
LINEAR = instrument(LINEAR_ROWS[0], "linear")
INVERSE = instrument(INVERSE_ROWS[0], "inverse")


def on_stage(
    answer: Callable[[Seen], Reply] = lambda seen: Reply(status=404),
    *,
    key: bool = True,
    stream_ports: StreamPorts | None = None,
    skew_ms: int = 0,
    rows: Mapping[str, list[Any]] = ROWS,
    **clocks: Any,
) -> tuple[BybitClient, StagedTransport]:
    """Return a client and its transport. Instruments and the clock are answered; `answer` gets the rest."""

    def answered(seen: Seen) -> Reply:
        if seen.path == "/v5/market/instruments-info":
            return page(rows[seen.parameters["category"]], category=seen.parameters["category"])
        if seen.path == "/v5/market/time":
            now_ns = clocks["wall_ns"]() if "wall_ns" in clocks else NOW_S * 10**9
            return Reply(envelope({"timeSecond": "0", "timeNano": str(now_ns + skew_ms * 1_000_000)}))
        return answer(seen)

    transport = StagedTransport(answered, **clocks)
    return BybitClient(ports(transport, key=KEY if key else None, **clocks), BASES, stream_ports), transport


def order_row(**changes: Any) -> dict[str, Any]:
    """Return an order's row as the exchange answers it."""
    return {
        "orderId": "5a3c1f00-0000-4000-8000-000000000001",
        "orderLinkId": "ours-1",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "price": "60000.10",
        "qty": "0.010",
        "timeInForce": "GTC",
        "orderStatus": "New",
        "cancelType": "UNKNOWN",
        "rejectReason": "EC_NoError",
        "avgPrice": "",
        "leavesQty": "0.010",
        "cumExecQty": "0.000",
        "cumExecValue": "0",
        "positionIdx": 0,
        "reduceOnly": False,
        "marketUnit": "",
        "createdTime": str(NOW_MS),
        "updatedTime": str(NOW_MS + 5),
    } | changes


def execution_row(**changes: Any) -> dict[str, Any]:
    """Return an execution's row."""
    return {
        "symbol": "BTCUSDT",
        "orderId": "5a3c1f00-0000-4000-8000-000000000001",
        "orderLinkId": "ours-1",
        "side": "Buy",
        "orderType": "Limit",
        "orderPrice": "60000.10",
        "orderQty": "0.010",
        "leavesQty": "0.006",
        "execId": "e-1",
        "execType": "Trade",
        "execPrice": "60000.00",
        "execQty": "0.004",
        "execValue": "240",
        "execFee": "0.132",
        "feeCurrency": "",
        "execTime": str(NOW_MS + 4),
        "isMaker": True,
    } | changes


async def at_once(seconds: float) -> None:
    """Wait for nothing."""


def trading(answer: Callable[[Seen], Reply], **changes: Any) -> tuple[BybitTrading, StagedTransport]:
    """Return order entry over a staged client that does not wait between its questions."""
    client, transport = on_stage(answer, **({"stream_ports": StreamPorts(sleep=at_once)} | changes))
    return BybitTrading(client), transport
