"""What the quote streams of all exchanges do alike: find the instruments, spread them over connections, relay what those read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import ClassVar

from clients.exchanges.bases import MarketBases
from clients.exchanges.instrument_cache import InstrumentCache
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.streaming import Pump, StreamHub, Unusable, follow, relayed


class InstrumentQuotes(ABC):
    """Best bid and ask of instruments. An exchange says which of them share a connection, and how one is read."""

    name: ClassVar[str]
    """What the log calls the stream."""

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
        self.unusable = Unusable(self.name)

    async def quotes(self) -> AsyncGenerator[Quote, None]:
        """Yield quotes until closed; a slow consumer gets the newest of each symbol."""
        async with aclosing(relayed(await self._pumps())) as quotes:
            async for quote in quotes:
                yield quote

    async def follow(self, sink: QuoteSink) -> None:
        """Put every quote into `sink` until cancelled."""
        await follow(await self._pumps(), sink)

    @abstractmethod
    def _connections(self, instruments: Sequence[Instrument]) -> Iterable[Sequence[Instrument]]:
        """Return the instruments of each connection."""

    @abstractmethod
    async def _read(self, instruments: Sequence[Instrument], sink: QuoteSink) -> None:
        """Put the quotes of one connection into `sink` until cancelled."""

    async def _pumps(self) -> list[Pump]:
        instruments = [await self._instruments.by_symbol(symbol) for symbol in dict.fromkeys(self._symbols)]
        return [self._pump(group) for group in self._connections(instruments)]

    def _pump(self, instruments: Sequence[Instrument]) -> Pump:
        async def pump(sink: QuoteSink) -> None:
            await self._read(instruments, sink)

        return pump


def by_market(
    instruments: Sequence[Instrument], markets: Iterable[str], *, at_most: int
) -> Iterator[Sequence[Instrument]]:
    """Yield the instruments of each market, `at_most` at a time."""
    for market in markets:
        chosen = [instrument for instrument in instruments if instrument.market == market]
        for start in range(0, len(chosen), at_most):
            yield chosen[start : start + at_most]
