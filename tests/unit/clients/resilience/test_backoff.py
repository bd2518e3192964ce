"""Delays before retries: their range, their spread, and no overflow ever."""

from __future__ import annotations

import math
from random import Random
from statistics import fmean

import pytest

from clients.resilience.backoff import Backoff, Jitter
from tests.support.resilience_calls import SEED

DRAWS = 10_000


@pytest.mark.parametrize("retry", range(8))
def test_r03_full_jitter_is_uniform_below_the_nominal_delay(retry: int) -> None:
    backoff, random = Backoff(base_s=0.1, cap_s=5), Random(SEED)
    nominal_s = min(5, 0.1 * 2**retry)

    delays = [backoff.delay_s(retry, 0.0, random) for _ in range(DRAWS)]

    assert all(0 <= delay <= nominal_s for delay in delays)
    assert fmean(delays) == pytest.approx(nominal_s / 2, rel=0.02)


def test_r04_decorrelated_jitter_stays_between_base_and_cap() -> None:
    backoff, random = Backoff(base_s=0.1, cap_s=5, jitter=Jitter.DECORRELATED), Random(SEED)

    delay, seen = 0.0, []
    for retry in range(DRAWS):
        delay = backoff.delay_s(retry, delay, random)
        seen.append(delay)

    assert 0.1 <= min(seen) < 0.12
    assert max(seen) == 5


def test_r04_proportional_jitter_is_a_fifth_to_both_sides() -> None:
    backoff, random = Backoff(base_s=1, cap_s=5, jitter=Jitter.PROPORTIONAL), Random(SEED)

    for retry, nominal_s in enumerate([1, 2, 4, 5, 5]):
        delays = [backoff.delay_s(retry, 0.0, random) for _ in range(1_000)]
        assert 0.8 * nominal_s <= min(delays) < 0.81 * nominal_s
        assert 1.19 * nominal_s < max(delays) <= 1.2 * nominal_s


@pytest.mark.parametrize("jitter", list(Jitter))
@pytest.mark.parametrize("retry", [62, 63, 64, 1_023, 1_024, 5_000, 10**9])
def test_r05_late_retries_wait_for_the_cap(jitter: Jitter, retry: int) -> None:
    backoff = Backoff(base_s=1e-9, cap_s=5, jitter=jitter)

    delay = backoff.delay_s(retry, 5.0, Random(SEED))

    assert math.isfinite(delay)
    assert 0 <= delay <= 6
    assert backoff.nominal_s(retry) == 5


@pytest.mark.parametrize("jitter", list(Jitter))
def test_r08_floor_lies_below_every_delay(jitter: Jitter) -> None:
    backoff, random = Backoff(base_s=0.5, cap_s=10, floor_s=1, jitter=jitter), Random(SEED)

    assert all(backoff.delay_s(0, 0.0, random) >= 1 for _ in range(DRAWS))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_s", -1),
        ("base_s", math.nan),
        ("cap_s", math.inf),
        ("cap_s", 0.05),
        ("floor_s", -0.1),
        ("floor_s", math.nan),
    ],
)
def test_wrong_figure_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        Backoff(**{"base_s": 0.1, "cap_s": 5.0, field: value})
