"""The rolling day of a simulated market."""

from __future__ import annotations

from random import Random

import pytest

from services.simulators.venue.day import DAY_NS, DayFigures
from services.simulators.venue.prices import PriceWalk

STEP_NS = 10_000_000_000


def test_day_is_that_of_all_prices_while_it_is_young() -> None:
    seed = 7
    prices = [100.0, *(Random(seed).uniform(50, 150) for _ in range(500))]
    figures = DayFigures(prices[0], step_ns=STEP_NS)

    for step, price in enumerate(prices[1:], 1):
        figures.note(step, price)

    day = figures.day()
    assert (day.open, day.high, day.low) == (prices[0], max(prices), min(prices)), f"seed {seed}"
    assert (day.first, day.count) == (0, 501)
    assert day.mean == pytest.approx(sum(prices) / 501)


@pytest.mark.parametrize("step_ns", [STEP_NS, 90_000_000_000, 7_200_000_000_000])
def test_prices_leave_the_day_after_24_hours(step_ns: int) -> None:
    figures = DayFigures(1.0, step_ns=step_ns)
    figures.note(1, 1_000_000.0)
    steps = DAY_NS // step_ns
    for step in range(2, 2 * steps):
        figures.note(step, 100.0 + step % 2)

    day = figures.day()

    assert (day.low, day.high, day.before) == (100.0, 101.0, pytest.approx(100.5, abs=0.6))
    assert steps - 60_000_000_000 // step_ns - 1 <= day.count <= steps


def test_day_of_a_walk_holds_its_price_after_steps_and_jumps() -> None:
    walk = PriceWalk(seed=3, start_ns=0, step_ns=STEP_NS, volatility=30)
    for _ in range(20):
        walk.take()
        walk.jump(40)
        day = walk.day("BTC")
        assert day.low <= walk.price("BTC") <= day.high
        assert day.first + day.count - 1 == walk.step
