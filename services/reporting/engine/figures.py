"""Sums, averages and performance of deals against reference prices. Integers all the way; decimals at the end.

Prices are EUR/MWh times 10^4 and quantities MW times 10^4. Energy is MW times duration: over a quarter of an hour that takes two
more digits, so energies are MWh times 10^6 and values EUR times 10^10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from clients.power.calendar import HOUR_MINUTES
from clients.power.store.schema import E4

E6: Final = 10**6
AVERAGE_DIGITS: Final = 8
"""Digits behind the point to which averages are rounded, half to even. Sums are exact."""

_CONTEXT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Side:
    """All buys, or all sells."""

    deals: int = 0
    energy_e6: int = 0
    value_e10: int = 0
    """Sum of price times energy."""

    @classmethod
    def of(cls, deals: int, quantity_e4: int, value_e8: int, minutes: int) -> Side:
        """Deals of one period: the sum of their MW, and of price times MW, over a duration that divides an hour."""
        factor = 100 * minutes // HOUR_MINUTES
        return cls(deals, quantity_e4 * factor, value_e8 * factor)

    def __add__(self, other: Side) -> Side:
        return Side(self.deals + other.deals, self.energy_e6 + other.energy_e6, self.value_e10 + other.value_e10)

    def __sub__(self, other: Side) -> Side:
        return Side(self.deals - other.deals, self.energy_e6 - other.energy_e6, self.value_e10 - other.value_e10)

    @property
    def energy(self) -> Decimal:
        """MWh."""
        return from_e6(self.energy_e6)

    def gain_e10(self, reference_e4: int) -> int:
        """What it is worth more than at the reference price, in EUR times 10^10: the result of sells, and of buys the opposite."""
        return self.value_e10 - reference_e4 * self.energy_e6

    @property
    def average(self) -> Decimal | None:
        """Volume-weighted price, EUR/MWh; None without volume."""
        return quotient(self.value_e10, self.energy_e6 * E4)


@dataclass(frozen=True)
class Sums:
    """Both sides. Sums of different deals add up; that is how hours become days and traders a team."""

    bought: Side = Side()
    sold: Side = Side()
    corrected: int = 0
    """Of these deals, those that the exchange has corrected."""
    canceled: int = 0
    """Deals beside these that the exchange has canceled; they count for nothing else."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.bought + other.bought,
            self.sold + other.sold,
            self.corrected + other.corrected,
            self.canceled + other.canceled,
        )

    def __sub__(self, other: Sums) -> Sums:
        return Sums(
            self.bought - other.bought,
            self.sold - other.sold,
            self.corrected - other.corrected,
            self.canceled - other.canceled,
        )

    @property
    def deals(self) -> int:
        return self.bought.deals + self.sold.deals

    @property
    def energy_e6(self) -> int:
        return self.bought.energy_e6 + self.sold.energy_e6

    @property
    def net_e6(self) -> int:
        """Net position, MWh times 10^6: bought less sold; above zero is long."""
        return self.bought.energy_e6 - self.sold.energy_e6

    def performance_e10(self, reference_e4: int) -> int:
        """Sum of s*q*(p - reference) with s = +1 for sells and -1 for buys, in EUR times 10^10."""
        return self.sold.gain_e10(reference_e4) - self.bought.gain_e10(reference_e4)


@dataclass(frozen=True)
class Figures:
    """Sums with what is known of their performance: of one hour, or of many whose references differ."""

    sums: Sums = Sums()
    performance_e10: int = 0
    """Of the deals whose hour has a reference price."""
    priced: Sums = Sums()
    """Those deals."""

    @classmethod
    def of(cls, sums: Sums, reference_e4: int | None) -> Figures:
        """Figures of one delivery period."""
        if reference_e4 is None:
            return cls(sums)
        return cls(sums, sums.performance_e10(reference_e4), sums)

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.sums + other.sums, self.performance_e10 + other.performance_e10, self.priced + other.priced)

    @property
    def average(self) -> Decimal | None:
        """Volume-weighted price over buys and sells, EUR/MWh; None without volume."""
        both = self.sums.bought + self.sums.sold
        return both.average

    @property
    def performance(self) -> Decimal | None:
        """EUR; None where nothing can be compared."""
        return from_e10(self.performance_e10) if self.priced.deals else None

    @property
    def performance_per_mwh(self) -> Decimal | None:
        """EUR/MWh over what can be compared."""
        return quotient(self.performance_e10, self.priced.energy_e6 * E4)

    @property
    def mixed(self) -> bool:
        """Whether there are buys and sells: then the performance is not the average minus the reference."""
        return bool(self.sums.bought.deals and self.sums.sold.deals)

    @property
    def unpriced_deals(self) -> int:
        """Deals whose hour has no reference price yet."""
        return self.sums.deals - self.priced.deals


def total(parts: Iterable[Figures]) -> Figures:
    """Return the figures of everything together."""
    return sum(parts, Figures())


def from_e4(number: int) -> Decimal:
    """Return a price or quantity as the decimal that it is."""
    return Decimal(number).scaleb(-4, _CONTEXT)


def from_e6(number: int) -> Decimal:
    """Return an energy as the decimal that it is."""
    return Decimal(number).scaleb(-6, _CONTEXT)


def from_e10(number: int) -> Decimal:
    """Return a value as the decimal that it is."""
    return Decimal(number).scaleb(-10, _CONTEXT)


def net_power(net_e6: int, minutes: int) -> Decimal:
    """Return the MW that make a net energy over a duration."""
    return from_e6(net_e6 * HOUR_MINUTES // minutes)


def quotient(numerator: int, denominator: int) -> Decimal | None:
    """Return the ratio, rounded once; None when there is nothing to divide by."""
    if denominator == 0:
        return None
    # Half a unit of the last digit decides with whole numbers: a quotient rounded to the context first would be rounded twice.
    scaled, rest = divmod(abs(numerator) * 10**AVERAGE_DIGITS, abs(denominator))
    twice = 2 * rest
    scaled += twice > abs(denominator) or (twice == abs(denominator) and scaled % 2 == 1)
    negative = (numerator < 0) != (denominator < 0)
    return Decimal(-scaled if negative else scaled).scaleb(-AVERAGE_DIGITS, _CONTEXT)


def plain(number: Decimal) -> str:
    """Spell a decimal without exponent, trailing zeros or a minus before zero."""
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
