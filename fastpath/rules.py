"""Name what a file of rows may promise and break, whatever its format: policies, and the errors that a reader raises."""

from __future__ import annotations

import enum
from datetime import UTC, datetime

from fastpath.columns import BEFORE_EVERYTHING


class NegativeLatency(enum.IntEnum):
    """Choose what happens to a latency below zero."""

    KEEP = 1
    CLAMP = 2
    SHIFT = 3


class UnsortedSource(ValueError):
    """A file promised to be sorted and is not. The message names row, times and the fix."""

    def __init__(self, line: int, kind: str, now_ns: int, before_ns: int, *, by_arrival: bool) -> None:
        """Say that row `line` goes back in its `kind` of time; `by_arrival`: the file promised that order and no other."""
        broken = "not sorted by arrival time" if by_arrival else "sorted neither by event time nor by arrival time"
        super().__init__(
            f"line {line}: {kind} time {_time_text(now_ns)} is before {_time_text(before_ns)} of the row before it; the file is"
            f" {broken}; read it with `--unsorted sort`"
        )
        self.line = line


class LatencyBoundBroken(ValueError):
    """A row's latency is below the declared lower bound. The message names row and fix."""

    def __init__(self, line: int, latency_ns: int, bound_ns: int, *, modelled: bool = False) -> None:
        """Say that row `line` has a latency below `bound_ns`; `modelled`: both are what the latency model makes of the file's."""
        under = " under the latency model" if modelled else ""
        super().__init__(
            f"line {line}: latency {latency_ns / 1e6!r} ms{under} is below the lower bound of {bound_ns / 1e6!r} ms; declare a lower"
            " one with `--min-latency-ms`, or leave it out to have the file scanned first"
        )
        self.line = line


def _time_text(time_ns: int) -> str:
    if time_ns == BEFORE_EVERYTHING:
        return "the beginning of time"
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction:09d}"
