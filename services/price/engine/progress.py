"""The sink's progress: what it tells its host from time to time."""

from __future__ import annotations

from typing import Any, Final

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.midprice import PriceCounts
from fastpath.records import FrameHead
from services.price.engine.committer import Committed, Tally
from services.price.engine.position import Position

INTERVAL_NS: Final = 500_000_000


class Progress:
    """Counts commits of this run, and says when there is something new to tell."""

    def __init__(self, counts_at_start: PriceCounts) -> None:
        """Begin with the counts that earlier runs left: figures are those of this run."""
        self._start = counts_at_start
        self._commits = 0
        self._commit_seconds = 0.0
        self._behind_s = 0.0
        self._due = False
        self._told_ns = 0

    def note(self, committed: Committed, now_ns: int) -> None:
        """Take in one commit; `now_ns` is on the clock of publish times."""
        self._commits += 1
        self._commit_seconds += committed.seconds
        self._behind_s = (now_ns - committed.commit.publish_time_ns) / 1e9
        self._due = True

    def is_due(self, now_monotonic_ns: int, *, at_once: bool) -> bool:
        """Say whether to tell now, and take it as told."""
        if not at_once and (not self._due or now_monotonic_ns - self._told_ns < INTERVAL_NS):
            return False
        self._due = False
        self._told_ns = now_monotonic_ns
        return True

    def fields(self, position: Position, tally: Tally, newest: FrameHead | None, mids_dropped: int) -> dict[str, Any]:
        """Return what is told: positions, counts since the logs began, and the figures of this run."""
        counts, start = tally.counts, self._start
        return {
            "epoch": position.epoch,
            "sequence": position.sequence,
            "behind_seconds": self._behind_s,
            "mids_dropped": mids_dropped,
            "counts": counts._asdict(),
            "figures": {
                "midstream_price_mids_total": counts.mids - start.mids,
                "midstream_price_latency_filtered_total": counts.latency_filtered - start.latency_filtered,
                "midstream_price_missing_side_total": counts.missing_side - start.missing_side,
                "midstream_price_rejected_total": counts.rejected - start.rejected,
                "midstream_price_commits_total": self._commits,
                "midstream_price_commit_seconds_total": self._commit_seconds,
                **_lag(position, tally, newest),
                "midstream_price_sequence": position.sequence,
            },
        }


def _lag(position: Position, tally: Tally, newest: FrameHead | None) -> dict[str, float]:
    """Compare the newest entry with what is committed; nothing is known when there is none."""
    if newest is None or newest.epoch != position.epoch:
        return {}
    behind_ns = newest.last_arrival_time_ns - tally.last_arrival_time_ns
    known = BEFORE_EVERYTHING not in (newest.last_arrival_time_ns, tally.last_arrival_time_ns)
    return {
        "midstream_lag_records": max(0, newest.last_sequence - position.sequence),
        "midstream_lag_seconds": max(0.0, behind_ns / 1e9) if known else 0.0,
    }
