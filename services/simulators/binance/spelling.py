"""Spell numbers as Binance does: always text; eight decimals on spot, as short as possible on futures."""

from __future__ import annotations

from decimal import Decimal

from services.simulators.binance.listings import SPOT
from services.simulators.venue.listing import Listing


def eight(value: Decimal) -> str:
    """Spot's way."""
    return f"{value:.8f}"


def plain(value: Decimal) -> str:
    """Return it without exponent or trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals(step: Decimal) -> int:
    """Return how many decimals a step has."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def at_tick(value: Decimal, tick: Decimal) -> str:
    """Return a price with as many decimals as the tick, as books show it."""
    return f"{value:.{decimals(tick)}f}"


def price_text(listing: Listing, price: Decimal) -> str:
    """Spell a price of the book."""
    return eight(price) if listing.market == SPOT else at_tick(price, listing.tick)


def size_text(listing: Listing, quantity: Decimal) -> str:
    """Spell a quantity of the book."""
    return eight(quantity) if listing.market == SPOT else at_tick(quantity, listing.lot)
