"""Exchanges as the engine sees them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from clients.exchanges.errors import ExchangeError
from clients.exchanges.model import Instrument, Price, Quote, ServerTime
from clients.exchanges.names import closure
from clients.exchanges.symbols import expiry_day, near_matches
from clients.exchanges.trading import TradingClient
from clients.resilience.errors import AttemptTimedOut, ResilienceError
from services.orders.errors import Reason, denied

CLIENT_ERRORS: Final = (ExchangeError, ResilienceError, AttemptTimedOut)
"""What a call of an exchange's client may raise."""

ANY: Final = "ANY"
"""Any of the configured exchanges, in their order."""


class MarketData(Protocol):
    """The part of an `ExchangeClient` that orders need."""

    async def get_price(self, symbol: str) -> Price: ...

    async def get_quote(self, symbol: str) -> Quote: ...

    async def get_instruments(self, *, refresh: bool = False) -> Mapping[str, Instrument]: ...

    def known_instrument(self, symbol: str) -> Instrument | None: ...

    def recall(self, market: str, exchange_symbol: str, symbol: str) -> None: ...

    async def get_server_time(self, market: str | None = None) -> ServerTime: ...

    async def ping(self, market: str | None = None) -> float: ...


@dataclass(frozen=True)
class Venue:
    """One exchange."""

    exchange: str
    trading: TradingClient
    market: MarketData

    async def instrument(self, symbol: str) -> Instrument:
        """Return the instrument, also one that is not listed any more; a symbol that was never there is denied with near matches."""
        instruments = await self.market.get_instruments()
        found = instruments.get(symbol) or self.market.known_instrument(symbol)
        if found is None:
            if _is_past(symbol, instruments):
                raise denied(Reason.NOT_TRADABLE, ended_text(self.exchange, symbol))
            near = near_matches(symbol, instruments)
            hint = f"; near matches: {', '.join(near)}" if near else "; ListInstruments names those that exist"
            raise denied(
                Reason.UNKNOWN_SYMBOL, f"{symbol[:64]!r} is no symbol of {self.exchange}{hint}", field="symbol"
            )
        return found


def ended_text(exchange: str, symbol: str) -> str:
    """Say that an instrument takes no orders, and since when."""
    day = expiry_day(symbol)
    when = f"it ended on {day}" if day is not None else "it is not listed any more"
    return f"{exchange} takes no orders for {symbol[:64]}: {when}; ListInstruments names what is traded now"


def _is_past(symbol: str, listed: Collection[str]) -> bool:
    """Whether a symbol is of a contract that ended before all that are listed of its kind."""
    day, kind = expiry_day(symbol), symbol.rpartition("-")[0]
    days = [end for each in listed if each.rpartition("-")[0] == kind and (end := expiry_day(each)) is not None]
    return day is not None and bool(days) and day < min(days)


class Venues:
    """All configured exchanges, in the order in which `ANY` tries them."""

    def __init__(self, venues: Sequence[Venue]) -> None:
        self._venues = {venue.exchange: venue for venue in venues}

    def __iter__(self) -> Iterator[Venue]:
        return iter(self._venues.values())

    def __len__(self) -> int:
        return len(self._venues)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(self._venues)

    def get(self, exchange: str) -> Venue | None:
        """Return an exchange; None when it is not configured (any more)."""
        return self._venues.get(exchange)

    def known_instrument(self, exchange: str, symbol: str) -> Instrument | None:
        """Return an instrument without asking anybody; None when it has not been loaded since the start."""
        venue = self.get(exchange)
        return None if venue is None else venue.market.known_instrument(symbol)

    def named(self, exchange: str) -> Venue:
        """Return an exchange; one that is not configured is denied."""
        venue = self._venues.get(exchange)
        if venue is None:
            closed = closure(exchange)
            raise denied(
                Reason.UNKNOWN_EXCHANGE,
                f"is {exchange[:32]!r}{f' ({closed})' if closed else ''}, legal are {', '.join((*self._venues, ANY))}",
                field="exchange",
            )
        return venue
