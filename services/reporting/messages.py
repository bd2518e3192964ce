"""Turn figures into protobuf messages: decimals as text, nothing rounded that is not an average."""

from __future__ import annotations

from decimal import Decimal

from protos.reporting.v1 import reporting_pb2 as pb
from services.reporting.engine.deals import DealRow
from services.reporting.engine.figures import Figures, from_e4, plain
from services.reporting.engine.read_model import View
from services.reporting.engine.report import DayReport, HourRow, ReferenceState, Report

__all__ = ["deal_message", "performance_message"]

_STATES = {
    ReferenceState.NONE: pb.REFERENCE_STATE_NONE,
    ReferenceState.CURRENT: pb.REFERENCE_STATE_CURRENT,
    ReferenceState.STALE: pb.REFERENCE_STATE_STALE,
    ReferenceState.FINAL: pb.REFERENCE_STATE_FINAL,
}


def performance_message(view: View, report: Report) -> pb.Performance:
    """Return the figures of a report."""
    status = view.snapshot.status
    return pb.Performance(
        hours=[_hour_message(row) for day in report.days for row in day.rows],
        days=[_day_message(day) for day in report.days if day.rows],
        reference=pb.ReferenceStatus(
            next_due_time_ns=status.next_due_ns,
            late=view.late,
            last_answer_time_ns=status.last_answer_ns,
            trouble=status.trouble,
        ),
        as_of_time_ns=view.snapshot.as_of_ns,
        stale=view.away,
        version=view.version,
    )


def deal_message(row: DealRow) -> pb.Deal:
    """Return a deal."""
    return pb.Deal(
        id=row.id,
        delivery_day=row.delivery_day,
        delivery_hour=row.delivery_hour,
        trader_id=row.trader_id,
        direction=pb.DIRECTION_SELL if row.sells else pb.DIRECTION_BUY,
        price=plain(from_e4(row.price_e4)),
        quantity=plain(from_e4(row.quantity_e4)),
        execution_time_ns=row.execution_time_ns,
        received_time_ns=row.received_time_ns,
        flags=row.flags,
    )


def _hour_message(row: HourRow) -> pb.HourPerformance:
    return pb.HourPerformance(
        delivery_day=row.hour.day_text,
        delivery_hour=row.hour.label,
        ambiguous=row.hour.ambiguous,
        figures=_figures_message(row.figures),
        reference_price="" if row.reference is None else plain(from_e4(row.reference.value_e4)),
        reference_update_time_ns=0 if row.reference is None else row.reference.update_ns,
        reference_state=_STATES[row.state],
    )


def _day_message(day: DayReport) -> pb.DayPerformance:
    return pb.DayPerformance(
        delivery_day=day.day,
        figures=_figures_message(day.total),
        deals_without_reference=day.total.unpriced_deals,
    )


def _figures_message(figures: Figures) -> pb.Figures:
    bought, sold = figures.sums.bought, figures.sums.sold
    return pb.Figures(
        deals=figures.sums.deals,
        bought=plain(bought.energy),
        sold=plain(sold.energy),
        average_price=_text(figures.average),
        average_bought_price=_text(bought.average),
        average_sold_price=_text(sold.average),
        performance=_text(figures.performance),
        performance_per_mwh=_text(figures.performance_per_mwh),
    )


def _text(number: Decimal | None) -> str:
    return "" if number is None else plain(number)
