"""What the public topics say: a snapshot first, then what changed since this client's last frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from services.simulators.bybit.books import Books, Rows, changed_rows, level_rows
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.render import execution_id
from services.simulators.bybit.spelling import price_text, size_text
from services.simulators.bybit.tickers import streamed_ticker
from services.simulators.venue.listing import Listing

HEARTBEAT_TOPIC: Final = "orderbook"
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
        known = kind in ("tickers", "publicTrade", "priceLimit", *(SILENT if category != SPOT else ()))
        return Topic(name, kind, listing) if known and not middle else None

    def first(self, topic: Topic, now_ns: int) -> list[Any]:
        """Return what a client is told at once: the whole of it. Of trades there is nothing to tell yet."""
        if topic.kind == HEARTBEAT_TOPIC:
            return [self._book(topic, now_ns, whole=True)]
        if topic.kind == "tickers":
            return [self._ticker(topic, now_ns, whole=True)]
        return [self._price_limit(topic, now_ns)] if topic.kind == "priceLimit" else []

    def next(self, topic: Topic, now_ns: int) -> list[Any]:
        """Return what is new with the step."""
        if topic.kind == HEARTBEAT_TOPIC:
            assert topic.listing is not None
            if self._books.state(topic.listing).number == topic.number:
                return []
            return [self._book(topic, now_ns, whole=topic.depth == 1)]
        if topic.kind == "tickers":
            return [self._ticker(topic, now_ns, whole=False)]
        if topic.kind == "publicTrade":
            return [self._trade(topic, now_ns)]
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
        venue, now_ms = self._venue, self._venue.shown_ms(now_ns)
        row = streamed_ticker(topic.listing, venue.walk, venue.liquidity, now_ms)
        # Of spot the whole is told each time.
        whole = whole or topic.listing.market == SPOT
        changed = {name: value for name, value in row.items() if topic.row.get(name) != value}
        topic.row = row
        return {
            "topic": topic.name,
            "type": "snapshot" if whole else "delta",
            "data": row if whole else {"symbol": topic.listing.symbol, **changed},
            "cs": self._books.state(topic.listing).sequence,
            "ts": now_ms,
        }

    def _trade(self, topic: Topic, now_ns: int) -> Any:
        assert topic.listing is not None
        listing, step = topic.listing, self._venue.walk.step
        now_ms = self._venue.shown_ms(now_ns)
        row: dict[str, Any] = {
            "T": now_ms,
            "s": listing.symbol,
            "S": "Sell" if step % 2 == 0 else "Buy",
            "v": size_text(listing, listing.lot),
            "p": price_text(listing, self._venue.liquidity.last_price(listing)),
            "i": execution_id(listing, step),
            "BT": False,
            "RPI": False,
            "seq": self._books.state(listing).sequence,
        }
        if listing.market != SPOT:
            row["L"] = "ZeroMinusTick" if step % 2 == 0 else "ZeroPlusTick"
        return {"topic": topic.name, "type": "snapshot", "ts": now_ms, "data": [row]}

    def _price_limit(self, topic: Topic, now_ns: int) -> Any:
        assert topic.listing is not None
        highest, lowest = self._venue.price_limits(topic.listing)
        data = {
            "symbol": topic.listing.symbol,
            "buyLmt": price_text(topic.listing, highest),
            "sellLmt": price_text(topic.listing, lowest),
        }
        return {"topic": topic.name, "data": data, "ts": self._venue.shown_ms(now_ns)}
