"""The half that exchange clients with websockets share: one hub of connections under one budget, and quotes that come through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from clients.exchanges.base import ClientPorts, RestClient
from clients.exchanges.bases import MarketBases
from clients.exchanges.model import Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.quote_streams import InstrumentQuotes
from clients.exchanges.streaming import StreamHub, StreamPorts
from clients.sockets import ConnectBudget


@dataclass(frozen=True)
class ConnectionRule:
    """How many connections a client opens within a time: less than an address may, since others may share it."""

    count: int
    window_s: float


class StreamedClient(RestClient):
    """A `RestClient` whose quotes come by websocket, too. An exchange names its stream and what it may open."""

    quote_streams: ClassVar[type[InstrumentQuotes]]
    connections: ClassVar[ConnectionRule]

    def __init__(
        self, ports: ClientPorts, bases: Mapping[str, MarketBases], stream_ports: StreamPorts | None = None
    ) -> None:
        super().__init__(ports)
        rule = self.connections
        budget = ConnectBudget(rule.count, rule.window_s, monotonic_ns=ports.monotonic_ns)
        self.streams = StreamHub(self.name, ports, stream_ports or StreamPorts(), budget)
        self.bases = bases

    def stream_quotes(self, symbols: Sequence[str]) -> AsyncIterator[Quote]:
        return self._quotes_of(symbols).quotes()

    async def follow_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        await self._quotes_of(symbols).follow(sink)

    async def close(self) -> None:
        await self.streams.close()
        await super().close()

    def _quotes_of(self, symbols: Sequence[str]) -> InstrumentQuotes:
        return self.quote_streams(symbols, instruments=self.instruments, hub=self.streams, bases=self.bases)
