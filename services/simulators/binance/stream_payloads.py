"""What the market streams of Binance say."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from services.simulators.binance.day_ticker import day_of, mini_ticker, ticker
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.funding_rate import funding_rate, next_funding_ns
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.spelling import eight, price_text, size_text
from services.simulators.venue.book_log import BookChange
from services.simulators.venue.listing import Listing
from services.simulators.venue.tape import Trade


class StreamPayloads:
    """Makes the messages."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def book_ticker(self, listing: Listing, now_ns: int) -> Any:
        """Tell the best bid and ask."""
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
        return {"e": "bookTicker", **row, **_kind(listing), "T": now_ms - 1, "E": now_ms}

    def partial_depth(self, listing: Listing, now_ns: int, levels: int, before: int) -> Any:
        """Tell the best levels of the book; `before` is the number of the book that was told of last."""
        book, number = self._venue.liquidity.book(listing), self._venue.liquidity.update_id(listing)
        bids = _levels(listing, [(one.price, one.quantity) for one in book.bids[:levels]])
        asks = _levels(listing, [(one.price, one.quantity) for one in book.asks[:levels]])
        if listing.market == SPOT:
            return {"lastUpdateId": number, "bids": bids, "asks": asks}
        return self._depth_event(listing, now_ns, (before, number), bids, asks)

    def depth_change(self, listing: Listing, now_ns: int, change: BookChange) -> Any:
        """Tell what changed in the book."""
        bids, asks = _levels(listing, change.bids), _levels(listing, change.asks)
        return self._depth_event(listing, now_ns, (change.before, change.number), bids, asks)

    def agg_trade(self, listing: Listing, now_ns: int, trade: Trade) -> Any:
        """Tell a trade as an aggregate of one."""
        row = {
            "e": "aggTrade",
            "E": self._venue.shown_ms(now_ns),
            "s": listing.symbol,
            "a": trade.id,
            "p": price_text(listing, trade.price),
            "q": size_text(listing, trade.quantity),
            "f": trade.id,
            "l": trade.id,
            "T": self._venue.shown_ms(trade.time_ns),
            "m": trade.buyer_is_maker,
        }
        return {**row, "M": True} if listing.market == SPOT else row

    def trade(self, listing: Listing, now_ns: int, trade: Trade) -> Any:
        """Tell a trade."""
        row = {
            "e": "trade",
            "E": self._venue.shown_ms(now_ns),
            "s": listing.symbol,
            "t": trade.id,
            "p": price_text(listing, trade.price),
            "q": size_text(listing, trade.quantity),
            "T": self._venue.shown_ms(trade.time_ns),
            "m": trade.buyer_is_maker,
        }
        return {**row, "M": True} if listing.market == SPOT else {**row, "X": "MARKET"}

    def mark_price(self, listing: Listing, now_ns: int) -> Any:
        """Tell the mark price, the index price and the funding that is next."""
        mark = eight(self._venue.liquidity.mark(listing))
        dated = listing.expiry_ns is not None
        return {
            "e": "markPriceUpdate",
            "E": self._venue.shown_ms(now_ns),
            "s": listing.symbol,
            "p": mark,
            "i": eight(Decimal(self._venue.walk.price(listing.base))),
            "P": mark,
            "r": "" if dated else eight(funding_rate(listing)),
            "T": 0 if dated else self._venue.shown_ms(next_funding_ns(now_ns)),
        }

    def ticker(self, listing: Listing, now_ns: int) -> Any:
        """Tell the day's figures."""
        day = day_of(listing, self._venue, now_ns)
        return ticker(listing, day, self.book_ticker(listing, now_ns), self._venue.shown_ms(now_ns))

    def mini_ticker(self, listing: Listing, now_ns: int) -> Any:
        """Tell the day's prices and volumes."""
        return mini_ticker(listing, day_of(listing, self._venue, now_ns), self._venue.shown_ms(now_ns))

    def _depth_event(
        self, listing: Listing, now_ns: int, numbers: tuple[int, int], bids: list[list[str]], asks: list[list[str]]
    ) -> Any:
        before, number = numbers
        now_ms = self._venue.shown_ms(now_ns)
        event: dict[str, Any] = {"e": "depthUpdate", "E": now_ms, "s": listing.symbol, "U": before + 1, "u": number}
        if listing.market != SPOT:
            event |= {"T": now_ms, "pu": before, **_kind(listing)}
        return event | {"b": bids, "a": asks}


def _kind(listing: Listing) -> dict[str, Any]:
    """What streams of futures say since both markets are one system."""
    return {"st": 2 if listing.market == COINM else 1, "ps": listing.base + listing.quote}


def _levels(listing: Listing, levels: Sequence[tuple[Decimal, Decimal]]) -> list[list[str]]:
    return [[price_text(listing, price), size_text(listing, quantity)] for price, quantity in levels]
