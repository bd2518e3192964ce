"""Turn figures into protobuf messages: decimals as text, nothing rounded that is not an average."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from protos.reporting.v1 import reporting_pb2 as pb
from services.reporting.engine.alerts import Alert, AlertKind, Severity
from services.reporting.engine.deals import DealRow, DealStatus
from services.reporting.engine.figures import Figures, from_e4, from_e6, plain
from services.reporting.engine.history import History
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.positions import Matrix
from services.reporting.engine.read_model import View
from services.reporting.engine.report import DayReport, HourRow, ReferenceState, Report

__all__ = ["deal_message", "history_message", "performance_message", "positions_message"]

_STATES: Final = {
    ReferenceState.NONE: pb.REFERENCE_STATE_NONE,
    ReferenceState.CURRENT: pb.REFERENCE_STATE_CURRENT,
    ReferenceState.STALE: pb.REFERENCE_STATE_STALE,
    ReferenceState.FINAL: pb.REFERENCE_STATE_FINAL,
    ReferenceState.CLOSED: pb.REFERENCE_STATE_CLOSED,
}
_STATUSES: Final = {
    DealStatus.ACTIVE: pb.DEAL_STATUS_ACTIVE,
    DealStatus.CORRECTED: pb.DEAL_STATUS_CORRECTED,
    DealStatus.CANCELED: pb.DEAL_STATUS_CANCELED,
    DealStatus.SUPERSEDED: pb.DEAL_STATUS_SUPERSEDED,
}
_LISTENER: Final = {
    ListenerState.RECEIVING: pb.LISTENER_STATE_RECEIVING,
    ListenerState.SILENT: pb.LISTENER_STATE_SILENT,
    ListenerState.DISCONNECTED: pb.LISTENER_STATE_DISCONNECTED,
    ListenerState.AWAY: pb.LISTENER_STATE_AWAY,
    ListenerState.NEVER: pb.LISTENER_STATE_NEVER,
}
_KINDS: Final = {
    AlertKind.SILENT_FEED: pb.ALERT_KIND_SILENT_FEED,
    AlertKind.LATE_PRICE: pb.ALERT_KIND_LATE_PRICE,
    AlertKind.LOSS_LIMIT: pb.ALERT_KIND_LOSS_LIMIT,
    AlertKind.UNUSABLE_MESSAGES: pb.ALERT_KIND_UNUSABLE_MESSAGES,
    AlertKind.SPOOLED_DEALS: pb.ALERT_KIND_SPOOLED_DEALS,
}
_SEVERITIES: Final = {
    Severity.WARNING: pb.ALERT_SEVERITY_WARNING,
    Severity.CRITICAL: pb.ALERT_SEVERITY_CRITICAL,
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
        listener=_listener_message(view),
        alerts=[_alert_message(alert) for alert in view.alerts],
        markets=report.markets,
    )


def positions_message(view: View, matrix: Matrix) -> pb.GetPositionsResponse:
    """Return the matrix of traders and periods."""
    return pb.GetPositionsResponse(
        traders=matrix.traders,
        rows=[
            pb.PositionRow(
                delivery_day=day.day,
                delivery_hour=row.period.label,
                positions=[_position(net_e6, row.power(net_e6)) for net_e6 in row.net_e6],
                team=_position(row.team_e6, row.power(row.team_e6)),
            )
            for day in matrix.days
            for row in day.rows
        ],
        days=[
            pb.DayPosition(
                delivery_day=day.day,
                positions=[_position(net_e6) for net_e6 in day.net_e6],
                team=_position(day.team_e6),
            )
            for day in matrix.days
            if day.rows
        ],
        as_of_time_ns=view.snapshot.as_of_ns,
        stale=view.away,
        version=view.version,
    )


def history_message(history: History, *, gate_closure_ns: int) -> pb.GetHistoryResponse:
    """Return how a period came about."""
    return pb.GetHistoryResponse(
        reference_prices=[
            pb.ReferencePoint(
                time_ns=point.since_ns, price=plain(from_e4(point.value_e4)), observed_time_ns=point.observed_ns
            )
            for point in history.prices
        ],
        deals=[
            pb.DealPoint(
                id=deal.id,
                time_ns=deal.execution_time_ns,
                price=plain(from_e4(deal.price_e4)),
                quantity=plain(from_e4(deal.quantity_e4)),
                direction=_direction(deal),
                trader_id=deal.trader_id,
            )
            for deal in history.deals
        ],
        more_deals=history.more_deals,
        gate_closure_time_ns=gate_closure_ns,
        reference_of_hour=history.reference_of_hour,
    )


def deal_message(row: DealRow) -> pb.Deal:
    """Return a deal."""
    return pb.Deal(
        id=row.id,
        delivery_day=row.delivery_day,
        delivery_hour=row.delivery_hour,
        trader_id=row.trader_id,
        direction=_direction(row),
        price=plain(from_e4(row.price_e4)),
        quantity=plain(from_e4(row.quantity_e4)),
        execution_time_ns=row.execution_time_ns,
        received_time_ns=row.received_time_ns,
        flags=row.flags,
        energy=plain(row.energy),
        period_minutes=row.period.minutes,
        status=_STATUSES[row.status],
        revision=row.revision,
        market=row.market,
        superseded_time_ns=row.superseded_ns,
    )


def _hour_message(row: HourRow) -> pb.HourPerformance:
    reference, sums = row.reference, row.figures.sums
    return pb.HourPerformance(
        delivery_day=row.hour.day_text,
        delivery_hour=row.hour.label,
        ambiguous=row.hour.ambiguous,
        figures=_figures_message(row.figures),
        reference_price="" if reference is None else plain(from_e4(reference.value_e4)),
        reference_update_time_ns=0 if reference is None else reference.update_ns,
        reference_state=_STATES[row.state],
        reference_confirmed=row.state is ReferenceState.FINAL,
        reference_observed_time_ns=0 if reference is None else reference.observed_ns,
        reference_of_hour=row.reference_of_hour,
        period_minutes=row.hour.minutes,
        delivery_start_time_ns=row.hour.start_ns,
        delivery_end_time_ns=row.hour.end_ns,
        gate_closure_time_ns=row.gate_closure_ns,
        net_energy=plain(row.net_energy),
        net_power=plain(row.net_power),
        net_power_with_hour=plain(row.net_power_with_hour),
        cumulated_performance=_text(row.cumulated),
        markets=row.markets,
        canceled_deals=sums.canceled,
        corrected_deals=sums.corrected,
    )


def _day_message(day: DayReport) -> pb.DayPerformance:
    return pb.DayPerformance(
        delivery_day=day.day,
        figures=_figures_message(day.total),
        deals_without_reference=day.total.unpriced_deals,
        net_energy=plain(day.net_energy),
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


def _listener_message(view: View) -> pb.ListenerStatus:
    standing = view.snapshot.listener
    return pb.ListenerStatus(
        state=_LISTENER[view.listener],
        connected=standing.connected,
        since_time_ns=standing.since_ns,
        last_message_time_ns=standing.last_message_ns,
        last_deal_time_ns=standing.last_deal_ns,
        spooled=standing.spooled,
        unusable_today=standing.unusable_today,
        unusable_total=standing.unusable_total,
        trouble=standing.trouble,
        updated_time_ns=standing.updated_ns,
    )


def _alert_message(alert: Alert) -> pb.Alert:
    return pb.Alert(
        kind=_KINDS[alert.kind],
        severity=_SEVERITIES[alert.severity],
        text=alert.text,
        since_time_ns=alert.since_ns,
        trader_id=alert.trader,
        delivery_day=alert.day,
    )


def _position(net_e6: int, power: Decimal | None = None) -> pb.NetPosition:
    return pb.NetPosition(energy=plain(from_e6(net_e6)), power=_text(power))


def _direction(deal: DealRow) -> pb.Direction:
    return pb.DIRECTION_SELL if deal.sells else pb.DIRECTION_BUY


def _text(number: Decimal | None) -> str:
    return "" if number is None else plain(number)
