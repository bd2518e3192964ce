"""How true the replay is: every record, in its order, at its time."""

# A sentence and an expression are read whole.
# ruff: noqa: E501

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana.model import NO_IS_GOOD, YES_IS_GOOD, Board, Colour, Kind, Panel, Query, Row, State, one

REPLAY: Final = Board(
    name="replay-fidelity",
    title="Midstream / Replay fidelity",
    description="How true to its own times the replay is, what was lost or rejected, and how the live feed is.",
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Mode", "Where ticks come from.", "", one("max(midstream_replay_mode)", "mode"), Kind.STAT, width=6,
                    states=(State(0, "none yet", Colour.GREY), State(1, "historical", Colour.GREEN), State(2, "live", Colour.GREEN)),
                ),
                Panel(
                    "Paused", "Runbook: ReplayPaused.", "", one("max(midstream_replay_paused)", "paused"), Kind.STAT, width=6,
                    states=(State(0, "no", Colour.GREEN), State(1, "yes", Colour.YELLOW)),
                ),
                Panel(
                    "Speed asked for", "Factor of real time; 0 is as fast as possible.", "",
                    one("max(midstream_pacing_speed)", "speed"), Kind.STAT, width=6, decimals=1,
                ),
                Panel(
                    "Gap markers", "Within the time shown: records that are lost for good. Runbook: RecordsLost.", "",
                    one("sum(increase(midstream_replay_gaps_total[$__range]))", "gaps"), Kind.STAT, width=6, worry=1, decimals=0,
                ),
            ),
        ),
        Row(
            "Fidelity",
            (
                Panel(
                    "Lateness of ticks", "How much later than its time a tick left, of the last interval. Runbook: ReplayLate.", "s",
                    (Query("midstream_pacing_late_p50_seconds", "median"), Query("midstream_pacing_late_p99_seconds", "99th percentile"),
                     Query("midstream_pacing_late_max_seconds", "largest")),
                    worry=0.01, alarm=0.05, empty="nothing is paced",
                ),
                Panel(
                    "Lateness of batches", "99.9th percentile of the time shown step by step, and how many batches a second were more than 2 ms late.", "",
                    (Query("histogram_quantile(0.999, sum by (le) (rate(midstream_pacing_late_seconds_bucket[$__rate_interval])))", "99.9th percentile, s"),
                     Query("rate(midstream_pacing_late_batches_total[$__rate_interval])", "late batches per second")),
                    empty="nothing is paced",
                ),
                Panel(
                    "Speed achieved", "Replay seconds per real second in which it was neither paused nor live, beside what was asked for.", "",
                    (Query("rate(midstream_pacing_replayed_seconds_total[$__rate_interval]) / (rate(midstream_pacing_elapsed_seconds_total[$__rate_interval]) > 0)", "achieved"),
                     Query("midstream_pacing_speed", "asked for")),
                    empty="nothing is played",
                ),
                Panel(
                    "Time debt", "For how long the next tick should have left already, and for how long the clock waited for such ticks (policy stretch).", "s",
                    (Query("midstream_pacing_behind_seconds", "behind"),
                     Query("increase(midstream_pacing_stretched_seconds_total[$__rate_interval])", "stretched")),
                    empty="nothing is owed",
                ),
                Panel(
                    "Rows taken in", "Rows and frames per second.", "cps",
                    one("rate(midstream_replay_rows_total[$__rate_interval])", "rows"),
                ),
                Panel(
                    "Rejected and skipped", "Rows per second that could not be used, or were not asked for. Runbook: RowsRejected.", "cps",
                    (Query("rate(midstream_replay_rejected_total[$__rate_interval])", "rejected"),
                     Query("rate(midstream_replay_skipped_total[$__rate_interval])", "skipped")),
                ),
                Panel(
                    "Position", "Sequence of the last record published, and of the last committed by the price sink.", "",
                    (Query("max(midstream_replay_sequence)", "published"), Query("max(midstream_price_sequence)", "priced")),
                ),
            ),
        ),
        Row(
            "Live feed",
            (
                Panel(
                    "Connected", "While the session is live. Runbook: LiveFeedDown.", "",
                    one("midstream_live_connected and on (instance) midstream_replay_mode == 2", "live feed"),
                    Kind.STATES, states=YES_IS_GOOD, empty="the session is not live",
                ),
                Panel(
                    "Frames waiting in the engine", "It holds 262,144 and drops the oldest beyond. Runbook: LiveQueueFills.", "",
                    one("midstream_live_queue_frames", "frames"), worry=65_536, alarm=131_072,
                ),
                Panel(
                    "Frames lost", "Per second. Runbook: LiveFramesLost.", "cps",
                    one("rate(midstream_live_lost_frames_total[$__rate_interval])", "lost"), worry=0.001,
                ),
                Panel(
                    "Connected again", "Within 15 minutes. Runbook: LiveFeedUnstable.", "",
                    one("increase(midstream_live_reconnects_total[15m])", "times"), worry=1, alarm=3, decimals=0,
                ),
            ),
        ),
        Row(
            "Mid prices",
            (
                Panel(
                    "What becomes of ticks", "Per second: priced, above the latency threshold, without a side, rejected. Runbook: TicksTooLate.",
                    "cps",
                    (Query("rate(midstream_price_mids_total[$__rate_interval])", "mid prices"),
                     Query("rate(midstream_price_latency_filtered_total[$__rate_interval])", "too late"),
                     Query("rate(midstream_price_missing_side_total[$__rate_interval])", "no bid or ask"),
                     Query("rate(midstream_price_rejected_total[$__rate_interval])", "rejected")),
                ),
                Panel(
                    "Time of a commit", "Until the price logs are durable, on average. Runbook: CommitsSlow.", "s",
                    one("rate(midstream_price_commit_seconds_total[$__rate_interval]) / (rate(midstream_price_commits_total[$__rate_interval]) > 0)",
                        "commit"),
                    worry=0.05, alarm=0.25, empty="nothing is committed",
                ),
            ),
        ),
        Row(
            "Created sessions",
            (
                Panel(
                    "Ended for good", "Sessions whose engine this server ran: GetSession says why.", "",
                    one("topk(10, midstream_session_failed)", "{{session}}"), Kind.STATES, states=NO_IS_GOOD, empty="no session was created",
                ),
                Panel(
                    "Speed of sessions", "Achieved, in replay seconds per real second, beside what was asked for.", "",
                    (Query("topk(10, rate(midstream_session_pacing_replayed_seconds_total[$__rate_interval]) / (rate(midstream_session_pacing_elapsed_seconds_total[$__rate_interval]) > 0))", "{{session}}"),
                     Query("topk(10, midstream_session_pacing_speed)", "{{session}}, asked for")),
                    empty="nothing is played",
                ),
                Panel(
                    "Lateness of sessions", "99th percentile of the last interval, and for how long the next tick should have left already.", "s",
                    (Query("topk(10, midstream_session_pacing_late_p99_seconds)", "{{session}}"), Query("topk(10, midstream_session_pacing_behind_seconds)", "{{session}}, behind")),
                    empty="nothing is paced",
                ),
                Panel(
                    "Late batches of sessions", "Per second, more than 2 ms late.", "cps",
                    one("topk(10, rate(midstream_session_pacing_late_batches_total[$__rate_interval]))", "{{session}}"), empty="nothing is paced",
                ),
                Panel(
                    "Rows of sessions", "Per second: taken in, and rejected.", "cps",
                    (Query("topk(10, rate(midstream_session_replay_rows_total[$__rate_interval]))", "{{session}}"),
                     Query("topk(10, rate(midstream_session_replay_rejected_total[$__rate_interval]))", "{{session}}, rejected")),
                    empty="no session was created",
                ),
                Panel(
                    "Mid prices of sessions", "Per second.", "cps",
                    one("topk(10, rate(midstream_session_price_mids_total[$__rate_interval]))", "{{session}}"), empty="no session is priced",
                ),
                Panel(
                    "Sinks of sessions", "Data time between the newest record and the sink's position.", "s",
                    one("topk(10, midstream_session_lag_seconds)", "{{session}}"), empty="no session is priced",
                ),
                Panel(
                    "Records unread in sessions", "Published and not committed by some sink.", "",
                    one("topk(10, midstream_session_queue_backlog_records)", "{{session}}"), empty="no session was created",
                ),
                Panel(
                    "Sessions that wait", "Share of the time in which a session waited for room in its queue: for its readers.", "percentunit",
                    one("topk(10, rate(midstream_session_queue_wait_seconds_total[$__rate_interval]))", "{{session}}"), empty="no session was created",
                ),
                Panel(
                    "Losses of sessions", "Gap markers and frames of the live feed that were dropped, within 10 minutes.", "",
                    (Query("topk(10, increase(midstream_session_replay_gaps_total[10m]))", "{{session}}, gaps"),
                     Query("topk(10, increase(midstream_session_live_lost_frames_total[10m]))", "{{session}}, frames")),
                    worry=1, decimals=0, empty="no session was created",
                ),
                Panel(
                    "Processor of sessions", "Of the engine and the sink of each: 1 is a core.", "",
                    one("topk(10, rate(midstream_session_engine_cpu_seconds_total[$__rate_interval]))", "{{session}}, {{server}}"), empty="no session was created",
                ),
                Panel(
                    "Memory of sessions", "Resident, of the engine and the sink of each.", "bytes",
                    one("topk(10, midstream_session_engine_memory_bytes)", "{{session}}, {{server}}"), empty="no session was created",
                ),
                Panel(
                    "Engines of sessions started again", "Within 15 minutes.", "",
                    one("topk(10, increase(midstream_session_engine_restarts_total[15m]))", "{{session}}, {{server}}"), worry=1, decimals=0, empty="no session was created",
                ),
            ),
        ),
    ),
)  # fmt: skip
