"""Which figures go to CloudWatch as lines, and by which labels: every combination that is sent is paid for by the month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CHOSEN", "Chosen", "Unit", "unit_of"]

Unit = Literal["Count", "Seconds", "Bytes", "None"]


@dataclass(frozen=True)
class Chosen:
    """How one figure is sent."""

    labels: tuple[str, ...] = ()
    """Those that are kept, as dimensions beside stage and server; over the others counters are added up, and the largest gauge counts."""
    zeros: bool = True
    """Whether a combination at 0 is sent. Not where most of many combinations never happen."""


_PLAIN: Final = Chosen()
_EXCHANGE: Final = Chosen(("exchange",))

CHOSEN: Final[Mapping[str, Chosen]] = {
    # every server
    "midstream_serving": _PLAIN,
    "midstream_tls_certificate_not_after_seconds": _PLAIN,
    "midstream_tls_files_unusable": _PLAIN,
    "midstream_access_troubles": _PLAIN,
    "midstream_insecure": _PLAIN,
    "process_cpu_seconds_total": _PLAIN,
    "process_resident_memory_bytes": _PLAIN,
    "process_open_fds": _PLAIN,
    "grpc_server_handled_total": Chosen(("grpc_code",), zeros=False),
    "grpc_server_handling_seconds": Chosen(("grpc_type",)),
    # with an engine, with subscribers, with a web port
    "midstream_engine_restarts_total": _PLAIN,
    "midstream_engine_cpu_seconds_total": _PLAIN,
    "midstream_engine_memory_bytes": _PLAIN,
    "midstream_subscribers": _PLAIN,
    "midstream_subscribers_disconnected_total": _PLAIN,
    "midstream_unreadable_entries_total": _PLAIN,
    "midstream_web_streams": _PLAIN,
    "midstream_web_ended_total": _PLAIN,
    "midstream_http_requests_total": Chosen(("status",), zeros=False),
    "midstream_http_request_seconds": _PLAIN,
    # replay
    "midstream_queue_backlog_records": _PLAIN,
    "midstream_queue_backlog_bytes": _PLAIN,
    "midstream_queue_backpressured": _PLAIN,
    "midstream_queue_wait_seconds_total": _PLAIN,
    "midstream_pacing_late_p99_seconds": _PLAIN,
    "midstream_replay_rows_total": _PLAIN,
    "midstream_replay_rejected_total": _PLAIN,
    "midstream_replay_gaps_total": _PLAIN,
    "midstream_live_connected": _PLAIN,
    "midstream_live_reconnects_total": _PLAIN,
    "midstream_live_lost_frames_total": _PLAIN,
    # price
    "midstream_lag_records": _PLAIN,
    "midstream_lag_seconds": _PLAIN,
    "midstream_price_mids_total": _PLAIN,
    "midstream_price_rejected_total": _PLAIN,
    "midstream_price_commit_seconds_total": _PLAIN,
    "midstream_price_commits_total": _PLAIN,
    # health
    "midstream_health_check_status": Chosen(("check",)),
    "midstream_group_lag_records": Chosen(("session", "group")),
    "midstream_group_lag_seconds": Chosen(("session", "group")),
    # orders
    "midstream_orders_placements_total": Chosen(("exchange", "outcome")),
    "midstream_orders_ended_total": Chosen(("exchange", "state"), zeros=False),
    "midstream_orders_denied_total": Chosen(("reason",), zeros=False),
    "midstream_orders_ack_seconds": _EXCHANGE,
    "midstream_orders_open": _EXCHANGE,
    "midstream_orders_unknown": _EXCHANGE,
    "midstream_orders_unknown_age_seconds": _EXCHANGE,
    "midstream_orders_halted_total": _EXCHANGE,
    "midstream_orders_returned_total": _EXCHANGE,
    "midstream_orders_external_total": _EXCHANGE,
    "midstream_orders_reconciliations_total": Chosen(("exchange", "result")),
    "midstream_orders_reconciliation_differences_total": _EXCHANGE,
    "midstream_orders_dead_man_refreshes_total": Chosen(("exchange", "result")),
    "midstream_orders_blocked": _EXCHANGE,
    "midstream_orders_kill_switch": _PLAIN,
    "midstream_orders_journal_trouble": _PLAIN,
    # whoever talks to exchanges
    "midstream_exchange_attempts_total": Chosen(("target", "outcome"), zeros=False),
    "midstream_exchange_attempt_seconds": Chosen(("target",)),
    "midstream_exchange_throttles_total": Chosen(("target",)),
    "midstream_exchange_breaker_state": Chosen(("target", "group", "state"), zeros=False),
    "midstream_exchange_limiter_fill": Chosen(("limit",)),
    # power desk
    "midstream_reporting_alerts": Chosen(("kind",)),
    "midstream_reporting_execution_lag_seconds": _PLAIN,
    "midstream_reporting_price_age_seconds": _PLAIN,
    "midstream_reporting_listener_receiving": _PLAIN,
    "midstream_reporting_pages_open": _PLAIN,
    "midstream_deals_total": _PLAIN,
    "midstream_deals_per_minute": _PLAIN,
    "midstream_deals_unusable_total": _PLAIN,
    "midstream_deals_gaps_total": _PLAIN,
    "midstream_deals_commit_lag_seconds": _PLAIN,
    "midstream_deals_waiting": _PLAIN,
    "midstream_deals_spool_records": _PLAIN,
    "midstream_deals_database_outages_total": _PLAIN,
    "midstream_deals_connected": _PLAIN,
    "midstream_reference_failures_total": _PLAIN,
    "midstream_reference_throttled_total": _PLAIN,
    "midstream_reference_quota_used_minute": _PLAIN,
    "midstream_reference_quota_used_hour": _PLAIN,
    "midstream_reference_freshness_seconds": _PLAIN,
    "midstream_reference_late": _PLAIN,
}


def unit_of(name: str) -> Unit:
    """Return CloudWatch's unit of a figure, from the unit in its name."""
    stem = name.removesuffix("_total")
    if stem.endswith("_not_after_seconds"):
        # A moment, no duration.
        return "None"
    if stem.endswith("_seconds"):
        return "Seconds"
    if stem.endswith("_bytes"):
        return "Bytes"
    return "Count" if name.endswith(("_total", "_records")) else "None"
