"""How the alerts about replay, live feed, queue and prices come and go."""

from __future__ import annotations

from typing import Final

from tests.deployment.monitoring.alert_case import Case, counted, flat, once, rising, state, steady

_REPLAY = 'job="midstream",server="replay",instance="a:9151"'
_PRICE = 'job="midstream",server="price",instance="b:9153"'
_GROUP = 'server="health",instance="d:9154",session="default",group="mine"'

REPLAY: Final = (
    Case("RecordsLost", {f"midstream_replay_gaps_total{{{_REPLAY}}}": once()}, "3m", "14m"),
    Case("LiveFramesLost", {f"midstream_live_lost_frames_total{{{_REPLAY}}}": once()}, "3m", "14m"),
    Case(
        "LiveFeedDown",
        {
            f"midstream_live_connected{{{_REPLAY}}}": state(0, 20, rest=1),
            f"midstream_replay_mode{{{_REPLAY}}}": flat(2),
        },
        fires="4m",
        ends="8m",
    ),
    Case("LiveFeedUnstable", {f"midstream_live_reconnects_total{{{_REPLAY}}}": counted(5)}, "3m", "19m"),
    Case(
        "LiveFeedSilent",
        {
            f"midstream_replay_rows_total{{{_REPLAY}}}": "0+5x8 40x60 45+5x60",
            f"midstream_replay_mode{{{_REPLAY}}}": flat(2),
            f"midstream_replay_paused{{{_REPLAY}}}": flat(0),
        },
        fires="14m",
        ends="20m",
    ),
    Case("LiveQueueFills", {f"midstream_live_queue_frames{{{_REPLAY}}}": state(200_000, 20)}, "4m", "8m"),
    Case(
        "ReplayLate",
        {
            f"midstream_pacing_late_p99_seconds{{{_REPLAY}}}": state(0.2, 40, rest=0.001),
            f"midstream_pacing_speed{{{_REPLAY}}}": flat(1),
        },
        fires="10m",
        ends="14m",
    ),
    Case(
        "RowsRejected",
        {
            f"midstream_replay_rows_total{{{_REPLAY}}}": steady(100),
            f"midstream_replay_rejected_total{{{_REPLAY}}}": rising(5, 40),
        },
        fires="10m",
        ends="18m",
    ),
    Case("ReplayPaused", {f"midstream_replay_paused{{{_REPLAY}}}": state(1, 260)}, "65m", "70m"),
)

QUEUE: Final = (
    Case(
        "QueueBackpressured",
        {
            f"midstream_queue_backpressured{{{_REPLAY}}}": state(1, 20),
            f"midstream_pacing_speed{{{_REPLAY}}}": flat(1),
            f"midstream_replay_mode{{{_REPLAY}}}": flat(1),
        },
        fires="4m",
        ends="8m",
    ),
    Case(
        "QueueBackpressured",
        {
            f"midstream_queue_backpressured{{{_REPLAY}}}": state(1, 20),
            f"midstream_pacing_speed{{{_REPLAY}}}": flat(0),
            f"midstream_replay_mode{{{_REPLAY}}}": flat(2),
        },
        fires="4m",
        ends="8m",
    ),
    Case("QueueConnectionUnstable", {f"midstream_queue_reconnects_total{{{_REPLAY}}}": counted(5)}, "3m", "14m"),
    Case(
        "GroupFallsBehind",
        {
            f"midstream_group_lag_seconds{{{_GROUP}}}": state(60, 60),
            f"midstream_group_lag_records{{{_GROUP}}}": "0x8 1000+1000x59 0x60",
        },
        fires="14m",
        ends="18m",
    ),
    Case(
        "PriceSinkBehind",
        {
            f"midstream_lag_seconds{{{_PRICE}}}": state(20, 40),
            f"midstream_lag_records{{{_PRICE}}}": "0x8 1000+1000x39 0x60",
        },
        fires="8m",
        ends="13m",
    ),
    # Of several partitions records are those of all: fewer, while the one that is furthest behind stands.
    Case(
        "GroupFallsBehind",
        {
            f"midstream_group_lag_seconds{{{_GROUP}}}": "0x8 60+1x59 0x60",
            f"midstream_group_lag_records{{{_GROUP}}}": "0x8 900000-1000x59 0x60",
        },
        fires="14m",
        ends="18m",
    ),
    Case(
        "PriceSinkBehind",
        {
            f"midstream_lag_seconds{{{_PRICE}}}": "0x8 20+1x39 0x60",
            f"midstream_lag_records{{{_PRICE}}}": "0x8 900000-1000x39 0x60",
        },
        fires="8m",
        ends="13m",
    ),
    Case("EntriesUnreadable", {f"midstream_unreadable_entries_total{{{_PRICE}}}": once()}, "3m", "14m"),
    Case("SubscribersTooSlow", {f"midstream_subscribers_disconnected_total{{{_PRICE}}}": once()}, "3m", "14m"),
    Case(
        "PricesStandStill",
        {
            f"midstream_price_mids_total{{{_PRICE}}}": "0+50x8 400x60 450+50x60",
            f"midstream_replay_rows_total{{{_REPLAY}}}": steady(100),
            f"midstream_replay_rejected_total{{{_REPLAY}}}": flat(0),
        },
        fires="11m",
        ends="19m",
    ),
    Case(
        "TicksTooLate",
        {
            f"midstream_price_mids_total{{{_PRICE}}}": "0+100x8 800x80 900+100x80",
            f"midstream_price_latency_filtered_total{{{_PRICE}}}": rising(100, 80, after=80),
        },
        fires="19m",
        ends="30m",
    ),
    Case(
        "CommitsSlow",
        {
            f"midstream_price_commit_seconds_total{{{_PRICE}}}": rising(5, 40),
            f"midstream_price_commits_total{{{_PRICE}}}": steady(10),
        },
        fires="10m",
        ends="18m",
    ),
)
