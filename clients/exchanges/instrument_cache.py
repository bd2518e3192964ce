"""The instruments of an exchange, asked for once an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.model import Instrument
from clients.exchanges.symbols import near_matches
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome
from clients.resilience.ports import MonotonicNs
from clients.resilience.single_flight import SingleFlight

logger = logging.getLogger(__name__)

AGE_S_MAX: Final = 3600.0
RETRY_S: Final = 60.0
"""How long a failed renewal is not tried again while the older list serves."""


Load = Callable[[], Awaitable[Sequence[Instrument]]]


class InstrumentCache:
    """Loads on first use and then hourly, market by market; concurrent callers share one load.

    A market that cannot be reached does not take the others along. When a renewal fails, the older list goes on serving, with a
    warning: tick sizes change rarely, and a client that forgets them cannot even cancel. An explicit `refresh` raises instead.
    """

    def __init__(self, exchange: str, loads: Mapping[str, Load], *, monotonic_ns: MonotonicNs) -> None:
        self._exchange = exchange
        self._parts = {name: _Part(f"{exchange} {name}".strip(), load, monotonic_ns) for name, load in loads.items()}
        self._by_symbol: Mapping[str, Instrument] = {}
        self._by_exchange_symbol: Mapping[tuple[str, str], Instrument] = {}

    async def all(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        """Return every instrument by unified symbol; raise when a market's have never been loaded and cannot be."""
        failed = await self._load(refresh=refresh)
        if failed:
            raise failed[0]
        return self._by_symbol

    async def by_symbol(self, symbol: str) -> Instrument:
        """Return one instrument; raise CallerMustAct (NOT_FOUND) naming near matches."""
        failed = await self._load()
        found = self._by_symbol.get(symbol)
        if found is not None:
            return found
        if failed:
            # It may well exist where nobody answered.
            raise failed[0]
        raise _unknown(self._exchange, symbol, near_matches(symbol, self._by_symbol))

    async def by_exchange_symbol(self, market: str, exchange_symbol: str) -> Instrument:
        """Return the instrument that the exchange calls so on that market."""
        failed = await self._load()
        found = self._by_exchange_symbol.get((market, exchange_symbol))
        if found is not None:
            return found
        if failed:
            raise failed[0]
        raise _unknown(self._exchange, f"{exchange_symbol} ({market})", [])

    async def ready(self, market: str) -> None:
        """Load what is due; raise only when nothing of this market is known afterwards."""
        failed = await self._load()
        if failed and not any(name == market for name, _ in self._by_exchange_symbol):
            raise failed[0]

    def known(self, market: str, exchange_symbol: str) -> Instrument | None:
        """Return it if it has been loaded, without asking anybody."""
        return self._by_exchange_symbol.get((market, exchange_symbol))

    async def _load(self, *, refresh: bool = False) -> list[Exception]:
        """Load what is due; return the errors of those parts that have nothing to serve (or, with `refresh`, of all)."""
        due = [part for part in self._parts.values() if refresh or part.due()]
        if not due:
            return []
        results = await asyncio.gather(*(part.load(refresh=refresh) for part in due), return_exceptions=True)
        loaded = [instrument for part in self._parts.values() for instrument in part.instruments]
        self._by_symbol = MappingProxyType({instrument.symbol: instrument for instrument in loaded})
        self._by_exchange_symbol = {
            (instrument.market, instrument.exchange_symbol): instrument for instrument in loaded
        }
        failed: list[Exception] = []
        for result in results:
            if isinstance(result, (ExchangeError, ResilienceError)):
                failed.append(result)
            elif isinstance(result, BaseException):
                raise result
        return failed


class _Part:
    """The instruments that come with one request."""

    def __init__(self, name: str, load: Load, monotonic_ns: MonotonicNs) -> None:
        self._name = name
        self._load = load
        self._monotonic_ns = monotonic_ns
        self._flights: SingleFlight[str, None] = SingleFlight()
        self._due_ns: int | None = None
        self.instruments: Sequence[Instrument] = ()

    def due(self) -> bool:
        return self._due_ns is None or self._monotonic_ns() >= self._due_ns

    async def load(self, *, refresh: bool) -> None:
        try:
            await self._flights.run("load", self._renew)
        except (ExchangeError, ResilienceError) as exc:
            if refresh or self._due_ns is None:
                raise
            logger.warning("older instruments serve: of=%s cause=%s", self._name, exc)
            self._due_ns = self._monotonic_ns() + round(RETRY_S * 1e9)

    async def _renew(self) -> None:
        self.instruments = await self._load()
        self._due_ns = self._monotonic_ns() + round(AGE_S_MAX * 1e9)


def _unknown(exchange: str, symbol: str, near: Sequence[str]) -> CallerMustAct:
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return CallerMustAct(exchange, "get_instruments", Outcome.NOT_FOUND, f"no instrument {symbol[:64]!r}{meant}")
