"""One listing of a simulated exchange, with its rules of price and quantity."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum, unique


@unique
class Kind(StrEnum):
    """What a listing is."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    DELIVERY = "delivery"


@unique
class Payout(StrEnum):
    """How a listing settles."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    QUANTO = "quanto"


@dataclass(frozen=True)
class Listing:
    """One instrument. Quantities are counted as its orders count them; `unit` says what one of them is.

    `unit` is base units (spot, linear), quote units (inverse) or settlement units per point of price (quanto).
    """

    market: str
    symbol: str
    kind: Kind
    payout: Payout
    base: str
    quote: str
    settle: str
    tick: Decimal
    lot: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    unit: Decimal
    typical_quantity: Decimal
    """What one level of the simulated book holds, about."""
    notional_min: Decimal = Decimal(0)
    premium: Decimal = Decimal(0)
    """Distance from the underlying's price, as a fraction: dated contracts trade above their underlying."""
    spread_ticks: int = 1
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    leverage: Decimal = Decimal(20)
    expiry_ns: int | None = None
    purse: str = ""
    """Name of the wallet where it is not its market's own: a unified account has one for all markets."""

    @property
    def wallet(self) -> str:
        """The wallet that pays for it."""
        return self.purse or self.market

    def notional(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return the value in quote units (inverse: also quote units)."""
        if self.payout is Payout.INVERSE:
            return quantity * self.unit
        return quantity * self.unit * price

    def settlement_value(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return the value in the currency that it settles in."""
        if self.payout is Payout.INVERSE:
            return quantity * self.unit / price
        return quantity * self.unit * price

    def round_down(self, price: Decimal) -> Decimal:
        """Return the highest legal price that is not above."""
        return (price / self.tick).to_integral_value(ROUND_FLOOR) * self.tick

    def lots(self, quantity: Decimal) -> Decimal:
        """Return the largest legal quantity that is not above."""
        return (quantity / self.lot).to_integral_value(ROUND_FLOOR) * self.lot


QUARTER_MONTHS = (3, 6, 9, 12)
DELIVERY_CODES = "FGHJKMNQUVXZ"
"""Month codes of futures, January first."""


def quarter_ends(now_ns: int, hour: int, count: int = 2) -> tuple[datetime, ...]:
    """Return the next last Fridays of quarters, at that hour UTC, at least a day away, so that none is ever stale."""
    now = datetime.fromtimestamp(now_ns / 1e9, tz=UTC)
    found: list[datetime] = []
    year = now.year
    while len(found) < count:
        for month in QUARTER_MONTHS:
            day = datetime(year, month, calendar.monthrange(year, month)[1], hour, tzinfo=UTC)
            friday = day - timedelta(days=(day.weekday() - calendar.FRIDAY) % 7)
            if friday - now > timedelta(days=1):
                found.append(friday)
        year += 1
    return tuple(found[:count])
