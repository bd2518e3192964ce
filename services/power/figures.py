"""Figures for Prometheus about deals and reference prices."""

from __future__ import annotations

from typing import Final

from services.runtime.figures import Figure

__all__ = ["DEAL_FIGURES", "REFERENCE_FIGURES"]

DEAL_FIGURES: Final = (
    Figure("midstream_deals_total", "counter", "Deals written to the database"),
    Figure("midstream_deals_per_minute", "gauge", "Deals written in the last 60 s"),
    Figure("midstream_deals_messages_total", "counter", "Messages received from the power exchange"),
    Figure("midstream_deals_unusable_total", "counter", "Messages that could not be used"),
    Figure("midstream_deals_duplicates_total", "counter", "Deals that were in the database already"),
    Figure("midstream_deals_flagged_total", "counter", "Deals kept although something about them is odd"),
    Figure("midstream_deals_fetched_total", "counter", "Deals the feed had skipped, taken from the exchange's list"),
    Figure("midstream_deals_revised_total", "counter", "Corrections and cancellations of deals"),
    Figure("midstream_deals_gaps_total", "counter", "Times in which deals may have been missed for good"),
    Figure("midstream_deals_commit_lag_seconds", "gauge", "Execution to commit, oldest live deal of the last commit", born=False),
    Figure("midstream_deals_waiting", "gauge", "Deals received, neither in the database nor in the spool"),
    Figure("midstream_deals_spool_records", "gauge", "Records in the spool on disk"),
    Figure("midstream_deals_spool_bytes", "gauge", "Bytes in the spool on disk"),
    Figure("midstream_deals_database_outages_total", "counter", "Times the database went away"),
    Figure("midstream_deals_connected", "gauge", "1 while the deals feed is connected"),
    Figure("midstream_deals_reconnects_total", "counter", "Times the deals feed was connected again"),
)  # fmt: skip

REFERENCE_FIGURES: Final = (
    Figure("midstream_reference_requests_total", "counter", "Requests to the provider of reference prices"),
    Figure("midstream_reference_failures_total", "counter", "Requests to it that brought no usable answer"),
    Figure("midstream_reference_throttled_total", "counter", "Answers that said the quota was exceeded"),
    Figure("midstream_reference_observations_total", "counter", "Prices stored, each value of each hour once"),
    Figure("midstream_reference_quota_used_minute", "gauge", "Slots in use of the quota per minute", born=False),
    Figure("midstream_reference_quota_used_hour", "gauge", "Slots in use of the quota per hour", born=False),
    Figure("midstream_reference_freshness_seconds", "gauge", "From the provider's stamp to storing, newest price", born=False),
    Figure("midstream_reference_late", "gauge", "1 while prices are due and have not come"),
    Figure("midstream_reference_polling", "gauge", "1 in the process that polls, 0 in one that stands by"),
)  # fmt: skip
