"""Stream quotes of BitMEX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from clients.exchanges.bitmex.instruments import MARKET
from clients.exchanges.bitmex.parsing import parse_quote
from clients.exchanges.bitmex.stream_requests import TEXT_PING, greet, stream_url, subscribe
from clients.exchanges.bitmex.tables import SnapshotGate, parse_frame
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.quote_streams import InstrumentQuotes
from clients.sockets import Connected, Disconnected, Message, Session, SocketPolicy

QUOTE_POLICY: Final = SocketPolicy(heartbeat=TEXT_PING, stale_after_s=30.0, reconnect_after_silence_s=300.0)
"""Every reconnect costs one of few per hour, so a quiet instrument must not cause many."""


class QuoteStream(InstrumentQuotes):
    """Quotes of some instruments over one connection."""

    name = "bitmex quotes"

    def _connections(self, instruments: Sequence[Instrument]) -> Iterable[Sequence[Instrument]]:
        return [instruments]

    async def _read(self, instruments: Sequence[Instrument], sink: QuoteSink) -> None:
        by_name = {instrument.exchange_symbol: instrument for instrument in instruments}
        topics = [f"quote:{symbol}" for symbol in by_name]

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
                    self._take(event, gate, by_name, sink)
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
