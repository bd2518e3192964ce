"""Stream quotes of Binance's three markets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from clients.exchanges.bases import MarketBases
from clients.exchanges.binance.markets import MARKETS, USDM
from clients.exchanges.binance.stream_events import SHUTDOWN, kind, parse_book_ticker, parse_event
from clients.exchanges.binance.stream_requests import rotating, subscribe
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.instrument_cache import InstrumentCache
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.streaming import Pump, StreamHub, Unusable, follow, relayed
from clients.sockets import Connected, Disconnected, Message, ResilientSocket, Session, SocketPolicy

STREAMS_PER_CONNECTION: Final = 200

QUOTE_POLICY: Final = SocketPolicy(stale_after_s=30.0, reconnect_after_silence_s=120.0)
"""A subscription that went to the wrong route is silent, not refused; so is one that the exchange lost."""


class QuoteStream:
    """Best bid and ask of instruments of any of the markets: one connection per market and 200 streams."""

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
        self.unusable = Unusable("binance quotes")

    async def quotes(self) -> AsyncGenerator[Quote, None]:
        """Yield quotes until closed; a slow consumer gets the newest of each symbol."""
        async with aclosing(relayed(await self._pumps())) as quotes:
            async for quote in quotes:
                yield quote

    async def follow(self, sink: QuoteSink) -> None:
        """Put every quote into `sink` until cancelled."""
        await follow(await self._pumps(), sink)

    async def _pumps(self) -> list[Pump]:
        instruments = [await self._instruments.by_symbol(symbol) for symbol in dict.fromkeys(self._symbols)]
        groups = [
            chosen[start : start + STREAMS_PER_CONNECTION]
            for market in MARKETS
            if (chosen := [instrument for instrument in instruments if instrument.market == market])
            for start in range(0, len(chosen), STREAMS_PER_CONNECTION)
        ]
        return [self._pump(group) for group in groups]

    def _pump(self, instruments: Sequence[Instrument]) -> Pump:
        async def pump(sink: QuoteSink) -> None:
            await self._read(instruments, sink)

        return pump

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
