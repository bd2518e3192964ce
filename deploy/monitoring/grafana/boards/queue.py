"""The queue in Redis: what waits in it, for whom, and how far each reader is."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import NO_IS_GOOD, Board, Kind, Panel, Query, Row, one

QUEUE: Final = Board(
    name="queue",
    title="Midstream / Queue",
    description="Backlog, backpressure, lag of every consumer group, and who is served from the queue.",
    rows=(
        Row(
            "Backlog",
            (
                Panel(
                    "Records unread", "Published and not committed by the slowest sink.", "",
                    one("midstream_queue_backlog_records", "records"), width=8,
                ),
                Panel("Bytes unread", "The same in bytes.", "bytes", one("midstream_queue_backlog_bytes", "bytes"), width=8),
                Panel(
                    "Backpressure", "The replay waits for room instead of trimming what is unread. Runbook: QueueBackpressured.", "",
                    one("midstream_queue_backpressured", "waiting"), Kind.STATES, width=8, states=NO_IS_GOOD,
                ),
                Panel(
                    "Time spent waiting", "Share of its time that the replay waits for room.", "percentunit",
                    one("rate(midstream_queue_wait_seconds_total[$__rate_interval])", "waiting"), width=8, worry=0.5, alarm=0.9,
                ),
                Panel(
                    "Entries appended", "Batches per second.", "cps",
                    one("rate(midstream_queue_entries_total[$__rate_interval])", "entries"), width=8,
                ),
                Panel(
                    "Bytes appended", "Per second.", "Bps",
                    one("rate(midstream_queue_appended_bytes_total[$__rate_interval])", "bytes"), width=8,
                ),
            ),
        ),
        Row(
            "Readers",
            (
                Panel(
                    "Records behind, by group", "The twenty furthest consumer groups of every session, as health measures them. "
                    "Runbook: GroupFallsBehind.", "",
                    one("topk(20, midstream_group_lag_records)", "{{session}} / {{group}}"), empty="no consumer group",
                ),
                Panel(
                    "Data time behind, by group", "The same in time of the data.", "s",
                    one("topk(20, midstream_group_lag_seconds)", "{{session}} / {{group}}"), worry=10, alarm=30,
                    empty="no consumer group",
                ),
                Panel(
                    "Price sink behind", "Its own account of its position. Runbook: PriceSinkBehind.", "s",
                    one("max(midstream_lag_seconds)", "behind"), worry=1, alarm=5,
                ),
                Panel(
                    "Price sink behind, in records", "The same in records.", "", one("max(midstream_lag_records)", "behind"),
                ),
                Panel("Streams served", "Subscribers by server.", "", one("midstream_subscribers", "{{server}}")),
                Panel(
                    "Streams ended because the client was too slow", "Within 10 minutes. Runbook: SubscribersTooSlow.", "",
                    one("increase(midstream_subscribers_disconnected_total[10m])", "{{server}}"), worry=1, decimals=0,
                ),
                Panel(
                    "Subscribers behind", "Records: of all streams of a server the median, the 99th percentile and the last.", "",
                    one("midstream_subscriber_lag_records", "{{server}} {{quantile}}"), empty="no subscriber",
                ),
                Panel(
                    "Data time subscribers are behind", "The same in time of the data.", "s",
                    one("midstream_subscriber_lag_data_seconds", "{{server}} {{quantile}}"), empty="no subscriber",
                ),
                Panel(
                    "Bytes subscribers are behind", "The same in bytes of the queue.", "bytes",
                    one("midstream_subscriber_lag_bytes", "{{server}} {{quantile}}"), empty="no subscriber",
                ),
                Panel(
                    "Records left out for slow subscribers", "Within 10 minutes, for those with the policy `skip`.", "",
                    one("increase(midstream_subscribers_skipped_records_total[10m])", "{{server}}"), decimals=0,
                ),
            ),
        ),
        Row(
            "Redis",
            (
                Panel(
                    "Connected again", "Within 10 minutes. Runbook: QueueConnectionUnstable.", "",
                    one("increase(midstream_queue_reconnects_total[10m])", "{{server}}"), worry=1, alarm=3, decimals=0,
                ),
                Panel(
                    "Entries nobody can read", "Skipped, within 10 minutes. Runbook: EntriesUnreadable.", "",
                    one("increase(midstream_unreadable_entries_total[10m])", "{{server}}"), worry=1, decimals=0,
                ),
                Panel(
                    "Redis, feed and queue", "What health finds: 0 ok, 1 degraded, 2 down.", "",
                    (Query('max by (check) (midstream_health_check_status{check=~"redis|feed|queue"})', "{{check}}"),),
                    worry=1, alarm=2,
                ),
            ),
        ),
    ),
)  # fmt: skip
