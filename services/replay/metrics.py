"""Figures for Prometheus about a session's engine, its queue and its live feed: reported by the engine, exposed by its server."""

from __future__ import annotations

from typing import Final

from services.replay.lateness_bounds import LATENESS_BOUNDS_S
from services.runtime.figures import Figure
from services.runtime.session_figures import chosen, session_figures

__all__ = ["CREATED_FIGURES", "FAILED", "REPLAY_FIGURES", "SESSION_FIGURES"]

REPLAY_FIGURES: Final = (
    Figure("midstream_queue_backlog_records", "gauge", "Records published that some sink has not committed", born=False),
    Figure("midstream_queue_backlog_bytes", "gauge", "Bytes published that some sink has not committed", born=False),
    Figure("midstream_queue_backpressured", "gauge", "1 while the producer waits for room in the queue, or for Redis"),
    Figure("midstream_queue_wait_seconds_total", "counter", "Time the producer waited for room in the queue, or for Redis"),
    Figure("midstream_queue_entries_total", "counter", "Entries appended to the queue"),
    Figure("midstream_queue_appended_bytes_total", "counter", "Bytes appended to the queue"),
    Figure("midstream_queue_reconnects_total", "counter", "Times the connection to Redis was made again"),
    Figure("midstream_pacing_late_p50_seconds", "gauge", "Median lateness of paced ticks over the last interval", born=False),
    Figure("midstream_pacing_late_p99_seconds", "gauge", "99th percentile of that lateness over the last interval", born=False),
    Figure("midstream_pacing_late_max_seconds", "gauge", "Largest such lateness in the last interval", born=False),
    Figure("midstream_pacing_late_seconds", "histogram", "Lateness of paced batches", (), LATENESS_BOUNDS_S, reported=True),
    Figure("midstream_pacing_late_batches_total", "counter", "Paced batches that left more than 2 ms after their first tick was due"),
    Figure("midstream_pacing_behind_seconds", "gauge", "For how long the next tick should have left already", born=False),
    Figure("midstream_pacing_stretched_seconds_total", "counter", "Time that the clock has waited for what was late (policy stretch)"),
    Figure("midstream_pacing_replayed_seconds_total", "counter", "Replay time that passed; over the real time, the speed achieved"),
    Figure("midstream_pacing_elapsed_seconds_total", "counter", "Real time in which replay time passed: neither paused nor live"),
    Figure("midstream_pacing_speed", "gauge", "Speed asked for, as a factor of real time; 0 is as fast as possible", born=False),
    Figure("midstream_replay_sequence", "gauge", "Sequence of the last record published", born=False),
    Figure("midstream_replay_revision", "gauge", "Revision of the control journal that is in effect", born=False),
    Figure("midstream_replay_mode", "gauge", "1 historical, 2 live", born=False),
    Figure("midstream_replay_paused", "gauge", "1 while paused", born=False),
    Figure("midstream_replay_rows_total", "counter", "Rows and frames taken in"),
    Figure("midstream_replay_rejected_total", "counter", "Rows and frames that could not be used"),
    Figure("midstream_replay_skipped_total", "counter", "Rows outside of the requested time or tickers"),
    Figure("midstream_replay_gaps_total", "counter", "Gap markers published"),
    Figure("midstream_live_connected", "gauge", "1 while the live feed is connected"),
    Figure("midstream_live_reconnects_total", "counter", "Times the live feed was connected again"),
    Figure("midstream_live_lost_frames_total", "counter", "Frames dropped because a bound was reached"),
    Figure("midstream_live_queue_frames", "gauge", "Frames received and not yet ordered"),
)  # fmt: skip

FAILED: Final = Figure(
    "midstream_session_failed",
    "gauge",
    "1 while the engine of a created session that this server ran has ended for good",
    ("session",),
    born=False,
)
CREATED_FIGURES: Final = chosen(
    REPLAY_FIGURES,
    {
        "midstream_queue_backlog_records",
        "midstream_queue_wait_seconds_total",
        "midstream_pacing_late_p99_seconds",
        "midstream_pacing_late_batches_total",
        "midstream_pacing_behind_seconds",
        "midstream_pacing_replayed_seconds_total",
        "midstream_pacing_elapsed_seconds_total",
        "midstream_pacing_speed",
        "midstream_replay_rows_total",
        "midstream_replay_rejected_total",
        "midstream_replay_gaps_total",
        "midstream_live_lost_frames_total",
    },
)
"""What is shown of each created session: sixteen of them are as many series again as one server has."""
SESSION_FIGURES: Final = (FAILED, *session_figures(CREATED_FIGURES))
