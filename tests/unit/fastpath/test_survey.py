"""Figures of the survey kernel, against plain Python."""

from __future__ import annotations

import random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.survey import ArrivalTies, Survey


def survey_of(latencies: list[int], *, threshold_ns: int = 100) -> Survey:
    block = Block(Tickers())
    for row, latency in enumerate(latencies):
        block.append_tick(
            "A",
            arrival_time_ns=row + latency,
            event_time_ns=row,
            bid_price=1.0,
            bid_amount=1.0,
            ask_price=2.0,
            ask_amount=1.0,
            row=row + 2,
        )
    survey = Survey(latency_threshold_ns=threshold_ns)
    survey.add(block)
    return survey


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_within_their_error(seed: int) -> None:
    random_ = random.Random(seed)
    latencies = [
        round(random_.lognormvariate(random_.randrange(2, 40), 3)) * random_.choice([1, 1, -1]) for _ in range(999)
    ]
    latencies = [max(-(2**62), min(2**62, latency)) for latency in latencies]
    survey = survey_of(latencies)
    ordered = sorted(latencies)

    for share in (0.0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0):
        exact = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        assert survey.latency_quantile(share) == pytest.approx(exact, rel=0.001)
    assert survey.spans()[2] == (ordered[0], ordered[-1])  # type: ignore[index]


def test_small_latencies_are_exact() -> None:
    survey = survey_of(list(range(-2047, 2048)))

    assert [survey.latency_quantile(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [-2047, -1024, 0, 1024, 2047]


def test_extreme_times_overflow_nothing() -> None:
    block = Block(Tickers())
    for event, arrival in ((-(2**63) + 1, 2**63 - 2), (2**63 - 2, -(2**63) + 1)):
        block.append_tick(
            "A",
            arrival_time_ns=arrival,
            event_time_ns=event,
            bid_price=1.0,
            bid_amount=1.0,
            ask_price=1.0,
            ask_amount=1.0,
        )
    survey = Survey(latency_threshold_ns=0)
    survey.add(block)

    assert survey.counts()["negative_latency"] == survey.counts()["over_threshold"] == 1
    survey.latency_quantile(0.5)


def test_absorbing_equals_counting_together_but_for_the_order() -> None:
    random_ = random.Random(1)
    latencies = [random_.randrange(-50, 10**9) for _ in range(500)]
    together, first, second = survey_of(latencies), survey_of(latencies[:200]), survey_of(latencies[200:])

    first.absorb(second)

    assert first.latency_quantile(0.5) == together.latency_quantile(0.5)
    assert {name: count for name, count in first.counts().items() if name != "event_ties"} == {
        name: count for name, count in together.counts().items() if name != "event_ties"
    }
    assert first.ticker_rows() == together.ticker_rows() == {0: 500}


def test_kinds_of_rejections_are_bounded() -> None:
    block = Block(Tickers())
    for number in range(1000):
        block.append_rejection(arrival_time_ns=0, row=number, reason=f"reason {number}")
    survey = Survey(latency_threshold_ns=0)
    survey.add(block)

    found = survey.rejections()

    assert len(found) == 65
    assert sum(count for _, count, _ in found) == survey.counts()["rejected"] == 1000


def test_ties_are_counted_over_blocks() -> None:
    ties = ArrivalTies()
    tickers = Tickers()
    for arrivals in ([1, 1], [1, 2], [3], [3, 4]):
        block = Block(tickers)
        for arrival in arrivals:
            block.append_tick(
                "A",
                arrival_time_ns=arrival,
                event_time_ns=0,
                bid_price=1.0,
                bid_amount=1.0,
                ask_price=1.0,
                ask_amount=1.0,
            )
        block.append_rejection(arrival_time_ns=arrivals[-1], reason="bad")
        ties.add(block)

    assert (ties.ties, ties.largest) == (3, 3)


def test_a_survey_of_nothing_has_no_quantile() -> None:
    survey = Survey(latency_threshold_ns=0)

    assert survey.spans() is None
    assert survey.breaks() == (None, None, None)
    with pytest.raises(ValueError, match="no row"):
        survey.latency_quantile(0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        survey.latency_quantile(2.0)
    with pytest.raises(ValueError, match="absorb itself"):
        survey.absorb(survey)
