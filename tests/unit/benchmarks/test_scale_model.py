"""docs/scale.md is what the model computes, and the model's arithmetic and simulation agree with what is known."""

from __future__ import annotations

import pytest

from benchmarks import scale_model
from benchmarks.failover import Case, fluid_recovery_s, simulate
from benchmarks.scale_costs import Assumed, Costs, fit, load, number

COSTS = Costs(
    own_ns=100.0,
    other_ns=50.0,
    redis_ns=30.0,
    sink_ns=60.0,
    deliver_ns=25.0,
    live_ns=2_000.0,
    tick_bytes=60.0,
    partition_bytes=256 << 20,
    connections=10.0,
    load=0.0,
    measured={},
)


def test_the_page_is_what_the_program_prints() -> None:
    assert scale_model.PAGE.read_text(encoding="utf-8") == scale_model.current()


def test_a_line_through_points_of_a_line_is_that_line() -> None:
    intercept, slope = fit({0: 100.0, 1: 150.0, 3: 250.0})

    assert (intercept, slope) == (pytest.approx(100.0), pytest.approx(50.0))


def test_a_note_that_says_something_else_is_an_error() -> None:
    assert number(r"([\d,]+) frames", "477,005 frames") == 477_005
    with pytest.raises(ValueError, match="other words"):
        number(r"(\d+) frames", "none")


def test_an_engine_is_as_busy_as_it_may_be_at_the_rate_that_is_given() -> None:
    rate = scale_model.session_rate_max(COSTS, Assumed(busy=0.5), 4)

    # A quarter of the ticks at 100 ns, the other three at 50 ns.
    assert rate * (0.25 * 100 + 0.75 * 50) == pytest.approx(0.5e9)


@pytest.mark.parametrize("rate", scale_model.RATES)
def test_a_plan_carries_its_rate_with_the_fewest_partitions(rate: int) -> None:
    made, assumed = scale_model.plan(COSTS, Assumed(), rate), Assumed()
    share = rate / made.sessions

    assert share <= scale_model.session_rate_max(COSTS, assumed, made.partitions) * 1.000001
    assert made.partitions == 1 or share > scale_model.session_rate_max(COSTS, assumed, made.partitions - 1)
    assert made.machines * assumed.cores >= made.cores
    assert made.machines * assumed.memory_bytes >= made.memory_bytes
    assert made.first in scale_model.THEN


def test_a_simulation_is_the_same_each_time_and_loses_nothing() -> None:
    case = Case(busy=0.5, outage_s=3.0, ends_s=40.0)

    assert simulate(case) == simulate(case)
    assert simulate(case) != simulate(Case(busy=0.5, outage_s=3.0, ends_s=40.0, seed=16))


@pytest.mark.parametrize("busy", [0.2, 0.4, 0.5])
def test_recovery_is_at_least_what_arithmetic_says_and_not_more_than_twice_that(busy: float) -> None:
    case = Case(busy=busy, outage_s=6.0)

    found = simulate(case)

    # The partitions of the dead machine wait for as long as they have no producer.
    assert found.delay_ms_max == pytest.approx(6_000, rel=0.02)
    per_machine = case.partitions // case.machines
    assert found.backlog_batches_max == pytest.approx(per_machine * 6.0 / case.batch_s, rel=0.02)
    assert fluid_recovery_s(case) * 0.95 <= found.recovery_s <= fluid_recovery_s(case) * 2.1


def test_without_spare_cores_nobody_catches_up() -> None:
    assert fluid_recovery_s(Case(busy=0.8, outage_s=1.0)) == float("inf")


def test_costs_are_those_that_were_measured() -> None:
    costs = load()

    assert min(costs.own_ns, costs.other_ns, costs.redis_ns, costs.sink_ns, costs.deliver_ns) > 0
    assert 60 <= costs.tick_bytes < 64
    assert costs.connections > 1
