"""Net positions: who has bought more than sold, and for which delivery period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from clients.power.calendar import DeliveryHour, delivery_hour
from services.reporting.engine.figures import Sums, net_power
from services.reporting.engine.report import Selection, traders_of
from services.reporting.engine.snapshot import DeliveryDay

__all__ = ["DayPositions", "Matrix", "PeriodPositions", "matrix_of"]


@dataclass(frozen=True)
class PeriodPositions:
    """One row of the matrix: MWh times 10^6, bought less sold; above zero is long."""

    period: DeliveryHour
    net_e6: tuple[int, ...]
    """One per trader, in the matrix's order."""

    @property
    def team_e6(self) -> int:
        return sum(self.net_e6)

    def power(self, net_e6: int) -> Decimal:
        """Return MW over this period."""
        return net_power(net_e6, self.period.minutes)


@dataclass(frozen=True)
class DayPositions:
    """The rows of a delivery day and their sums."""

    day: str
    rows: tuple[PeriodPositions, ...]
    net_e6: tuple[int, ...]
    """One per trader, in the matrix's order."""

    @property
    def team_e6(self) -> int:
        return sum(self.net_e6)


@dataclass(frozen=True)
class Matrix:
    """Traders across, periods down."""

    traders: tuple[str, ...]
    days: tuple[DayPositions, ...]


def matrix_of(deliveries: Mapping[str, DeliveryDay], *, market: str = "") -> Matrix:
    """Return the positions of some delivery days, in their order; only periods with deals, only traders with one."""
    selection = Selection(market=market)
    chosen = {
        day: DeliveryDay(sums={part: sums for part, sums in delivery.sums.items() if selection.takes(part)})
        for day, delivery in deliveries.items()
    }
    traders = traders_of(chosen.values())
    return Matrix(traders, tuple(_day(day, delivery, traders) for day, delivery in chosen.items()))


def _day(day: str, delivery: DeliveryDay, traders: tuple[str, ...]) -> DayPositions:
    net_e6: dict[tuple[str, str], int] = {}
    for part, sums in delivery.sums.items():
        key = (part.hour, part.trader)
        net_e6[key] = net_e6.get(key, 0) + sums.net_e6
    periods = sorted({delivery_hour(day, part.hour) for part, sums in delivery.sums.items() if sums != Sums()})
    rows = tuple(
        PeriodPositions(period, tuple(net_e6.get((period.label, trader), 0) for trader in traders))
        for period in periods
    )
    return DayPositions(day, rows, _added(row.net_e6 for row in rows) or (0,) * len(traders))


def _added(rows: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*rows, strict=True))
