"""Choose the price to give: streamed, asked for, from another exchange, or the last known one, marked stale."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from clients.exchanges.client import ExchangeClient
from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.model import Price, Quote, mid_price
from clients.exchanges.names import closure
from clients.exchanges.symbols import near_matches
from clients.resilience.errors import AttemptTimedOut, ResilienceError
from clients.resilience.outcome import Outcome
from clients.resilience.ports import WallNs
from services.runtime.errors import InvalidRequest, NotFound, Unavailable
from services.runtime.exchanges.latest_quotes import LatestQuotes

ANY: Final = "any"
KNOWN_MAX: Final = 2_000
"""Last known prices kept; the symbol that was priced longest ago makes room."""


@dataclass(frozen=True)
class Priced:
    """A price with its quote, its age and what was tried before it."""

    price: Price
    quote: Quote | None
    age_ms: int
    attempts: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeskOptions:
    """How fresh is fresh, and how long an exchange may take."""

    fresh_ms: int = 1_000
    """A streamed quote younger than this is given without asking."""
    max_age_ms: int = 10_000
    """The oldest fallback when the caller does not say."""
    rest_deadline_s: float = 3.0
    """For one exchange, with all its retries: the next one has to get its turn."""


class _Unlisted(Exception):
    """The exchange answered, and has no such symbol."""


@dataclass
class _Tried:
    """What happened on the way to a price."""

    sentences: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    """Why an exchange is sure that there is no such symbol."""


class PriceDesk:
    """Prices of several exchanges, in the order of preference in which they are given.

    The rule of failover: an exchange's fresh stream, its REST answer, then the next exchange that lists exactly the same symbol (an
    equivalent in another currency or another kind of contract is another price, and is never given instead); at last the newest value
    known of any of them, if it is young enough, marked stale.
    """

    def __init__(
        self,
        clients: Mapping[str, ExchangeClient],
        latest: Mapping[str, LatestQuotes],
        *,
        wall_ns: WallNs,
        options: DeskOptions | None = None,
    ) -> None:
        self._clients = clients
        self._latest = latest
        self._wall_ns = wall_ns
        self._options = DeskOptions() if options is None else options
        self._known: dict[tuple[str, str], tuple[Price, Quote | None]] = {}

    async def get(self, symbol: str, exchange: str = ANY, max_age_ms: int = 0) -> Priced:
        """Return the price; raises NotFound, Unavailable (the text says what was tried) or InvalidRequest."""
        names = self.names(exchange)
        if not symbol or len(symbol) > 64 or "/" not in symbol:
            raise InvalidRequest(
                "symbol", f"must be a unified symbol like BTC/USDT or BTC/USDT:USDT (got {symbol[:64]!r})"
            )
        if max_age_ms < 0:
            raise InvalidRequest("max_age_ms", f"must be 0 (the default) or positive (got {max_age_ms})")
        limit_ms = max_age_ms or self._options.max_age_ms
        tried = _Tried()
        for name in names:
            priced = self._streamed(name, symbol, limit_ms) or await self._asked(name, symbol, tried)
            if priced is not None:
                return replace(priced, attempts=tuple(tried.sentences))
        if len(tried.unlisted) == len(names):
            raise NotFound("; ".join(tried.unlisted))
        fallback = self._fallback(names, symbol, limit_ms)
        if fallback is None:
            raise Unavailable(
                f"no price of {symbol} that is younger than {limit_ms} ms: {'; '.join(tried.sentences)}. "
                "Retry with backoff, or accept an older value with `max_age_ms`"
            )
        return replace(fallback, attempts=tuple(tried.sentences))

    def names(self, exchange: str) -> tuple[str, ...]:
        """Return the exchanges that a caller means; raises NotFound for one that is not there."""
        if exchange in ("", ANY):
            if not self._clients:
                raise NotFound("no exchange is configured; set MIDSTREAM_PRICE_EXCHANGES")
            return tuple(self._clients)
        if exchange not in self._clients:
            missing = closure(exchange) or f"no exchange {exchange[:32]!r}"
            raise NotFound(f"{missing}; there are {', '.join(self._clients) or 'none'}, or {ANY!r}")
        return (exchange,)

    def streamed_symbols(self, exchange: str) -> tuple[str, ...]:
        """Every symbol that is being streamed from the exchanges meant."""
        return tuple(sorted({symbol for name in self.names(exchange) for symbol in self._latest[name].streamed}))

    def _streamed(self, name: str, symbol: str, limit_ms: int) -> Priced | None:
        quote = self._latest[name].quotes.get(symbol)
        if quote is None:
            return None
        self._latest[name].want(symbol)
        price = mid_price(quote, source="stream")
        if price is None:
            return None
        self._know(price, quote)
        age_ms = self._age_ms(price)
        return Priced(price, quote, age_ms) if age_ms < min(self._options.fresh_ms, limit_ms) else None

    async def _asked(self, name: str, symbol: str, tried: _Tried) -> Priced | None:
        try:
            async with asyncio.timeout(self._options.rest_deadline_s):
                price, quote = await self._ask(name, symbol)
        except _Unlisted as exc:
            tried.unlisted.append(str(exc))
            tried.sentences.append(str(exc))
            return None
        except TimeoutError:
            tried.sentences.append(f"{name} did not answer within {self._options.rest_deadline_s:g} s")
            return None
        except (ExchangeError, ResilienceError, AttemptTimedOut) as exc:
            if isinstance(exc, CallerMustAct) and exc.outcome is Outcome.NOT_FOUND:
                tried.unlisted.append(str(exc))
            tried.sentences.append(str(exc))
            return None
        self._know(price, quote)
        # The exchange says that this is its price now: the time of the last change does not make it older.
        return Priced(price, quote, max(0, (self._wall_ns() - price.receive_time_ns) // 1_000_000))

    async def _ask(self, name: str, symbol: str) -> tuple[Price, Quote]:
        client = self._clients[name]
        instruments = await client.get_instruments()
        if symbol not in instruments:
            near = near_matches(symbol, instruments)
            raise _Unlisted(f"{name} does not list {symbol}" + (f" (near matches: {', '.join(near)})" if near else ""))
        self._latest[name].want(symbol)
        quote = await client.get_quote(symbol)
        price = mid_price(quote, source="rest")
        return (await client.get_price(symbol) if price is None else price), quote

    def _fallback(self, names: tuple[str, ...], symbol: str, limit_ms: int) -> Priced | None:
        known = [self._known[name, symbol] for name in names if (name, symbol) in self._known]
        priced = [
            Priced(replace(price, stale=True, source="cache"), quote, self._age_ms(price)) for price, quote in known
        ]
        newest = min(priced, key=lambda each: each.age_ms, default=None)
        return newest if newest is not None and newest.age_ms <= limit_ms else None

    def _age_ms(self, price: Price) -> int:
        """Age since the exchange's own time, or since receipt where that is longer ago or all there is."""
        since_ns = price.receive_time_ns
        if price.source == "stream" and price.event_time_ns is not None:
            since_ns = min(since_ns, price.event_time_ns)
        return max(0, (self._wall_ns() - since_ns) // 1_000_000)

    def _know(self, price: Price, quote: Quote | None) -> None:
        key = (price.exchange, price.symbol)
        self._known.pop(key, None)
        self._known[key] = (price, quote)
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
