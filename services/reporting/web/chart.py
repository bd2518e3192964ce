"""The series of the charts, over time. Numbers are texts: the drawing rounds them, nobody else does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from clients.power.calendar import DeliveryHour
from services.reporting.engine.figures import from_e4, plain
from services.reporting.engine.history import History
from services.reporting.engine.report import HourRow, Report

__all__ = ["chart_of", "history_of"]

SECOND_NS: Final = 1_000_000_000


def chart_of(report: Report) -> dict[str, Any]:
    """Return, of every row, from when to when it holds and what: own average, reference, and the day's result up to its end."""
    return {"days": [{"day": day.day, "rows": list(_pieces(day.rows))} for day in report.days]}


def _pieces(rows: Sequence[HourRow]) -> Iterator[list[Any]]:
    """Yield what is drawn of a day: hours, and where quarters are traded those, each with the hour's figures where it has none."""
    for hour, parts in groupby(rows, key=lambda row: row.hour.whole_hour):
        of = {part.hour: part for part in parts}
        whole = of.get(hour)
        if whole is not None and len(of) == 1:
            yield _piece(hour, whole)
            continue
        for quarter in hour.quarters:
            row = of.get(quarter, whole)
            if row is not None:
                yield _piece(quarter, row)


def _piece(period: DeliveryHour, row: HourRow) -> list[Any]:
    reference = None if row.reference is None else from_e4(row.reference.value_e4)
    start_s = period.start_ns // SECOND_NS
    # A quarter that happens twice is drawn where the first of the two is.
    end_s = start_s + period.minutes * 60 if period.quarter else period.end_ns // SECOND_NS
    return [start_s, end_s, period.label, _text(row.figures.average), _text(reference), _text(row.cumulated)]


def history_of(history: History) -> dict[str, Any]:
    """Return how the reference of a period came about, and at which prices we dealt meanwhile."""
    return {
        "label": history.period.label,
        "end": history.period.gate_closure_ns() // SECOND_NS,
        "prices": [[point.since_ns / SECOND_NS, plain(from_e4(point.value_e4))] for point in history.prices],
        "deals": [
            [deal.execution_time_ns / SECOND_NS, plain(from_e4(deal.price_e4)), "sell" if deal.sells else "buy"]
            for deal in history.deals
            if deal.counts
        ],
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
