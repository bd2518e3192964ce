"""Stream quotes of Binance's three markets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from clients.exchanges.binance.markets import MARKETS, USDM
from clients.exchanges.binance.stream_events import SHUTDOWN, kind, parse_book_ticker, parse_event
from clients.exchanges.binance.stream_requests import rotating, subscribe
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.quote_streams import InstrumentQuotes, by_market
from clients.sockets import Connected, Disconnected, Message, ResilientSocket, Session, SocketPolicy

STREAMS_PER_CONNECTION: Final = 200

QUOTE_POLICY: Final = SocketPolicy(stale_after_s=30.0, reconnect_after_silence_s=120.0)
"""A subscription that went to the wrong route is silent, not refused; so is one that the exchange lost."""


class QuoteStream(InstrumentQuotes):
    """Best bid and ask of instruments of any of the markets: one connection per market and 200 streams."""

    name = "binance quotes"

    def _connections(self, instruments: Sequence[Instrument]) -> Iterable[Sequence[Instrument]]:
        return by_market(instruments, MARKETS, at_most=STREAMS_PER_CONNECTION)

    async def _read(self, instruments: Sequence[Instrument], sink: QuoteSink) -> None:
        hub, market = self._hub, instruments[0].market
        names = [f"{instrument.exchange_symbol.lower()}@bookTicker" for instrument in instruments]
        by_name = {instrument.exchange_symbol: instrument for instrument in instruments}

        async def opened(session: Session) -> None:
            await subscribe(session, names, hub)

        url = quote_url(market, self._bases[market].stream)
        socket = hub.open(f"{market} quotes", url, rotating(QUOTE_POLICY, hub), opened)
        try:
            async for event in socket:
                if isinstance(event, Connected) and not event.planned:
                    sink.forget_order({instrument.symbol for instrument in instruments})
                    sink.connected()
                elif isinstance(event, Message):
                    self._take(event, by_name, sink, socket)
                elif isinstance(event, Disconnected) and not event.planned:
                    sink.lost(event.reason)
        finally:
            await hub.release(socket)

    def _take(
        self, message: Message, by_name: Mapping[str, Instrument], sink: QuoteSink, socket: ResilientSocket
    ) -> None:
        try:
            event = parse_event(message.payload)
            if event is None:
                return
            if kind(event) == SHUTDOWN:
                socket.reconnect("the exchange said that this server is about to stop")
                return
            instrument = by_name.get(str(event.get("s")))
            if instrument is not None and kind(event) == "bookTicker":
                sink.put(parse_book_ticker(event, instrument, receive_time_ns=message.receive_wall_ns))
        except MalformedAnswer as error:
            self.unusable.note(error)


def quote_url(market: str, base: str) -> str:
    """Return where book tickers are: USD-M has a route of its own for them, and the wrong one stays silent."""
    return f"{base}/public/ws" if market == USDM else f"{base}/ws"
