"""What the exports hold: one list of columns for every format, so that formats cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique
from typing import Final, Generic, TypeVar

from services.reporting.engine.deals import DealRow
from services.reporting.engine.figures import from_e4
from services.reporting.engine.report import HourRow, Report
from services.reporting.web.exports.periods import period_bounds_ns

__all__ = ["DEALS", "PERFORMANCE", "Column", "Kind", "PerformanceRow", "Value", "performance_rows", "safe"]

Row = TypeVar("Row")
Value = str | int | Decimal | None
"""None where there is nothing; a moment is an int, in UTC nanoseconds."""

_RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@unique
class Kind(StrEnum):
    """What the values of a column are, which is what decides how a format writes them."""

    TEXT = "text"
    """Chosen by others: anything may stand in it."""
    WORD = "word"
    """One of a few of our own."""
    DAY = "day"
    PERIOD = "period"
    """A delivery period, spelt as on the wire."""
    COUNT = "count"
    NUMBER = "number"
    MOMENT = "moment"


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column."""

    name: str
    kind: Kind
    value: Callable[[Row], Value]


@dataclass(frozen=True)
class PerformanceRow:
    """A row of the table with the selection that it belongs to."""

    day: str
    trader: str
    row: HourRow


def performance_rows(report: Report) -> list[PerformanceRow]:
    """Return the rows of a report."""
    trader = report.selection.trader or "all"
    return [PerformanceRow(day.day, trader, row) for day in report.days for row in day.rows]


def safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula and no viewer for a command."""
    shown = printable(text)
    return "'" + shown if text.lstrip().startswith(_RISKY) or text.startswith(_RISKY) else shown


def printable(text: str) -> str:
    """Spell out what would act instead of being seen."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def _reference_price(each: PerformanceRow) -> Decimal | None:
    return None if each.row.reference is None else from_e4(each.row.reference.value_e4)


PERFORMANCE: Final[Sequence[Column[PerformanceRow]]] = (
    Column("delivery_day", Kind.DAY, lambda each: each.day),
    Column("delivery_hour", Kind.PERIOD, lambda each: each.row.hour.label),
    Column("trader", Kind.TEXT, lambda each: each.trader),
    Column("deals", Kind.COUNT, lambda each: each.row.figures.sums.deals),
    Column("bought_mwh", Kind.NUMBER, lambda each: each.row.figures.sums.bought.energy),
    Column("sold_mwh", Kind.NUMBER, lambda each: each.row.figures.sums.sold.energy),
    Column("average_price_eur_mwh", Kind.NUMBER, lambda each: each.row.figures.average),
    Column("reference_price_eur_mwh", Kind.NUMBER, _reference_price),
    Column(
        "reference_updated",
        Kind.MOMENT,
        lambda each: None if each.row.reference is None else each.row.reference.update_ns,
    ),
    Column("reference_state", Kind.WORD, lambda each: str(each.row.state)),
    Column("performance_eur_mwh", Kind.NUMBER, lambda each: each.row.figures.performance_per_mwh),
    Column("performance_eur", Kind.NUMBER, lambda each: each.row.figures.performance),
    Column("delivery_start", Kind.MOMENT, lambda each: period_bounds_ns(each.day, each.row.hour.label)[0]),
    Column("delivery_end", Kind.MOMENT, lambda each: period_bounds_ns(each.day, each.row.hour.label)[1]),
    Column("period_minutes", Kind.COUNT, lambda each: each.row.hour.minutes),
    Column("net_mwh", Kind.NUMBER, lambda each: each.row.net_energy),
    Column("net_mw", Kind.NUMBER, lambda each: each.row.net_power),
    Column("cumulated_eur", Kind.NUMBER, lambda each: each.row.cumulated),
    Column("markets", Kind.TEXT, lambda each: " ".join(each.row.markets)),
)

DEALS: Final[Sequence[Column[DealRow]]] = (
    Column("id", Kind.TEXT, lambda deal: deal.id),
    Column("delivery_day", Kind.DAY, lambda deal: deal.delivery_day),
    Column("delivery_hour", Kind.PERIOD, lambda deal: deal.delivery_hour),
    Column("trader", Kind.TEXT, lambda deal: deal.trader_id),
    Column("direction", Kind.WORD, lambda deal: "sell" if deal.sells else "buy"),
    Column("price_eur_mwh", Kind.NUMBER, lambda deal: from_e4(deal.price_e4)),
    Column("quantity_mw", Kind.NUMBER, lambda deal: from_e4(deal.quantity_e4)),
    Column("executed", Kind.MOMENT, lambda deal: deal.execution_time_ns),
    Column("received", Kind.MOMENT, lambda deal: deal.received_time_ns),
    Column("flags", Kind.TEXT, lambda deal: " ".join(deal.flags)),
    Column("delivery_start", Kind.MOMENT, lambda deal: period_bounds_ns(deal.delivery_day, deal.delivery_hour)[0]),
    Column("delivery_end", Kind.MOMENT, lambda deal: period_bounds_ns(deal.delivery_day, deal.delivery_hour)[1]),
    Column("period_minutes", Kind.COUNT, lambda deal: deal.period.minutes),
    Column("energy_mwh", Kind.NUMBER, lambda deal: deal.energy),
    Column("market", Kind.TEXT, lambda deal: deal.market),
    Column("status", Kind.WORD, lambda deal: str(deal.status)),
    Column("revision", Kind.COUNT, lambda deal: deal.revision),
)
