"""What the public topics say: a snapshot first, then what changed since this client's last frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.simulators.bybit.books import Books, Rows, changed_rows, level_rows
from services.simulators.bybit.candle_routes import INTERVALS, kline_row
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.render import public_trade_id
from services.simulators.bybit.spelling import price_text, size_text
from services.simulators.bybit.tickers import streamed_ticker, tick_direction
from services.simulators.venue.listing import Listing

HEARTBEAT_TOPIC: Final = "orderbook"
TRADES_MAX: Final = 1024
"""Of one frame."""
DEPTHS: Final = (1, 50, 200, 1000)
SILENT: Final = ("allLiquidation", "liquidation", "insurance", "adlAlert")
"""Topics of what never happens here: nobody is liquidated."""
STATUS_CATEGORY: Final = "misc/status"


@dataclass
class Topic:
    """One topic of one client, with what it has been told."""

    name: str
    kind: str
    listing: Listing | None
    depth: int = 0
    bids: Rows = field(default_factory=list)
    asks: Rows = field(default_factory=list)
    number: int = -1
    row: dict[str, Any] = field(default_factory=dict)
    next_trade: int = 0
    interval: str = ""
    opening_ns: int = 0
    """Of the candle that was told last."""
    sent_ns: int = 0


class PublicTopics:
    """Makes the frames."""

    def __init__(self, venue: BybitExchange, books: Books) -> None:
        self._venue = venue
        self._books = books

    def find(self, category: str, name: str) -> Topic | None:
        """Return a topic by its name; None when there is none."""
        if category == STATUS_CATEGORY:
            return Topic(name, "status", None) if name == "system.status" else None
        kind, *middle, symbol = name.split(".") if "." in name else (name, "")
        listing = self._venue.listings.get((category, symbol))
        if listing is None:
            return None
        if kind == HEARTBEAT_TOPIC:
            depth = int(middle[0]) if len(middle) == 1 and middle[0].isdecimal() else 0
            return Topic(name, kind, listing, depth) if depth in DEPTHS else None
        if kind == "kline":
            known = len(middle) == 1 and middle[0] in INTERVALS
            return Topic(name, kind, listing, interval=middle[0]) if known else None
        known = kind in ("tickers", "publicTrade", "priceLimit", *(SILENT if category != SPOT else ()))
        next_trade = self._venue.tape.of(listing).end
        return Topic(name, kind, listing, next_trade=next_trade) if known and not middle else None

    def first(self, topic: Topic, now_ns: int) -> list[Any]:
        """Return what a client is told at once: the whole of it. Of trades there is nothing to tell yet."""
        if topic.kind == HEARTBEAT_TOPIC:
            return [self._book(topic, now_ns, whole=True)]
        if topic.kind == "tickers":
            return [self._ticker(topic, now_ns, whole=True)]
        if topic.kind == "kline":
            return self._klines(topic, now_ns)
        return [self._price_limit(topic, now_ns)] if topic.kind == "priceLimit" else []

    def next(self, topic: Topic, now_ns: int) -> list[Any]:
        """Return what is new with the step; nothing more of what was delivered."""
        if topic.listing is not None and (topic.listing.market, topic.listing.symbol) in self._venue.closed:
            return []
        if topic.kind == HEARTBEAT_TOPIC:
            assert topic.listing is not None
            if self._books.state(topic.listing).number == topic.number:
                return []
            return [self._book(topic, now_ns, whole=topic.depth == 1)]
        if topic.kind == "tickers":
            return [self._ticker(topic, now_ns, whole=False)]
        if topic.kind == "publicTrade":
            return self._trades(topic, now_ns)
        if topic.kind == "kline":
            return self._klines(topic, now_ns)
        return [self._price_limit(topic, now_ns)] if topic.kind == "priceLimit" else []

    def _book(self, topic: Topic, now_ns: int, *, whole: bool) -> Any:
        assert topic.listing is not None
        listing, state = topic.listing, self._books.state(topic.listing)
        bids = level_rows(listing, state.book.bids, topic.depth)
        asks = level_rows(listing, state.book.asks, topic.depth)
        now_ms = self._venue.shown_ms(now_ns)
        frame = {
            "topic": topic.name,
            "type": "snapshot" if whole else "delta",
            "ts": now_ms,
            "data": {
                "s": listing.symbol,
                "b": bids if whole else changed_rows(topic.bids, bids),
                "a": asks if whole else changed_rows(topic.asks, asks),
                "u": state.number,
                "seq": state.sequence,
            },
            "cts": now_ms,
        }
        topic.bids, topic.asks, topic.number = bids, asks, state.number
        return frame

    def _ticker(self, topic: Topic, now_ns: int, *, whole: bool) -> Any:
        assert topic.listing is not None
        row = streamed_ticker(topic.listing, self._venue, now_ns)
        # Of spot the whole is told each time.
        whole = whole or topic.listing.market == SPOT
        changed = {name: value for name, value in row.items() if topic.row.get(name) != value}
        topic.row = row
        return {
            "topic": topic.name,
            "type": "snapshot" if whole else "delta",
            "data": row if whole else {"symbol": topic.listing.symbol, **changed},
            "cs": self._books.state(topic.listing).sequence,
            "ts": self._venue.shown_ms(now_ns),
        }

    def _trades(self, topic: Topic, now_ns: int) -> list[Any]:
        assert topic.listing is not None
        listing, venue = topic.listing, self._venue
        tape, now_ms = venue.tape.of(listing), venue.shown_ms(now_ns)
        found = tape.from_id(topic.next_trade, TRADES_MAX)
        topic.next_trade = tape.end
        sequence = self._books.state(listing).sequence
        rows: list[dict[str, Any]] = [
            {
                "T": venue.shown_ms(one.time_ns),
                "s": listing.symbol,
                "S": "Sell" if one.buyer_is_maker else "Buy",
                "v": size_text(listing, one.quantity),
                "p": price_text(listing, one.price),
                **({} if listing.market == SPOT else {"L": tick_direction(one)}),
                "i": public_trade_id(listing, one.id),
                "BT": False,
                "RPI": False,
                "seq": sequence,
            }
            for one in found
        ]
        return [{"topic": topic.name, "type": "snapshot", "ts": now_ms, "data": rows}] if rows else []

    def _klines(self, topic: Topic, now_ns: int) -> list[Any]:
        """Tell the candle under way, and each that has ended since the last frame."""
        assert topic.listing is not None
        listing, interval = topic.listing, INTERVALS[topic.interval]
        opening, now_ms = interval.opening(now_ns), self._venue.shown_ms(now_ns)
        candles = self._venue.candles.candles(listing, interval, topic.opening_ns or opening, opening)
        topic.opening_ns = opening
        return [
            {
                "topic": topic.name,
                "data": [kline_row(listing, topic.interval, one, now_ms, closed=one.end_ns <= now_ns)],
                "ts": now_ms,
                "type": "snapshot",
            }
            for one in candles
        ]

    def _price_limit(self, topic: Topic, now_ns: int) -> Any:
        assert topic.listing is not None
        highest, lowest = self._venue.price_limits(topic.listing)
        data = {
            "symbol": topic.listing.symbol,
            "buyLmt": price_text(topic.listing, highest),
            "sellLmt": price_text(topic.listing, lowest),
        }
        return {"topic": topic.name, "data": data, "ts": self._venue.shown_ms(now_ns)}
