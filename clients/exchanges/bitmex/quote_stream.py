"""Stream quotes of BitMEX."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from clients.exchanges.bases import MarketBases
from clients.exchanges.bitmex.instruments import MARKET
from clients.exchanges.bitmex.parsing import parse_quote
from clients.exchanges.bitmex.stream_requests import TEXT_PING, greet, stream_url, subscribe
from clients.exchanges.bitmex.tables import SnapshotGate, parse_frame
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.instrument_cache import InstrumentCache
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.streaming import Pump, StreamHub, Unusable, follow, relayed
from clients.sockets import Connected, Disconnected, Message, Session, SocketPolicy

QUOTE_POLICY: Final = SocketPolicy(heartbeat=TEXT_PING, stale_after_s=30.0, reconnect_after_silence_s=300.0)
"""Every reconnect costs one of few per hour, so a quiet instrument must not cause many."""


class QuoteStream:
    """Quotes of some instruments over one connection."""

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        instruments: InstrumentCache,
        hub: StreamHub,
        bases: Mapping[str, MarketBases],
    ) -> None:
        self._symbols = symbols
        self._instruments = instruments
        self._hub = hub
        self._bases = bases
        self.unusable = Unusable("bitmex quotes")

    async def quotes(self) -> AsyncGenerator[Quote, None]:
        """Yield quotes until closed; a slow consumer gets the newest of each symbol."""
        async with aclosing(relayed([await self._pump()])) as quotes:
            async for quote in quotes:
                yield quote

    async def follow(self, sink: QuoteSink) -> None:
        """Put every quote into `sink` until cancelled."""
        await follow([await self._pump()], sink)

    async def _pump(self) -> Pump:
        found = [await self._instruments.by_symbol(symbol) for symbol in dict.fromkeys(self._symbols)]
        instruments = {instrument.exchange_symbol: instrument for instrument in found}

        async def pump(sink: QuoteSink) -> None:
            await self._read(instruments, sink)

        return pump

    async def _read(self, instruments: Mapping[str, Instrument], sink: QuoteSink) -> None:
        topics = [f"quote:{symbol}" for symbol in instruments]

        async def opened(session: Session) -> None:
            await greet(session, self._hub.budget)
            await subscribe(session, topics)

        socket = self._hub.open("quotes", stream_url(self._bases[MARKET].stream), QUOTE_POLICY, opened)
        gate = SnapshotGate()
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    gate = SnapshotGate()
                    sink.connected()
                elif isinstance(event, Message):
                    self._take(event, gate, instruments, sink)
                elif isinstance(event, Disconnected) and not event.planned:
                    sink.lost(event.reason)
        finally:
            await self._hub.release(socket)

    def _take(
        self, message: Message, gate: SnapshotGate, instruments: Mapping[str, Instrument], sink: QuoteSink
    ) -> None:
        try:
            frame = parse_frame(message.payload)
            if frame is None or frame.table != "quote":
                return
            for row in gate.admit(frame):
                instrument = instruments.get(str(row.get("symbol")))
                if instrument is not None:
                    sink.put(parse_quote(row, instrument, receive_time_ns=message.receive_wall_ns, source="stream"))
        except MalformedAnswer as error:
            self.unusable.note(error)
