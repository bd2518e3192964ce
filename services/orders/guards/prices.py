"""Get a fresh price, or none: orders never use an old one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clients.exchanges.model import Instrument, Quote, mid_of
from clients.resilience.ports import WallNs
from services.orders.errors import Reason, denied
from services.orders.venues import CLIENT_ERRORS, Venue

REUSE_NS: Final = 200_000_000
"""A burst of orders asks the exchange five times a second and not once per order."""


@dataclass(frozen=True)
class FreshPrice:
    """The mid of a quote that is young enough."""

    price: Decimal
    at_ns: int


class PriceGuard:
    """Asks the exchange's client, which answers from its stream where it has one.

    Remembers the last price per instrument, for the rule under which an order may go to another exchange.
    """

    def __init__(self, *, wall_ns: WallNs, age_max_s: float) -> None:
        self._wall_ns = wall_ns
        self._age_max_ns = round(age_max_s * 1e9)
        self._last: dict[tuple[str, str], FreshPrice] = {}

    async def fresh(self, venue: Venue, symbol: str) -> Decimal:
        """Return the price; deny where it is missing, stale or crossed. One asked for a moment ago is used again."""
        known = self._last.get((venue.exchange, symbol))
        if known is not None and 0 <= self._wall_ns() - known.at_ns <= REUSE_NS:
            return known.price
        try:
            quote = await venue.market.get_quote(symbol)
        except CLIENT_ERRORS as exc:
            raise denied(Reason.PRICE_MISSING, f"there is no price of {symbol} on {venue.exchange}: {exc}") from exc
        price = await self._price(venue, symbol, quote)
        self._last[venue.exchange, symbol] = FreshPrice(price, self._wall_ns())
        return price

    def now_ns(self) -> int:
        """Return the time by which prices are old."""
        return self._wall_ns()

    def last(self, exchange: str, symbol: str, *, age_max_s: float) -> Decimal | None:
        """Return the last price that was fresh when it was asked for, unless that is too long ago."""
        known = self._last.get((exchange, symbol))
        if known is None or self._wall_ns() - known.at_ns > age_max_s * 1e9:
            return None
        return known.price

    async def _price(self, venue: Venue, symbol: str, quote: Quote) -> Decimal:
        self._check_age(symbol, quote.receive_time_ns)
        bid, ask = quote.bid_price, quote.ask_price
        if bid is None or ask is None:
            # A book with one side has a last price at best.
            try:
                price = await venue.market.get_price(symbol)
            except CLIENT_ERRORS as exc:
                raise denied(Reason.PRICE_MISSING, f"{symbol} has no two-sided quote and no last price: {exc}") from exc
            if price.stale:
                raise denied(Reason.PRICE_STALE, f"the last price of {symbol} is marked as stale")
            self._check_age(symbol, price.receive_time_ns)
            return _positive(symbol, price.price)
        if bid > ask:
            raise denied(Reason.PRICE_CROSSED, f"the quote of {symbol} is crossed: bid {bid:f}, ask {ask:f}")
        return _positive(symbol, mid_of(bid, ask))

    def _check_age(self, symbol: str, receive_time_ns: int) -> None:
        age_ns = self._wall_ns() - receive_time_ns
        if age_ns > self._age_max_ns:
            raise denied(
                Reason.PRICE_STALE,
                f"the price of {symbol} is {age_ns / 1e9:.1f} s old, orders need one of {self._age_max_ns / 1e9:g} s",
            )


def check_band(instrument: Instrument, price: Decimal, market_price: Decimal, band: Decimal) -> None:
    """Deny a LIMIT price that is too far from the market."""
    if abs(price - market_price) > band * market_price:
        raise denied(
            Reason.PRICE_BAND,
            f"price {price:f} of {instrument.symbol} is more than {band * 100:f} % away from the market at "
            f"{market_price.normalize():f}",
        )


def _positive(symbol: str, price: Decimal) -> Decimal:
    if not price.is_finite() or price <= 0:
        raise denied(Reason.PRICE_MISSING, f"the price of {symbol} is {price}, which is none")
    return price
