"""`midstream price SYMBOL`: ask the price server for prices of exchanges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import grpc

from clients.rpc import ChannelSettings, PriceClient, UnusableChannel
from protos.price.v1 import price_pb2 as pb
from services.cli.output import ExitCode, error_object, fail
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.terminal import write

_SOURCES: Final = {
    pb.PRICE_SOURCE_STREAM: "streamed",
    pb.PRICE_SOURCE_REST: "asked for",
    pb.PRICE_SOURCE_FALLBACK: "last known",
}


def run_price(
    symbols: Sequence[str], *, exchange: str, max_age_ms: int, as_json: bool, channel: ChannelSettings
) -> int:
    """Print a line per symbol, or one JSON object of all; return the exit code of the first that has no price."""
    address = address_of("price")
    code: int = ExitCode.COMPLETE
    prices: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    with PriceClient(address, channel=channel) as client:
        for symbol in symbols:
            try:
                price = client.price(symbol, exchange=exchange, max_age_ms=max_age_ms)
            except UnusableChannel as exc:
                return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
            except grpc.RpcError as exc:
                said = explain("price", address, exc, channel)
                fail(said.message, said.exit_code, as_json=False)
                errors.append({"symbol": symbol} | error_object(said.message, said.exit_code, exc.code().name)["error"])
                code = code or said.exit_code
                continue
            prices.append(_figures(price))
            if not as_json:
                write("\n".join(_lines(price)))
    if as_json:
        write(json.dumps({"prices": prices, "errors": errors}))
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
