"""Put figures and references of a selection together, for page, CSV and calls alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum, unique

from clients.power.calendar import DeliveryHour, delivery_hour, hours_of_day
from services.reporting.engine.figures import Figures, Sums, total
from services.reporting.engine.snapshot import DeliveryDay, Reference

__all__ = ["DayReport", "HourRow", "ReferenceState", "Report", "Selection", "build_day", "traders_of"]


@unique
class ReferenceState(StrEnum):
    """Freshness of a reference price."""

    NONE = "none"
    CURRENT = "current"
    STALE = "stale"
    FINAL = "final"


@dataclass(frozen=True)
class Selection:
    """The choice of somebody who looks."""

    trader: str = ""
    """Empty: the team."""
    day: str = ""
    """Empty: today and tomorrow."""
    all_hours: bool = False


@dataclass(frozen=True)
class HourRow:
    """One delivery hour of a selection."""

    hour: DeliveryHour
    figures: Figures
    reference: Reference | None
    state: ReferenceState


@dataclass(frozen=True)
class DayReport:
    """One delivery day of a selection."""

    day: str
    rows: tuple[HourRow, ...]
    total: Figures


@dataclass(frozen=True)
class Report:
    """All that a selection shows now."""

    selection: Selection
    days: tuple[DayReport, ...]
    traders: tuple[str, ...]
    """Everybody with a deal on the days in view, and on the ones that are always kept."""


def build_day(
    day: str, delivery: DeliveryDay, selection: Selection, states: Mapping[tuple[str, str], ReferenceState]
) -> DayReport:
    """Return the rows of one day, in order of delivery, and their total. `states` says of each hour how fresh its price is."""
    sums: dict[str, Sums] = {}
    for (label, trader), part in delivery.sums.items():
        if not selection.trader or trader == selection.trader:
            sums[label] = sums.get(label, Sums()) + part
    hours = {hour.label: hour for hour in hours_of_day(date.fromisoformat(day))} if selection.all_hours else {}
    hours |= {label: delivery_hour(day, label) for label in sums}
    rows = []
    for label in sorted(hours):
        reference = delivery.references.get(label)
        figures = Figures.of(sums.get(label, Sums()), None if reference is None else reference.value_e4)
        state = ReferenceState.NONE if reference is None else states.get((day, label), ReferenceState.FINAL)
        rows.append(HourRow(hours[label], figures, reference, state))
    return DayReport(day, tuple(rows), total(row.figures for row in rows))


def traders_of(deliveries: Iterable[DeliveryDay]) -> tuple[str, ...]:
    """Return everybody who has a deal on these days, in a natural order: flex_trader_2 before flex_trader_10."""
    return tuple(sorted({trader for delivery in deliveries for _, trader in delivery.sums}, key=natural_key))


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
