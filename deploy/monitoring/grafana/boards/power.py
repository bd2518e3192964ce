"""The power desk: deals in, prices in, quota, and what the desk is alerted to."""

# A sentence and an expression are read whole.
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import NO_IS_GOOD, YES_IS_GOOD, Board, Kind, Panel, Query, Row, one

POWER: Final = Board(
    name="power-desk",
    title="Midstream / Power desk",
    description="Deals from the exchange to the page, reference prices under their quota, and the desk's own alerts.",
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "The desk's alerts", "What the dashboard of the desk shows. Runbooks: DealsDoNotCome, ReferencePricesLate, LossLimit.", "",
                    one("max by (kind) (midstream_reporting_alerts)", "{{kind}}"), Kind.STAT, width=12, worry=1,
                ),
                Panel(
                    "Feed connected", "Runbook: DealsFeedDown.", "", one("max(midstream_deals_connected)", "deals feed"),
                    Kind.STAT, width=4, states=YES_IS_GOOD,
                ),
                Panel(
                    "Somebody polls prices", "Runbook: NobodyPollsPrices.", "", one("max(midstream_reference_polling)", "power-etl"),
                    Kind.STAT, width=4, states=YES_IS_GOOD,
                ),
                Panel(
                    "Prices late", "Runbook: ReferencePricesLate.", "", one("max(midstream_reference_late)", "late"),
                    Kind.STAT, width=4, states=NO_IS_GOOD,
                ),
            ),
        ),
        Row(
            "Deals",
            (
                Panel(
                    "Deals a minute", "Written to the database, and on the page.", "",
                    (Query("max(midstream_deals_per_minute)", "written"), Query("max(midstream_reporting_deals_per_minute)", "on the page")),
                ),
                Panel(
                    "Lag", "From execution to commit, from execution to the page, from receipt to the page. Runbooks: DealsCommittedLate, FiguresLate.",
                    "s",
                    (Query("max(midstream_deals_commit_lag_seconds)", "execution to commit"),
                     Query("max(midstream_reporting_execution_lag_seconds)", "execution to page"),
                     Query("max(midstream_reporting_receive_lag_seconds)", "receipt to page")),
                    worry=5, alarm=15,
                ),
                Panel(
                    "Waiting", "Received and not in the database: in memory, on disk. Runbook: DealsWaitForTheDatabase.", "",
                    (Query("max(midstream_deals_waiting)", "in memory"), Query("max(midstream_deals_spool_records)", "on disk")), worry=1, alarm=100,
                ),
                Panel(
                    "Spool on disk", "Reading stops at MIDSTREAM_POWER_SPOOL_BYTES_MAX.", "bytes",
                    one("max(midstream_deals_spool_bytes)", "bytes"),
                ),
                Panel(
                    "Messages", "Per minute: received, unusable, said twice, flagged, revised, fetched from the list. Runbook: MessagesUnusable.",
                    "cpm",
                    (Query("60 * sum(rate(midstream_deals_messages_total[$__rate_interval]))", "received"),
                     Query("60 * sum(rate(midstream_deals_unusable_total[$__rate_interval]))", "unusable"),
                     Query("60 * sum(rate(midstream_deals_duplicates_total[$__rate_interval]))", "said twice"),
                     Query("60 * sum(rate(midstream_deals_flagged_total[$__rate_interval]))", "flagged"),
                     Query("60 * sum(rate(midstream_deals_revised_total[$__rate_interval]))", "revised"),
                     Query("60 * sum(rate(midstream_deals_fetched_total[$__rate_interval]))", "fetched")),
                ),
                Panel(
                    "Gaps, outages, reconnects", "Within an hour. Runbooks: DealsMissedForGood, DatabaseWentAway.", "",
                    (Query("sum(increase(midstream_deals_gaps_total[1h]))", "gaps"),
                     Query("sum(increase(midstream_deals_database_outages_total[1h]))", "database outages"),
                     Query("sum(increase(midstream_deals_reconnects_total[1h]))", "feed reconnects")),
                    worry=1, decimals=0,
                ),
            ),
        ),
        Row(
            "Reference prices",
            (
                Panel(
                    "Age of prices", "The oldest of an hour that is traded, and the newest at its storing. Runbook: ReferencePriceOld.", "s",
                    (Query("max(midstream_reporting_price_age_seconds)", "oldest on the page"),
                     Query("max(midstream_reference_freshness_seconds)", "newest when stored")),
                    worry=900, alarm=1800,
                ),
                Panel(
                    "Quota used", "Of 50 requests a minute and 1,000 an hour. Runbook: QuotaNearlyUsed.", "percentunit",
                    (Query("max(midstream_reference_quota_used_minute) / 50", "minute"),
                     Query("max(midstream_reference_quota_used_hour) / 1000", "hour")),
                    worry=0.8, alarm=0.95,
                ),
                Panel(
                    "Requests", "Per minute: all, failed, refused by quota. Runbooks: ReferenceRequestsFail, QuotaExceeded.", "cpm",
                    (Query("60 * sum(rate(midstream_reference_requests_total[$__rate_interval]))", "all"),
                     Query("60 * sum(rate(midstream_reference_failures_total[$__rate_interval]))", "failed"),
                     Query("60 * sum(rate(midstream_reference_throttled_total[$__rate_interval]))", "refused by quota")),
                ),
                Panel(
                    "Prices stored", "Per minute; every value of every hour once.", "cpm",
                    one("60 * sum(rate(midstream_reference_observations_total[$__rate_interval]))", "stored"),
                ),
            ),
        ),
        Row(
            "Dashboard of the desk",
            (
                Panel("Pages open", "Event streams.", "", one("max(midstream_reporting_pages_open)", "pages"), width=8),
                Panel(
                    "Reads of the database", "Per second.", "cps",
                    one("sum(rate(midstream_reporting_database_reads_total[$__rate_interval]))", "reads"), width=8,
                ),
                Panel(
                    "Hears deals", "As reporting judges the listener.", "",
                    one("max(midstream_reporting_listener_receiving)", "listener"), Kind.STATES, width=8, states=YES_IS_GOOD,
                ),
            ),
        ),
    ),
)  # fmt: skip
