"""Put figures and references of a selection together, for page, CSV and calls alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum, unique

from clients.power.calendar import HOUR_MINUTES, DeliveryHour, delivery_hour, hours_of_day
from services.reporting.engine.figures import Figures, Sums, from_e6, from_e10, net_power, total
from services.reporting.engine.queries import Slice
from services.reporting.engine.snapshot import DeliveryDay, Reference

__all__ = ["DayReport", "HourRow", "ReferenceState", "Report", "Selection", "build_day", "markets_of", "traders_of"]


@unique
class ReferenceState(StrEnum):
    """Freshness of a reference price."""

    NONE = "none"
    CURRENT = "current"
    STALE = "stale"
    FINAL = "final"
    """The hour has closed, and the provider has confirmed the price since."""
    CLOSED = "closed"
    """The hour has closed, and the provider has not been heard since: this is the last price seen."""


@dataclass(frozen=True)
class Selection:
    """The choice of somebody who looks."""

    trader: str = ""
    """Empty: the team."""
    day: str = ""
    """Empty: today and tomorrow."""
    all_hours: bool = False
    market: str = ""
    """Empty: all."""

    def takes(self, part: Slice) -> bool:
        """Tell whether a slice of a day belongs to it."""
        return (not self.trader or part.trader == self.trader) and (not self.market or part.market == self.market)


@dataclass(frozen=True)
class HourRow:
    """One delivery hour of a selection, or a quarter of one."""

    hour: DeliveryHour
    figures: Figures
    reference: Reference | None
    state: ReferenceState
    reference_of_hour: bool = False
    """The reference is the whole hour's: there is none of this quarter."""
    markets: tuple[str, ...] = ()
    gate_closure_ns: int = 0
    net_power_with_hour: Decimal = Decimal(0)
    """MW that flow in it: for a quarter its hour's deals included."""
    cumulated_e10: int | None = None
    """Performance of the day up to and with this row, EUR times 10^10; None until a row has one."""

    @property
    def net_energy(self) -> Decimal:
        """MWh: bought less sold; above zero is long."""
        return from_e6(self.figures.sums.net_e6)

    @property
    def net_power(self) -> Decimal:
        """MW, of the deals of this row."""
        return net_power(self.figures.sums.net_e6, self.hour.minutes)

    @property
    def cumulated(self) -> Decimal | None:
        """EUR."""
        return None if self.cumulated_e10 is None else from_e10(self.cumulated_e10)


@dataclass(frozen=True)
class DayReport:
    """One delivery day of a selection."""

    day: str
    rows: tuple[HourRow, ...]
    total: Figures

    @property
    def net_energy(self) -> Decimal:
        """MWh: bought less sold; above zero is long."""
        return from_e6(self.total.sums.net_e6)


@dataclass(frozen=True)
class Report:
    """All that a selection shows now."""

    selection: Selection
    days: tuple[DayReport, ...]
    traders: tuple[str, ...]
    """Everybody with a deal on the days in view, and on the ones that are always kept."""
    markets: tuple[str, ...] = ()
    """The same of markets that deals name."""


def build_day(
    day: str,
    delivery: DeliveryDay,
    selection: Selection,
    states: Mapping[tuple[str, str], ReferenceState],
    *,
    lead_ns: int = 0,
) -> DayReport:
    """Return the rows of one day, in order of delivery, and their total.

    `states` says of each price of a kept day how fresh it is; days that are not kept are over. `lead_ns` is how long before delivery
    trading ends.
    """
    sums, markets = _chosen(delivery, selection)
    periods = set(hours_of_day(date.fromisoformat(day))) if selection.all_hours else set()
    periods |= {delivery_hour(day, label) for label in sums}
    rows: list[HourRow] = []
    cumulated_e10: int | None = None
    for period in sorted(periods):
        owner, reference = delivery.reference_of(period)
        own = sums.get(period.label, Sums())
        figures = Figures.of(own, None if reference is None else reference.value_e4)
        if figures.priced.deals:
            cumulated_e10 = (cumulated_e10 or 0) + figures.performance_e10
        state = ReferenceState.NONE
        if reference is not None:
            over = ReferenceState.FINAL if reference.final else ReferenceState.CLOSED
            state = states.get((day, owner), over)
        power = net_power(own.net_e6, period.minutes)
        if period.quarter:
            power += net_power(sums.get(period.whole_hour.label, Sums()).net_e6, HOUR_MINUTES)
        rows.append(
            HourRow(
                period,
                figures,
                reference,
                state,
                reference_of_hour=owner != period.label and reference is not None,
                markets=tuple(sorted(markets.get(period.label, ()), key=natural_key)),
                gate_closure_ns=period.gate_closure_ns(lead_ns),
                net_power_with_hour=power,
                cumulated_e10=cumulated_e10,
            )
        )
    return DayReport(day, tuple(rows), total(row.figures for row in rows))


def _chosen(delivery: DeliveryDay, selection: Selection) -> tuple[dict[str, Sums], dict[str, set[str]]]:
    """Return sums and markets of a selection by hour or quarter."""
    sums: dict[str, Sums] = {}
    markets: dict[str, set[str]] = {}
    for part, found in delivery.sums.items():
        if selection.takes(part):
            sums[part.hour] = sums.get(part.hour, Sums()) + found
            if part.market:
                markets.setdefault(part.hour, set()).add(part.market)
    return sums, markets


def traders_of(deliveries: Iterable[DeliveryDay]) -> tuple[str, ...]:
    """Return everybody who has a deal on these days, in a natural order: flex_trader_2 before flex_trader_10."""
    return tuple(sorted({part.trader for delivery in deliveries for part in delivery.sums}, key=natural_key))


def markets_of(deliveries: Iterable[DeliveryDay]) -> tuple[str, ...]:
    """Return every market that deals of these days name, in a natural order."""
    return tuple(sorted({part.market for delivery in deliveries for part in delivery.sums} - {""}, key=natural_key))


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Order digits by value; everything else by character."""
    parts: list[tuple[int, int, str]] = []
    digits = ""
    for character in text:
        if character.isdecimal() and character.isascii():
            digits += character
            continue
        if digits:
            parts.append((0, int(digits), digits))
            digits = ""
        parts.append((1, 0, character))
    if digits:
        parts.append((0, int(digits), digits))
    return tuple(parts)
