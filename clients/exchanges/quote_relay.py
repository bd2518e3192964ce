"""Between streams that never wait and a consumer that may: the newest quote of each symbol."""

from __future__ import annotations

import asyncio
from typing import Protocol

from clients.exchanges.model import Quote


class QuoteSink(Protocol):
    """Takes what a quote stream brings, in its order. Its methods must return at once: nobody waits for them."""

    def put(self, quote: Quote) -> None:
        """Take one quote."""
        ...

    def forget_order(self, symbols: set[str]) -> None:
        """Take whatever comes next for these: the exchange may have begun to count anew."""
        ...

    def connected(self) -> None:
        """Note that one of the stream's connections is open."""
        ...

    def lost(self, reason: str) -> None:
        """Note that one of them broke: quotes may be missing from here until it is `connected` again."""
        ...


class QuoteRelay:
    """Implements QuoteSink.

    Holds at most one quote per symbol, in the order in which symbols changed first since they were taken.

    A quote that is older than one of its symbol that was put before is dropped: by `update_id` where both have one, else by event time.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Quote] = {}
        self._newest: dict[str, Quote] = {}
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self.conflated = 0
        """Quotes that a newer one replaced before they were taken."""
        self.outdated = 0
        """Quotes that were older than what had come before."""

    def put(self, quote: Quote) -> None:
        """Offer a quote; never blocks."""
        newest = self._newest.get(quote.symbol)
        if newest is not None and is_older(quote, newest):
            self.outdated += 1
            return
        self._newest[quote.symbol] = quote
        self.conflated += quote.symbol in self._waiting
        self._waiting[quote.symbol] = quote
        self._changed.set()

    def connected(self) -> None:
        """Nothing to do: quotes say for themselves how old they are."""

    def lost(self, reason: str) -> None:
        """See `connected`."""

    def forget_order(self, symbols: set[str]) -> None:
        """Take whatever comes next for these: the exchange may have begun to count anew."""
        for symbol in symbols:
            self._newest.pop(symbol, None)

    def fail(self, error: BaseException) -> None:
        """Let `take` raise this once nothing is waiting."""
        self._failure = error
        self._changed.set()

    async def take(self) -> Quote:
        """Return a quote that has not been taken, waiting for one."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        symbol = next(iter(self._waiting))
        return self._waiting.pop(symbol)


def is_older(quote: Quote, than: Quote) -> bool:
    """Whether the exchange made `quote` before `than`: by its numbers where it numbers, else by its time; unknown is not older."""
    if quote.update_id is not None and than.update_id is not None:
        return quote.update_id < than.update_id
    if quote.event_time_ns is not None and than.event_time_ns is not None:
        return quote.event_time_ns < than.event_time_ns
    return False
