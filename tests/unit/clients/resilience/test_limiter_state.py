"""The counting itself: for any order of events, this side's count is never below the other side's."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.resilience.call import Cost, LimitReport, Priority
from clients.resilience.limiter import Counting, LimitRule, ScopeRules
from clients.resilience.limiter_state import IN_FLIGHT_MAX, ScopeState
from tests.support.limits_exchange import CountedLimit, Kind

SCOPE = "exchange"
NAME = "exchange:weight"
START_NS = 1_760_000_000 * 10**9


def rules_of(counting: Counting = Counting.WINDOW, size: int = 20, interval_s: float = 10.0) -> ScopeRules:
    return ScopeRules(SCOPE, (LimitRule(NAME, size, interval_s, counting, headroom=0.0, burst=1.0),), flight_s=30.0)


events = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 12), st.sampled_from([0, 1])),
        st.tuples(st.just("arrive"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 30), st.sampled_from([0, 1, 1, 1])),
        st.tuples(st.just("wait"), st.integers(1, 120), st.just(0)),
        st.tuples(st.just("release"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("travel"), st.just(0), st.just(0)),
    ),
    max_size=80,
)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@given(steps=events)
def test_for_any_order_of_events_the_exchange_never_counts_more_than_its_limit(
    kind: Kind, headers: bool, steps: list[tuple[str, int, int]]
) -> None:
    counting = Counting.BUCKET if kind is Kind.BUCKET else Counting.WINDOW
    rules = rules_of(counting)
    state = ScopeState(rules)
    exchange = CountedLimit(NAME, 20, 10.0, kind)
    now_ns = START_NS
    outbound: list[tuple[str, int, int]] = []
    inbound: list[tuple[str, LimitReport]] = []
    number = 0
    for step, value, flag in steps:
        # A call that was never answered arrives within `flight_s` or not at all.
        outbound = [call for call in outbound if now_ns - call[2] <= 29 * 10**9]
        if step == "send":
            number += 1
            if state.admit(f"permit-{number}", [Cost(NAME, value)], Priority.NORMAL, now_ns) is None:
                # What is free turns out only there.
                outbound.append((f"permit-{number}", value if flag or not headers else 0, now_ns))
        elif step == "arrive" and outbound:
            permit_id, units, _ = outbound.pop(value % len(outbound))
            assert exchange.count(units, now_ns)
            used = int(exchange.used(now_ns))
            report = LimitReport()
            if headers and kind is Kind.BUCKET:
                report = LimitReport(remaining={NAME: max(0, 20 - used)})
            elif headers:
                report = LimitReport(used={NAME: used})
            inbound.append((permit_id, report))
        elif step == "answer" and inbound:
            permit_id, report = inbound.pop(value % len(inbound))
            if flag:
                state.settle(permit_id, report, now_ns, answered=True)
            else:
                state.settle(permit_id, None, now_ns, answered=False)
        elif step == "release" and outbound:
            state.release(outbound.pop(value % len(outbound))[0], now_ns)
        elif step == "wait":
            now_ns += value * 10**8
        elif step == "travel":
            restored = ScopeState(rules)
            restored.restore(json.loads(json.dumps(state.dump())))
            state = restored

    assert exchange.over == 0


@given(
    counts=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    counting=st.sampled_from(list(Counting)),
    gap_ds=st.integers(0, 30),
)
def test_a_refusal_names_a_time_at_which_the_call_passes(counts: list[int], counting: Counting, gap_ds: int) -> None:
    state = ScopeState(rules_of(counting))
    now_ns = START_NS
    for number, count in enumerate(counts):
        refusal = state.admit(f"permit-{number}", [Cost(NAME, count)], Priority.NORMAL, now_ns)
        if refusal is not None:
            assert refusal.certain
            assert 0 < refusal.wait_s < 30.0
            now_ns += round(refusal.wait_s * 1e9) + 1
            assert state.admit(f"permit-{number}", [Cost(NAME, count)], Priority.NORMAL, now_ns) is None
        state.settle(f"permit-{number}", None, now_ns, answered=True)
        now_ns += gap_ds * 10**8


def test_calls_under_way_are_bounded() -> None:
    state = ScopeState(rules_of(size=10_000))
    for number in range(IN_FLIGHT_MAX):
        assert state.admit(f"permit-{number}", [Cost(NAME, 1)], Priority.NORMAL, START_NS) is None

    refusal = state.admit("one more", [Cost(NAME, 0)], Priority.RECOVERY, START_NS)

    assert refusal is not None
    assert refusal.names == {SCOPE}
    assert state.flights == IN_FLIGHT_MAX


def test_memory_stays_bounded_over_a_day_of_calls() -> None:
    state = ScopeState(rules_of(size=1000))
    for number in range(5_000):
        now_ns = START_NS + number * 17 * 10**9
        state.admit(f"permit-{number}", [Cost(NAME, 1)], Priority.NORMAL, now_ns)
        state.settle(f"permit-{number}", None, now_ns, answered=True)

    assert len(json.dumps(state.dump())) < 2000


def test_a_limit_of_one_call_can_be_used_although_headroom_is_asked_for() -> None:
    state = ScopeState(ScopeRules(SCOPE, (LimitRule(NAME, 1, 10.0, headroom=0.5),)))

    assert state.admit("permit", [Cost(NAME, 1)], Priority.NORMAL, START_NS) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScopeRules(SCOPE, (LimitRule(NAME, 0, 10.0),)),
        lambda: ScopeRules(SCOPE, (LimitRule(NAME, 1, 0.0),)),
        lambda: ScopeRules(SCOPE, (LimitRule(NAME, 1, 1.0, headroom=1.0),)),
        lambda: ScopeRules(SCOPE, (LimitRule(NAME, 1, 1.0, burst=0.0),)),
        lambda: ScopeRules(SCOPE, (LimitRule(NAME, 1, 1.0), LimitRule(NAME, 1, 1.0))),
    ],
    ids=["no units", "no interval", "all headroom", "no burst", "a name twice"],
)
def test_rules_that_make_no_sense_are_refused(make: Callable[[], ScopeRules]) -> None:
    with pytest.raises(ValueError):
        make()


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        ScopeState(rules_of()).restore({"format": 2})


def test_a_block_for_longer_than_any_ban_is_shortened_to_one() -> None:
    state = ScopeState(rules_of())
    state.block(SCOPE, 1e12, START_NS)
    state.block("somebody else's", 5.0, START_NS)

    assert state.blocks_s(START_NS) == {SCOPE: 4 * 86_400.0}
