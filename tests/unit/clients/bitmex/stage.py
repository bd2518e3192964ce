"""BitMEX on the stage: its instruments, and a client over answers that a test writes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from clients.exchanges.bases import MarketBases
from clients.exchanges.bitmex import BitMEXClient, BitMEXTrading
from clients.exchanges.bitmex.instruments import parse_instrument
from clients.exchanges.model import Instrument
from clients.exchanges.streaming import StreamPorts
from tests.support.exchange_stage import Reply, Seen, StagedTransport, StageKey, ports

BASES = {"bitmex": MarketBases("https://bitmex.invalid", "wss://ws.bitmex.invalid")}

XBTUSD: dict[str, Any] = {
    "symbol": "XBTUSD",
    "state": "Open",
    "typ": "FFWCSX",
    "underlying": "XBT",
    "quoteCurrency": "USD",
    "settlCurrency": "XBt",
    "maxOrderQty": 10_000_000,
    "maxPrice": 1_000_000,
    "lotSize": 100,
    "tickSize": 0.1,
    "multiplier": -100_000_000,
    "underlyingToSettleMultiplier": -100_000_000,
    "isQuanto": False,
    "isInverse": True,
}
XBTUSDT: dict[str, Any] = {
    "symbol": "XBTUSDT",
    "state": "Open",
    "typ": "FFWCSX",
    "underlying": "XBT",
    "quoteCurrency": "USDT",
    "settlCurrency": "USDt",
    "maxOrderQty": 1_000_000_000,
    "maxPrice": 1_000_000,
    "lotSize": 1000,
    "tickSize": 0.5,
    "multiplier": 1,
    "underlyingToPositionMultiplier": 1_000_000,
    "quoteToSettleMultiplier": 1_000_000,
    "isQuanto": False,
    "isInverse": False,
}
XBT_USDT: dict[str, Any] = {
    "symbol": "XBT_USDT",
    "state": "Open",
    "typ": "IFXXXP",
    "underlying": "XBT",
    "quoteCurrency": "USDT",
    "maxOrderQty": 10_000_000_000,
    "maxPrice": 1_000_000,
    "lotSize": 10_000,
    "tickSize": 0.5,
    "multiplier": 1,
    "underlyingToPositionMultiplier": 100_000_000,
    "quoteToSettleMultiplier": 1_000_000,
    "isQuanto": False,
    "isInverse": False,
}
ROWS = [XBTUSD, XBTUSDT, XBT_USDT]


def instrument(row: dict[str, Any]) -> Instrument:
    """Return a row as an instrument, its fractions exact."""
    return parse_instrument(
        {name: Decimal(str(value)) if isinstance(value, float) else value for name, value in row.items()}
    )


def on_stage(
    answer: Callable[[Seen], Reply] = lambda seen: Reply(status=404),
    *,
    key: bool = True,
    stream_ports: StreamPorts | None = None,
    bases: dict[str, MarketBases] | None = None,
    **clocks: Any,
) -> tuple[BitMEXClient, StagedTransport]:
    """Return a client and its transport. Instruments and clock probes are answered; `answer` gets the rest."""

    def answered(seen: Seen) -> Reply:
        if seen.path.endswith("/instrument/active"):
            return Reply(ROWS)
        if seen.path.endswith("/instrument") and seen.parameters.get("columns") == "lastPrice":
            return Reply([{"symbol": "XBTUSD", "lastPrice": 1, "timestamp": "2025-01-01T00:00:00.000Z"}])
        return answer(seen)

    transport = StagedTransport(answered, **clocks)
    made = ports(transport, key=StageKey() if key else None, **clocks)
    return BitMEXClient(made, bases or BASES, stream_ports), transport


def trading(answer: Callable[[Seen], Reply]) -> tuple[BitMEXTrading, StagedTransport]:
    """Return order entry over a staged client."""
    client, transport = on_stage(answer)
    return BitMEXTrading(client), transport


def order_row(**changes: Any) -> dict[str, Any]:
    """Return an order's row as the exchange answers it."""
    return {
        "orderID": "330ff682-ad2c-44b7-8b22-46241d7b8c2e",
        "clOrdID": "ours-1",
        "symbol": "XBTUSD",
        "side": "Buy",
        "orderQty": 100,
        "price": 90000,
        "ordType": "Limit",
        "timeInForce": "GoodTillCancel",
        "ordStatus": "New",
        "leavesQty": 100,
        "cumQty": 0,
        "avgPx": None,
        "text": "Submitted via API.",
        "transactTime": "2025-10-09T08:53:20.000Z",
        "timestamp": "2025-10-09T08:53:20.000Z",
    } | changes
