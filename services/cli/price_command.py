"""`midstream price SYMBOL`: ask the price server for prices of exchanges."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

import grpc

from clients.rpc import PriceClient
from protos.price.v1 import price_pb2 as pb
from services.cli.rpc_errors import refused_by_server
from services.runtime.addresses import reachable

_SOURCES: Final = {
    pb.PRICE_SOURCE_STREAM: "streamed",
    pb.PRICE_SOURCE_REST: "asked for",
    pb.PRICE_SOURCE_FALLBACK: "last known",
}


def run_price(symbols: Sequence[str], *, exchange: str, max_age_ms: int, as_json: bool) -> int:
    """Print a line per symbol, or one JSON object each; return the exit code of the first that has no price."""
    host = os.environ.get("MIDSTREAM_HOST", "127.0.0.1")
    address = reachable(host, os.environ.get("MIDSTREAM_PRICE_PORT", "50053"))
    code = 0
    with PriceClient(address) as client:
        for symbol in symbols:
            try:
                price = client.price(symbol, exchange=exchange, max_age_ms=max_age_ms)
            except grpc.RpcError as exc:
                code = code or refused_by_server("price", address, exc)
                continue
            print(json.dumps(_figures(price)) if as_json else "\n".join(_lines(price)))
    return code


def _lines(price: pb.ExchangePrice) -> list[str]:
    market = f" {price.market}" if price.market and price.market != price.exchange else ""
    sides = f"  bid {price.bid_price} x {price.bid_quantity}, ask {price.ask_price} x {price.ask_quantity}"
    stale = "STALE, " if price.stale else ""
    line = f"{price.symbol}  {price.price} ({price.basis})"
    line += sides if price.bid_price and price.ask_price else ""
    line += f"  {price.exchange}{market}, {stale}{_SOURCES[price.source]}, {price.age_ms} ms old"
    return [line, *(f"  before: {attempt}" for attempt in price.attempts)]


def _figures(price: pb.ExchangePrice) -> dict[str, Any]:
    return {
        "exchange": price.exchange,
        "market": price.market,
        "symbol": price.symbol,
        "price": price.price,
        "basis": price.basis,
        "bid_price": price.bid_price or None,
        "bid_quantity": price.bid_quantity or None,
        "ask_price": price.ask_price or None,
        "ask_quantity": price.ask_quantity or None,
        "event_time_ns": price.event_time_ns or None,
        "receive_time_ns": price.receive_time_ns,
        "age_ms": price.age_ms,
        "source": _SOURCES[price.source],
        "stale": price.stale,
        "attempts": list(price.attempts),
    }
