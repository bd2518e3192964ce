"""Binance as a function: made instruments, a server clock, and whatever else a test answers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clients.exchanges.bases import MarketBases
from clients.exchanges.binance import BinanceClient, BinanceTrading
from tests.support.contracts import made
from tests.support.exchange_wire import (
    Reply,
    Sent,
    WireExecutor,
    WireKey,
    WireTransport,
    reply,
    wire_ports,
)

BASES: Mapping[str, MarketBases] = {
    "spot": MarketBases("https://spot.test", "wss://spot.test"),
    "usdm": MarketBases("https://usdm.test", "wss://usdm.test"),
    "coinm": MarketBases("https://coinm.test", "wss://coinm.test"),
}
INFO = {
    "/api/v3/exchangeInfo": "binance/spot/instruments",
    "/fapi/v1/exchangeInfo": "binance/usdm/instruments",
    "/dapi/v1/exchangeInfo": "binance/coinm/instruments",
}
"""The made list that each route answers with."""


class BinanceWire:
    """A client and its trading over a scripted transport. `skew_ms` is how far the server's clock is ahead."""

    def __init__(
        self,
        answers: Mapping[str, Reply | Callable[[Sent], Reply]] | None = None,
        *,
        executor: WireExecutor | None = None,
        key: WireKey | None = None,
        skew_ms: int = 0,
    ) -> None:
        self.answers: dict[str, Any] = dict(answers or {})
        self.skew_ms = skew_ms
        self.executor = executor or WireExecutor()
        self.transport = WireTransport(self._answer)
        self.client = BinanceClient(wire_ports(self.transport, executor=self.executor, key=key or WireKey()), BASES)
        self.trading = BinanceTrading(self.client)

    @property
    def asked(self) -> list[Sent]:
        """Everything but instruments and clocks."""
        return [sent for sent in self.transport.sent if not sent.path.endswith(("/exchangeInfo", "/time"))]

    def _answer(self, sent: Sent) -> Reply:
        found = self.answers.get(f"{sent.method} {sent.path}", self.answers.get(sent.path))
        if found is not None:
            answered: Reply = found(sent) if callable(found) else found
            return answered
        if sent.path in INFO:
            return reply(made(INFO[sent.path]).plain)
        if sent.path.endswith("/time"):
            return reply({"serverTime": self.transport.clock.wall // 1_000_000 + self.skew_ms})
        raise AssertionError(f"nobody answers {sent.method} {sent.path}")
