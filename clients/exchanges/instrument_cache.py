"""The instruments of an exchange, asked for once an hour."""

from __future__ import annotations

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


class InstrumentCache:
    """Loads on first use and then hourly; concurrent callers share one load.

    When a renewal fails, the older list goes on serving, with a warning: tick sizes change rarely, and a client that forgets them
    cannot even cancel. An explicit `refresh` raises instead.
    """

    def __init__(
        self, exchange: str, load: Callable[[], Awaitable[Sequence[Instrument]]], *, monotonic_ns: MonotonicNs
    ) -> None:
        self._exchange = exchange
        self._load = load
        self._monotonic_ns = monotonic_ns
        self._flights: SingleFlight[str, None] = SingleFlight()
        self._by_symbol: Mapping[str, Instrument] = {}
        self._by_exchange_symbol: Mapping[tuple[str, str], Instrument] = {}
        self._due_ns: int | None = None

    async def all(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        """Return every instrument by unified symbol."""
        if refresh or self._due_ns is None or self._monotonic_ns() >= self._due_ns:
            try:
                await self._flights.run("load", self._renew)
            except (ExchangeError, ResilienceError) as exc:
                if refresh or not self._by_symbol:
                    raise
                logger.warning("older instruments serve: exchange=%s cause=%s", self._exchange, exc)
                self._due_ns = self._monotonic_ns() + round(RETRY_S * 1e9)
        return self._by_symbol

    async def by_symbol(self, symbol: str) -> Instrument:
        """Return one instrument; raise CallerMustAct (NOT_FOUND) naming near matches."""
        found = (await self.all()).get(symbol)
        if found is None:
            raise _unknown(self._exchange, symbol, near_matches(symbol, self._by_symbol))
        return found

    async def by_exchange_symbol(self, market: str, exchange_symbol: str) -> Instrument:
        """Return the instrument that the exchange calls so on that market."""
        await self.all()
        found = self._by_exchange_symbol.get((market, exchange_symbol))
        if found is None:
            raise _unknown(self._exchange, f"{exchange_symbol} ({market})", [])
        return found

    def known(self, market: str, exchange_symbol: str) -> Instrument | None:
        """Return it if it has been loaded, without asking anybody."""
        return self._by_exchange_symbol.get((market, exchange_symbol))

    async def _renew(self) -> None:
        instruments = await self._load()
        self._by_symbol = MappingProxyType({instrument.symbol: instrument for instrument in instruments})
        self._by_exchange_symbol = {
            (instrument.market, instrument.exchange_symbol): instrument for instrument in instruments
        }
        self._due_ns = self._monotonic_ns() + round(AGE_S_MAX * 1e9)


def _unknown(exchange: str, symbol: str, near: Sequence[str]) -> CallerMustAct:
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return CallerMustAct(exchange, "get_instruments", Outcome.NOT_FOUND, f"no instrument {symbol[:64]!r}{meant}")
