"""Streams with subscribers: when each has something to say, and what it has said already."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.klines import INTERVALS, kline_event
from services.simulators.binance.stream_names import Stream
from services.simulators.binance.stream_payloads import StreamPayloads
from services.simulators.binance.trade_routes import TradeRoutes
from services.simulators.venue.intervals import Interval
from services.simulators.venue.listing import Listing
from services.simulators.venue.tape import Trade

Made = Callable[[Listing, int], Any]
TRADES_MAX = 10_000
"""Trades a stream tells of at a time: more than any step brings."""


class Feed(ABC):
    """One stream. It begins with its first subscriber, and all of them hear the same."""

    def __init__(self, stream: Stream) -> None:
        self._every_ns = stream.every_ms * 1_000_000
        self._period: int | None = None

    def messages(self, now_ns: int) -> list[Any]:
        """Return what is to be sent at this step of the market."""
        period = now_ns // self._every_ns if self._every_ns else -1
        due = not self._every_ns or period != self._period
        found = self.made(now_ns, due=due)
        if due:
            self._period = period
        return found

    @abstractmethod
    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        """Return the messages; `due` when the pace of the stream lets it speak."""

    def close(self) -> None:
        """Let go of what the feed kept noting."""
        self._period = None


class _Shots(Feed):
    """Tells how things are, each time anew."""

    def __init__(self, stream: Stream, listings: Callable[[], Iterable[Listing]], made: Made) -> None:
        super().__init__(stream)
        self._listings, self._made, self._array = listings, made, stream.array

    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        if not due:
            return []
        rows = [self._made(listing, now_ns) for listing in self._listings()]
        return [rows] if self._array else rows


class _Trades(Feed):
    """Tells every trade once, whenever it was."""

    def __init__(
        self, stream: Stream, venue: BinanceExchange, listing: Listing, made: Callable[[Listing, int, Trade], Any]
    ) -> None:
        super().__init__(stream)
        self._tape, self._listing, self._made = venue.tape.of(listing), listing, made
        self._next_id = self._tape.end

    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        found = self._tape.from_id(self._next_id, TRADES_MAX)
        self._next_id = self._tape.end
        return [self._made(self._listing, now_ns, trade) for trade in found]


class _PartialDepth(Feed):
    """Tells the best levels, and after which book."""

    def __init__(self, stream: Stream, venue: BinanceExchange, listing: Listing, payloads: StreamPayloads) -> None:
        super().__init__(stream)
        self._venue, self._listing, self._payloads, self._levels = venue, listing, payloads, stream.levels
        self._seen = venue.liquidity.update_id(listing)

    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        if not due:
            return []
        before, self._seen = self._seen, self._venue.liquidity.update_id(self._listing)
        return [self._payloads.partial_depth(self._listing, now_ns, self._levels, before)]


class _Depth(Feed):
    """Tells what changed in the book, without a hole between two messages."""

    def __init__(self, stream: Stream, venue: BinanceExchange, listing: Listing, payloads: StreamPayloads) -> None:
        super().__init__(stream)
        self._venue, self._listing, self._payloads = venue, listing, payloads
        venue.liquidity.follow(listing, self)

    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        change = self._venue.liquidity.changes(self._listing, self) if due else None
        return [] if change is None else [self._payloads.depth_change(self._listing, now_ns, change)]

    def close(self) -> None:
        self._venue.liquidity.leave(self._listing, self)


class _Klines(Feed):
    """Tells the candle under way at its pace, and each candle that is closed, once and at once."""

    def __init__(self, stream: Stream, venue: BinanceExchange, market: str, interval: Interval) -> None:
        super().__init__(stream)
        self._stream, self._venue, self._market, self._interval = stream, venue, market, interval
        self._opening = interval.opening(venue.wall_ns())

    def made(self, now_ns: int, *, due: bool) -> list[Any]:
        opening = self._interval.opening(now_ns)
        if opening == self._opening and not due:
            return []
        listing = self._stream.listing(self._venue.listings(self._market))
        if listing is None:
            return []
        candles = self._venue.candles.candles(listing, self._interval, self._opening, opening)
        self._opening = opening
        now_ms, name = self._venue.shown_ms(now_ns), self._stream.interval
        contract = self._stream.symbol if self._stream.kind == "continuousKline" else None
        return [
            kline_event(listing, name, candle, now_ms, closed=candle.end_ns <= now_ns, contract=contract)
            for candle in candles
            if candle.count or candle.end_ns <= now_ns
        ]


class Feeds:
    """Opens feeds."""

    def __init__(self, venue: BinanceExchange, trades: TradeRoutes) -> None:
        self._venue = venue
        self._trades = trades
        self._payloads = payloads = StreamPayloads(venue)
        self._shots: dict[str, Made] = {
            "bookTicker": payloads.book_ticker,
            "markPrice": payloads.mark_price,
            "ticker": payloads.ticker,
            "miniTicker": payloads.mini_ticker,
            "avgPrice": self._average_price,
        }

    def open(self, market: str, stream: Stream) -> Feed:
        """Return the feed of a stream; every kind that there is has one."""
        known = self._venue.listings(market)
        if stream.symbol is None:
            return _Shots(stream, known.values, self._shots[stream.kind])
        if INTERVALS.get(stream.interval) is not None:
            return _Klines(stream, self._venue, market, INTERVALS[stream.interval])
        listing = known[stream.symbol]
        if stream.kind == "depth" and stream.levels:
            return _PartialDepth(stream, self._venue, listing, self._payloads)
        if stream.kind == "depth":
            return _Depth(stream, self._venue, listing, self._payloads)
        if stream.kind in ("trade", "aggTrade"):
            made = self._payloads.trade if stream.kind == "trade" else self._payloads.agg_trade
            return _Trades(stream, self._venue, listing, made)
        return _Shots(stream, lambda: [listing], self._shots[stream.kind])

    def _average_price(self, listing: Listing, now_ns: int) -> Any:
        price, last_ms = self._trades.average_price(listing, now_ns)
        now_ms = self._venue.shown_ms(now_ns)
        return {"e": "avgPrice", "E": now_ms, "s": listing.symbol, "i": "5m", "w": price, "T": last_ms}
