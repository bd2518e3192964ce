"""Stream quotes of Bybit's three markets: the order book of depth 1, because tickers of spot have no bid and no ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from clients.exchanges.bybit.book import Book, restarted
from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.bybit.stream_requests import subscribe, text_ping
from clients.exchanges.exact_json import MalformedAnswer, parse_json, to_int
from clients.exchanges.model import Instrument
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.quote_streams import InstrumentQuotes, by_market
from clients.sockets import Connected, Disconnected, Message, Session, SocketPolicy

TOPICS_PER_CONNECTION: Final = 200
TOPIC: Final = "orderbook.1."

QUOTE_POLICY: Final = SocketPolicy(
    heartbeat=text_ping(every_s=20.0, timeout_s=10.0), stale_after_s=6.0, reconnect_after_silence_s=10.0
)
"""A book of depth 1 is repeated after three seconds without a change: whoever is silent for longer has forgotten us."""


class QuoteStream(InstrumentQuotes):
    """Best bid and ask of instruments of any of the markets: one connection per market and 200 topics."""

    name = "bybit quotes"

    def _connections(self, instruments: Sequence[Instrument]) -> Iterable[Sequence[Instrument]]:
        return by_market(instruments, MARKETS, at_most=TOPICS_PER_CONNECTION)

    async def _read(self, instruments: Sequence[Instrument], sink: QuoteSink) -> None:
        hub, market = self._hub, instruments[0].market
        topics = [TOPIC + instrument.exchange_symbol for instrument in instruments]

        async def opened(session: Session) -> None:
            await subscribe(session, topics)

        socket = hub.open(f"{market} quotes", public_url(market, self._bases[market].stream), QUOTE_POLICY, opened)
        books: dict[str, tuple[Instrument, Book]] = {}
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    # Books of the connection before are worth nothing: what changed between the two is not known.
                    books = {
                        TOPIC + instrument.exchange_symbol: (instrument, Book(instrument)) for instrument in instruments
                    }
                    sink.forget_order({instrument.symbol for instrument in instruments})
                    sink.connected()
                elif isinstance(event, Message):
                    self._take(event, books, sink)
                elif isinstance(event, Disconnected) and not event.planned:
                    sink.lost(event.reason)
        finally:
            await hub.release(socket)

    def _take(self, message: Message, books: Mapping[str, tuple[Instrument, Book]], sink: QuoteSink) -> None:
        try:
            frame = parse_json(message.payload)
            if not isinstance(frame, Mapping):
                raise MalformedAnswer("the frame is not an object")
            found = books.get(str(frame.get("topic")))
            if found is None:
                return
            instrument, book = found
            row = _row(frame)
            snapshot = frame.get("type") == "snapshot" or restarted(row)
            if not snapshot and not book.known:
                return
            if restarted(row):
                sink.forget_order({instrument.symbol})
            book.apply(row, snapshot=snapshot)
            made_ms = to_int(frame.get("ts"), "ts")
            sink.put(book.quote(row, made_ms, receive_time_ns=message.receive_wall_ns, source="stream"))
        except MalformedAnswer as error:
            self.unusable.note(error)


def public_url(market: str, base: str) -> str:
    """Return where the public topics of a market are."""
    return f"{base}/v5/public/{market}"


def _row(frame: Mapping[str, Any]) -> Mapping[str, Any]:
    row = frame.get("data")
    if not isinstance(row, Mapping):
        raise MalformedAnswer("`data` is not an object")
    return row
