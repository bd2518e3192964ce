"""The histogram of lateness, and the speed achieved."""

from __future__ import annotations

import math
from random import Random

import pytest

from services.replay.engine.achieved import Achieved, Rate
from services.replay.engine.lateness import BUCKETS, LATE_NS, Lateness, bucket_end_ns, bucket_of
from services.replay.lateness_bounds import LATENESS_BOUNDS_S

SECOND_NS = 1_000_000_000


def test_buckets_follow_each_other_without_gap_and_an_eighth_is_the_widest() -> None:
    begin_ns = 0
    for bucket in range(BUCKETS):
        end_ns = bucket_end_ns(bucket)
        assert (bucket_of(begin_ns), bucket_of(end_ns - 1)) == (bucket, bucket)
        assert end_ns - begin_ns <= max(128, begin_ns / 8)
        begin_ns = end_ns
    assert bucket_of(begin_ns) == bucket_of(1 << 62) == BUCKETS - 1
    assert bucket_of(-5) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_told_is_at_most_an_eighth_above_the_truth_and_never_below(seed: int) -> None:
    random, lateness = Random(seed), Lateness()
    samples = sorted(int(random.lognormvariate(11, 2)) for _ in range(5000))
    for sample in samples:
        lateness.note(sample)

    told = lateness.report(Achieved())

    for share, late_ns in ((0.5, told.late_p50_ns), (0.99, told.late_p99_ns), (0.999, told.late_p999_ns)):
        truth = samples[math.ceil(len(samples) * share) - 1]
        assert truth <= late_ns <= truth * 9 / 8 + 128
    assert told.late_max_ns == samples[-1]
    assert told.late_batches == sum(sample > LATE_NS for sample in samples)
    assert told.batches == 5000


def test_an_interval_is_told_once_and_the_run_goes_on() -> None:
    lateness = Lateness()
    lateness.note(5 * SECOND_NS)
    assert lateness.take() is not None
    assert lateness.take() is None

    lateness.note(1000)
    late = lateness.take()

    assert late is not None
    assert 1000 <= late.max_ns <= 1125
    assert lateness.report(Achieved()).late_max_ns == 5 * SECOND_NS


def test_the_bounds_of_the_metric_count_what_is_below_them() -> None:
    lateness = Lateness()
    for late_ns in (10_000, 900_000, 3_000_000, 100 * SECOND_NS):
        lateness.note(late_ns)

    counts = lateness.tally(LATENESS_BOUNDS_S)

    by_bound = dict(zip(LATENESS_BOUNDS_S, counts, strict=False))
    assert (by_bound[0.00005], by_bound[0.001], by_bound[0.005], by_bound[30.0]) == (1, 2, 3, 3)
    assert counts[-2:] == [4, pytest.approx(100.00391)]


def test_time_in_which_nothing_is_to_leave_is_not_in_the_speed_achieved() -> None:
    achieved = Achieved()
    achieved.go(0)
    achieved.left(10, 0, 0)
    achieved.left(10, 50 * SECOND_NS, 1 * SECOND_NS)
    achieved.rest(2 * SECOND_NS)
    achieved.left(7, 999 * SECOND_NS, 50 * SECOND_NS)  # a step of a paused session
    achieved.go(100 * SECOND_NS)
    achieved.left(20, 50 * SECOND_NS, 100 * SECOND_NS)

    assert achieved.distance == (2 * SECOND_NS, 100 * SECOND_NS, 40)
    assert achieved.sample() == Rate(50.0, 20.0)


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    achieved, now_ns = Achieved(), 0
    achieved.go(0)
    for speed in (1, 60):
        for _ in range(15):
            now_ns += SECOND_NS
            achieved.left(100 * speed, speed * SECOND_NS, now_ns)
            told = achieved.sample()

    assert told == Rate(60.0, 6000.0)
