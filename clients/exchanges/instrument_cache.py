"""The instruments of an exchange, asked for once an hour, and when one of them ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.model import Instrument
from clients.exchanges.symbols import near_matches
from clients.exchanges.unlisted import Unlisted, recalled
from clients.logs import fields
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome
from clients.resilience.ports import MonotonicNs, WallNs
from clients.resilience.single_flight import SingleFlight

logger = logging.getLogger(__name__)

AGE_S_MAX: Final = 3600.0
RETRY_S: Final = 60.0
"""How long a failed renewal is not tried again while the older list serves."""
ENDED_S: Final = 10.0
"""How long after the end of a contract the list is asked for again: then it has the next one, mostly."""


Load = Callable[[], Awaitable[Sequence[Instrument]]]


class InstrumentCache:
    """Loads on first use and then hourly, market by market; concurrent callers share one load.

    A market that cannot be reached does not take the others along. When a renewal fails, the older list goes on serving, with a
    warning: tick sizes change rarely, and a client that forgets them cannot even cancel. An explicit `refresh` raises instead.

    What has left a list is not forgotten: exchanges go on speaking of it, and orders in it are asked about.
    """

    def __init__(
        self,
        exchange: str,
        loads: Mapping[str, Load],
        *,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        wall_ns: WallNs = time.time_ns,
    ) -> None:
        self._exchange = exchange
        self._parts = [_Part(f"{exchange} {name}".strip(), load, monotonic_ns, wall_ns) for name, load in loads.items()]
        self._unlisted = Unlisted()
        self._by_symbol: Mapping[str, Instrument] = {}
        self._by_exchange_symbol: Mapping[tuple[str, str], Instrument] = {}
        self._part_of: Mapping[str, _Part] = {}

    async def all(self, *, refresh: bool = False) -> Mapping[str, Instrument]:
        """Return every instrument by unified symbol; raise when a market's have never been loaded and cannot be."""
        failed = await self._load(refresh=refresh)
        if failed:
            raise failed[0]
        return self._by_symbol

    async def by_symbol(self, symbol: str) -> Instrument:
        """Return one instrument; raise CallerMustAct (NOT_FOUND) naming near matches.

        It is there as soon as its own market has answered: the others are not waited for.
        """
        found, failed = await self._find(lambda: self._by_symbol.get(symbol))
        if found is not None:
            return found
        if failed:
            # It may well exist where nobody answered.
            raise failed[0]
        raise _unknown(self._exchange, symbol, near_matches(symbol, self._by_symbol))

    async def by_exchange_symbol(self, market: str, exchange_symbol: str) -> Instrument:
        """Return the instrument that the exchange calls so on that market, or called so while it listed it."""
        found, failed = await self._find(lambda: self._by_exchange_symbol.get((market, exchange_symbol)))
        found = found or self._unlisted.by_exchange_symbol(market, exchange_symbol)
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
        """Return it if it has been loaded, without asking anybody; also one that is not listed any more."""
        found = self._by_exchange_symbol.get((market, exchange_symbol))
        return found or self._unlisted.by_exchange_symbol(market, exchange_symbol)

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None:
        """Learn the names of an instrument that was listed before this process began; while it still is, the list is what counts."""
        made = recalled(self._exchange, market, exchange_symbol, symbol)
        if made is not None:
            self._unlisted.recall(made)

    def remembered(self, symbol: str) -> Instrument | None:
        """Return it if it has ever been loaded, or recalled, listed still or not, without asking anybody."""
        return self._by_symbol.get(symbol) or self._unlisted.by_symbol(symbol)

    async def _find(self, look: Callable[[], Instrument | None]) -> tuple[Instrument | None, list[Exception]]:
        """Look; load what is due where that may change the answer, until it is there; return it, or why it may be missing."""
        found = look()
        candidates = self._parts if found is None else [self._part_of[found.symbol]]
        loads = {asyncio.create_task(self._loaded(part)) for part in candidates if part.due()}
        failed: list[Exception] = []
        try:
            while loads:
                done, loads = await asyncio.wait(loads, return_when=asyncio.FIRST_COMPLETED)
                failed += _expected(task.exception() for task in done)
                found = look()
                if found is not None:
                    break
        finally:
            for load in loads:
                load.cancel()
            await asyncio.gather(*loads, return_exceptions=True)
        return found, failed

    async def _load(self, *, refresh: bool = False) -> list[Exception]:
        """Load what is due; return the errors of those parts that have nothing to serve (or, with `refresh`, of all)."""
        due = [part for part in self._parts if refresh or part.due()]
        if not due:
            # As nearly always; to gather nothing takes a turn of the loop.
            return []
        results = await asyncio.gather(*(self._loaded(part, refresh=refresh) for part in due), return_exceptions=True)
        return _expected(results)

    async def _loaded(self, part: _Part, *, refresh: bool = False) -> None:
        before = part.instruments
        await part.load(refresh=refresh)
        if part.instruments is not before:
            still = {(made.market, made.exchange_symbol) for made in part.instruments}
            self._unlisted.left(made for made in before if (made.market, made.exchange_symbol) not in still)
        self._part_of = {made.symbol: part for part in self._parts for made in part.instruments}
        listed = [made for part in self._parts for made in part.instruments]
        self._by_symbol = MappingProxyType({made.symbol: made for made in listed})
        self._by_exchange_symbol = {(made.market, made.exchange_symbol): made for made in listed}


class _Part:
    """The instruments that come with one request."""

    def __init__(self, name: str, load: Load, monotonic_ns: MonotonicNs, wall_ns: WallNs) -> None:
        self._name = name
        self._load = load
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
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
            logger.warning("older instruments serve", extra=fields(of=self._name, cause=exc))
            self._due_ns = self._monotonic_ns() + round(RETRY_S * 1e9)

    async def _renew(self) -> None:
        self.instruments = await self._load()
        now_ns = self._wall_ns()
        ends = (made.expiry_time_ns for made in self.instruments if made.expiry_time_ns is not None)
        until_end_ns = min((end_ns - now_ns for end_ns in ends if end_ns > now_ns), default=None)
        age_ns = round(AGE_S_MAX * 1e9)
        if until_end_ns is not None:
            age_ns = min(age_ns, until_end_ns + round(ENDED_S * 1e9))
        self._due_ns = self._monotonic_ns() + age_ns


def _expected(results: Iterable[BaseException | None]) -> list[Exception]:
    """Return the errors that a load may end with; anything else is a bug and raised."""
    failed: list[Exception] = []
    for result in results:
        if isinstance(result, (ExchangeError, ResilienceError)):
            failed.append(result)
        elif result is not None:
            raise result
    return failed


def _unknown(exchange: str, symbol: str, near: Sequence[str]) -> CallerMustAct:
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    return CallerMustAct(exchange, "get_instruments", Outcome.NOT_FOUND, f"no instrument {symbol[:64]!r}{meant}")
