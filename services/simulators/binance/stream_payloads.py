"""What the market streams of Binance say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.simulators.binance.day_ticker import day_of, mini_ticker, ticker
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import SPOT, USDM
from services.simulators.binance.spelling import price_text, size_text
from services.simulators.binance.stream_names import Stream
from services.simulators.venue.listing import Listing


class StreamPayloads:
    """Makes the messages; every kind of stream that there is has a maker."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue
        self._makers: Mapping[str, Callable[[Listing, int], Any]] = {
            "bookTicker": self._book_ticker,
            "aggTrade": self._agg_trade,
            "trade": self._trade,
            "markPrice": self._mark_price,
            "ticker": self._ticker,
            "miniTicker": self._mini_ticker,
        }

    def made(self, market: str, stream: Stream, now_ns: int) -> list[Any]:
        """Return a stream's messages of this step: one, or one per symbol where all come without an array."""
        known = self._venue.listings(market)
        listings = [known[stream.symbol]] if stream.symbol is not None else list(known.values())
        if stream.kind == "depth":
            return [self._depth(listing, now_ns, stream.levels) for listing in listings]
        rows = [self._makers[stream.kind](listing, now_ns) for listing in listings]
        return [rows] if stream.array else rows

    def _book_ticker(self, listing: Listing, now_ns: int) -> Any:
        book, now_ms = self._venue.liquidity.book(listing), self._venue.shown_ms(now_ns)
        row: dict[str, Any] = {
            "u": self._venue.liquidity.update_id(listing),
            "s": listing.symbol,
            "b": price_text(listing, book.bids[0].price) if book.bids else "0",
            "B": size_text(listing, book.bids[0].quantity) if book.bids else "0",
            "a": price_text(listing, book.asks[0].price) if book.asks else "0",
            "A": size_text(listing, book.asks[0].quantity) if book.asks else "0",
        }
        if listing.market == SPOT:
            return row
        pair = listing.base + listing.quote
        own = {"st": 1 if listing.market == USDM else 2, "ps": pair}
        return {"e": "bookTicker", **row, **own, "T": now_ms - 1, "E": now_ms}

    def _depth(self, listing: Listing, now_ns: int, levels: int) -> Any:
        book, now_ms = self._venue.liquidity.book(listing), self._venue.shown_ms(now_ns)
        bids = [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.bids[:levels]]
        asks = [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.asks[:levels]]
        number = self._venue.liquidity.update_id(listing)
        if listing.market == SPOT:
            return {"lastUpdateId": number, "bids": bids, "asks": asks}
        return {
            "e": "depthUpdate",
            "E": now_ms,
            "T": now_ms,
            "s": listing.symbol,
            "U": number - 999,
            "u": number,
            "pu": number - 1000,
            "b": bids,
            "a": asks,
        }

    def _agg_trade(self, listing: Listing, now_ns: int) -> Any:
        step, now_ms = self._venue.walk.step, self._venue.shown_ms(now_ns)
        return {
            "e": "aggTrade",
            "E": now_ms,
            "s": listing.symbol,
            "a": step,
            "p": price_text(listing, self._venue.liquidity.last_price(listing)),
            "q": size_text(listing, listing.lot),
            "f": step,
            "l": step,
            "T": now_ms,
            "m": step % 2 == 0,
        }

    def _trade(self, listing: Listing, now_ns: int) -> Any:
        step, now_ms = self._venue.walk.step, self._venue.shown_ms(now_ns)
        return {
            "e": "trade",
            "E": now_ms,
            "s": listing.symbol,
            "t": step,
            "p": price_text(listing, self._venue.liquidity.last_price(listing)),
            "q": size_text(listing, listing.lot),
            "T": now_ms,
            "m": step % 2 == 0,
            "M": True,
        }

    def _mark_price(self, listing: Listing, now_ns: int) -> Any:
        mark = f"{self._venue.liquidity.mark(listing):.8f}"
        return {
            "e": "markPriceUpdate",
            "E": self._venue.shown_ms(now_ns),
            "s": listing.symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": "0.00010000",
            "T": 0,
        }

    def _ticker(self, listing: Listing, now_ns: int) -> Any:
        day = day_of(listing, self._venue.walk, self._venue.liquidity)
        return ticker(listing, day, self._book_ticker(listing, now_ns), self._venue.shown_ms(now_ns))

    def _mini_ticker(self, listing: Listing, now_ns: int) -> Any:
        day = day_of(listing, self._venue.walk, self._venue.liquidity)
        return mini_ticker(listing, day, self._venue.shown_ms(now_ns))
