"""The order service: what succeeds, how fast, what is unknown, what differs."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import NO_IS_GOOD, Board, Kind, Panel, Query, Row, one

ORDERS: Final = Board(
    name="orders",
    title="Midstream / Orders",
    description="Success and acknowledgement of placements, unknown outcomes and their age, denials, reconciliation, safety.",
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Unknown orders", "They may or may not be at the exchange. Runbook: OrdersUnknownTooLong.", "",
                    one("max by (exchange) (midstream_orders_unknown)", "{{exchange}}"), Kind.STAT, width=6, worry=1, alarm=5,
                ),
                Panel(
                    "Open orders", "Not terminal.", "", one("max by (exchange) (midstream_orders_open)", "{{exchange}}"),
                    Kind.STAT, width=6,
                ),
                Panel(
                    "Kill switch engaged", "Runbook: KillSwitchEngaged.", "", one("max(midstream_orders_kill_switch)", "kill switch"),
                    Kind.STAT, width=6, states=NO_IS_GOOD,
                ),
                Panel(
                    "Journal in trouble", "Runbook: JournalUnavailable.", "", one("max(midstream_orders_journal_trouble)", "journal"),
                    Kind.STAT, width=6, states=NO_IS_GOOD,
                ),
            ),
        ),
        Row(
            "Placing",
            (
                Panel(
                    "Success", "Share of placements that were accepted, of those not refused for what they ask for. Runbook: OrdersFail.",
                    "percentunit",
                    one("exchange:midstream_orders_success:ratio_rate5m", "{{exchange}}"), worry=0.99, alarm=0.9, decimals=1,
                    empty="nothing was placed",
                ),
                Panel(
                    "Acknowledgement", "From sending a placement to its outcome. Runbook: SlowAcknowledgements.", "s",
                    (Query("exchange:midstream_orders_ack_seconds:p50", "{{exchange}} median"),
                     Query("exchange:midstream_orders_ack_seconds:p99", "{{exchange}} 99th percentile")),
                    worry=0.5, alarm=2, empty="nothing was placed",
                ),
                Panel(
                    "Placements by outcome", "Per second.", "cps",
                    one("sum by (exchange, outcome) (rate(midstream_orders_placements_total[$__rate_interval])) > 0",
                        "{{exchange}} {{outcome}}"),
                    empty="nothing was placed",
                ),
                Panel(
                    "Denied before the wire", "Per second, by reason. Runbook: OrdersDenied.", "cps",
                    (Query("topk(10, sum by (reason) (rate(midstream_orders_denied_total[$__rate_interval])) > 0)", "{{reason}}"),
                     Query("sum by (face) (rate(midstream_refusals_paced_total[$__rate_interval])) > 0", "in a flood, {{face}}")),
                    empty="nothing is denied",
                ),
                Panel(
                    "Ended", "Orders that reached a terminal state, per second.", "cps",
                    one("sum by (state) (rate(midstream_orders_ended_total[$__rate_interval])) > 0", "{{state}}"), empty="no order ended",
                ),
                Panel(
                    "On their way",
                    "Placements without an outcome, orders followed up, and refusals whose connection waits. Runbook: CallsRefused.", "",
                    (Query("midstream_orders_in_flight", "in flight"), Query("midstream_orders_following", "followed up"),
                     Query("midstream_refusals_waiting", "refused, {{face}}")),
                ),
            ),
        ),
        Row(
            "Unknown outcomes and books",
            (
                Panel(
                    "Age of the oldest unknown order", "Runbook: OrdersUnknownTooLong.", "s",
                    one("max by (exchange) (midstream_orders_unknown_age_seconds)", "{{exchange}}"), worry=30, alarm=90,
                ),
                Panel(
                    "Time to proof", "From placing to the end of an unknown outcome.", "s",
                    (Query("exchange:midstream_orders_proof_seconds:p50", "{{exchange}} median"),
                     Query("exchange:midstream_orders_proof_seconds:p99", "{{exchange}} 99th percentile")),
                    worry=30, alarm=90, empty="no outcome was unknown",
                ),
                Panel(
                    "Came back, halted, strangers'", "Within 10 minutes. Runbooks: OrderCameBack, OrderHalted, StrangersOrders.", "",
                    (Query("increase(midstream_orders_returned_total[10m])", "{{exchange}} came back"),
                     Query("increase(midstream_orders_halted_total[10m])", "{{exchange}} halted"),
                     Query("increase(midstream_orders_external_total[10m])", "{{exchange}} not placed here")),
                    worry=1, decimals=0,
                ),
                Panel(
                    "Differences found by comparing", "Within 10 minutes, by kind. Runbook: PositionsDiffer.", "",
                    one("sum by (exchange, kind) (increase(midstream_orders_reconciliation_differences_total[10m])) > 0",
                        "{{exchange}} {{kind}}"),
                    worry=1, decimals=0, empty="books agree",
                ),
                Panel(
                    "Comparisons of books", "Per minute, by result. Runbook: ReconciliationFails.", "cpm",
                    one("60 * sum by (exchange, result) (rate(midstream_orders_reconciliations_total[$__rate_interval]))",
                        "{{exchange}} {{result}}"),
                ),
                Panel(
                    "Exchange blocked", "Nothing goes out there. Runbook: ExchangeBlocked.", "",
                    one("max by (exchange) (midstream_orders_blocked)", "{{exchange}}"), Kind.STATES, states=NO_IS_GOOD,
                ),
                Panel(
                    "Refreshes of the dead man's switch", "Per minute, by result. Runbook: DeadManNotRefreshed.", "cpm",
                    one("60 * sum by (exchange, result) (rate(midstream_orders_dead_man_refreshes_total[$__rate_interval]))",
                        "{{exchange}} {{result}}"),
                ),
                Panel(
                    "Watchers", "Streams of changes being served.", "", one("midstream_orders_watchers", "streams"),
                ),
            ),
        ),
    ),
)  # fmt: skip
