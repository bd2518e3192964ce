"""How late paced batches left: a histogram of bounded size over the whole run, one note per batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.replay.engine.achieved import Achieved
from services.replay.engine.pacing import LINGER_NS
from services.runtime.session.report import PacingReport

LATE_NS: Final = LINGER_NS + 1_000_000
"""Later than this is late: one millisecond is what records wait for company, and one more is allowed."""

_UNIT_BITS: Final = 7
"""Of nanoseconds that are told apart at the low end: 128."""
_PART_BITS: Final = 3
_PARTS: Final = 1 << _PART_BITS
"""Buckets for each doubling, so that a bucket is at most an eighth of what it holds wide."""
BUCKETS: Final = 31 * _PARTS
"""Up to 2**40 ns, which is 18 minutes; the last bucket takes what is more."""


def bucket_of(late_ns: int) -> int:
    """Return the bucket of a lateness."""
    units = late_ns >> _UNIT_BITS
    if units < _PARTS:
        return max(units, 0)
    doublings = units.bit_length() - 1 - _PART_BITS
    return min((doublings << _PART_BITS) + (units >> doublings), BUCKETS - 1)


def bucket_end_ns(bucket: int) -> int:
    """Return the first lateness that is beyond a bucket."""
    if bucket < _PARTS:
        return (bucket + 1) << _UNIT_BITS
    doublings, part = (bucket >> _PART_BITS) - 1, bucket & (_PARTS - 1)
    return (_PARTS + part + 1) << (doublings + _UNIT_BITS)


class Quantiles(NamedTuple):
    """Lateness of some batches."""

    p50_ns: int
    p99_ns: int
    max_ns: int


class Lateness:
    """Counts by how much later than the time of their first record batches left. One thread notes, others read.

    What it tells is at most an eighth above the truth and never below it; the largest of all is exact.
    """

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._taken = [0] * BUCKETS
        self.sum_ns = 0
        self.max_ns = 0
        self.late = 0
        """Batches that left more than LATE_NS after their time."""

    def note(self, late_ns: int) -> None:
        """Count one batch."""
        self._counts[bucket_of(late_ns)] += 1
        self.sum_ns += late_ns
        if late_ns > LATE_NS:
            self.late += 1
        self.max_ns = max(self.max_ns, late_ns)

    def take(self) -> Quantiles | None:
        """Return how late the batches since the last call were; None when there was none."""
        counts = list(self._counts)
        since = [now - before for now, before in zip(counts, self._taken, strict=True)]
        self._taken = counts
        if not any(since):
            return None
        last = max(bucket for bucket, count in enumerate(since) if count)
        return Quantiles(self._at(since, 0.5), self._at(since, 0.99), min(bucket_end_ns(last) - 1, self.max_ns))

    def report(self, achieved: Achieved) -> PacingReport:
        """Return the figures of the whole run, beside the rate that was achieved."""
        counts = list(self._counts)
        distance, rate = achieved.distance, achieved.sample()
        return PacingReport(
            batches=sum(counts),
            late_batches=self.late,
            late_p50_ns=self._at(counts, 0.5),
            late_p99_ns=self._at(counts, 0.99),
            late_p999_ns=self._at(counts, 0.999),
            late_max_ns=self.max_ns,
            achieved_speed=rate.speed,
            records_per_second=rate.records_per_second,
            replayed_ns=distance.replay_ns,
            records=distance.records,
            elapsed_ns=distance.real_ns,
        )

    def tally(self, bounds_s: Sequence[float]) -> list[float]:
        """Return how many batches were at most so late, for each bound and for all, and the sum in seconds: a histogram of Prometheus."""
        counts = list(self._counts)
        up_to = [0, *itertools.accumulate(counts)]
        # A bucket counts below a bound only when all of it is.
        below = [float(up_to[bucket_of(round(bound * 1e9) + 1)]) for bound in bounds_s]
        return [*below, float(up_to[-1]), self.sum_ns / 1e9]

    def _at(self, counts: list[int], share: float) -> int:
        total = sum(counts)
        if not total:
            return 0
        wanted = math.ceil(total * share)
        bucket = next(bucket for bucket, reached in enumerate(itertools.accumulate(counts)) if reached >= wanted)
        return min(bucket_end_ns(bucket) - 1, self.max_ns)
