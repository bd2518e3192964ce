"""Spell numbers as Bybit does: text with as many decimals as the step; an empty text says that there is none."""

from __future__ import annotations

from decimal import Decimal

from services.simulators.venue.listing import Listing


def plain(value: Decimal, places: int = 8) -> str:
    """Return it without exponent or trailing zeros."""
    text = f"{round(value, places):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals(step: Decimal) -> int:
    """Return how many decimals a step is written with: `0.10` has two."""
    return max(0, -int(step.as_tuple().exponent))


def price_text(listing: Listing, price: Decimal) -> str:
    """Spell a price."""
    return f"{price:.{decimals(listing.tick)}f}"


def size_text(listing: Listing, quantity: Decimal) -> str:
    """Spell a quantity."""
    return f"{quantity:.{decimals(listing.lot)}f}"
