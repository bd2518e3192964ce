"""CB40: any sequence of calls, times and hands does to the breaker what it does to the readable model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from clients.resilience.breaker_config import BreakerState
from clients.resilience.breaker_permit import BreakerPermit
from clients.resilience.errors import CallNotPermitted
from tests.reference.breaker import ReferenceBreaker, ReferencePermit
from tests.support.resilience_breakers import Bench, bench

S = 1_000_000_000
ENDINGS = {"success": "successes", "failure": "failures", "ignore": "ignored", "cancel": "cancelled"}


class BreakerMachine(RuleBasedStateMachine):
    """Does everything twice."""

    permits: Bundle[tuple[BreakerPermit, ReferencePermit]] = Bundle("permits")

    here: Bench
    model: ReferenceBreaker

    @initialize(
        window_calls=st.integers(1, 6),
        window_s=st.none() | st.integers(1, 20),
        probes=st.integers(1, 4),
        failure=st.sampled_from([(1, 10), (1, 3), (1, 2), (1, 1)]),
        slow=st.sampled_from([(1, 2), (1, 1)]),
        data=st.data(),
    )
    def begin(
        self,
        window_calls: int,
        window_s: int | None,
        probes: int,
        failure: tuple[int, int],
        slow: tuple[int, int],
        data: st.DataObject,
    ) -> None:
        calls_min = data.draw(st.integers(1, window_calls))
        self.here = bench(
            window_calls=window_calls,
            window_s=window_s,
            calls_min=calls_min,
            failure_rate=failure[0] / failure[1],
            slow_rate=slow[0] / slow[1],
            slow_call_s=2,
            open_s=5,
            open_s_max=30,
            probes=probes,
            probe_lease_s=10,
        )
        # A third is no decimal: the breaker takes the share as it is written.
        written = (3333333333333333, 10**16) if failure == (1, 3) else failure
        self.model = ReferenceBreaker(
            window_calls=window_calls,
            window_ns=None if window_s is None else window_s * S,
            calls_min=calls_min,
            failure_share=written,
            slow_share=slow,
            slow_ns=2 * S,
            open_ns=5 * S,
            open_ns_max=30 * S,
            probes=probes,
            lease_ns=10 * S,
        )

    @property
    def now(self) -> int:
        return self.here.clock.monotonic_ns()

    @rule(target=permits)
    def acquire(self) -> Any:
        expected = self.model.acquire(self.now)
        permit: BreakerPermit | None
        try:
            permit = self.here.breaker.acquire()
        except CallNotPermitted as exc:
            refusal, permit = exc, None
        assert (permit is None) is (expected is None)
        if permit is None:
            assert refusal.retry_after_s is None or refusal.retry_after_s > 0
            return None
        return permit, expected

    @rule(pair=permits, ending=st.sampled_from(sorted(ENDINGS)))
    def settle(self, pair: tuple[BreakerPermit, ReferencePermit] | None, ending: str) -> None:
        if pair is not None:
            self.model.settle(pair[1], ENDINGS[ending], self.now)
            getattr(pair[0], ending)()

    @rule(times=st.integers(1, 6), ending=st.sampled_from(["success", "failure"]))
    def calls(self, times: int, ending: str) -> None:
        for _ in range(times):
            self.settle(self.acquire(), ending)

    @rule(seconds=st.sampled_from([1, 2, 5, 20, 60]))
    def wait(self, seconds: int) -> None:
        self.here.clock.advance_ns(seconds * S)

    @rule(edge=st.sampled_from(["open", "lease", "window", "slow"]), nanoseconds=st.sampled_from([-1, 0, 1]))
    def wait_until_an_edge(self, edge: str, nanoseconds: int) -> None:
        """Most of what can be wrong is wrong within a nanosecond of these moments."""
        model = self.model
        moments = {
            "open": [model.opened_at + model.open_wait()] if model.state == "open" else [],
            "lease": [permit.lease_end for permit in model.under_way if permit.lease_end is not None],
            "window": [call[0] + (model.window_ns or 0) for call in model.calls[:1]],
            "slow": [permit.start + model.slow_ns for permit in model.under_way],
        }[edge]
        if moments:
            self.here.clock.advance_ns(min(moments) + nanoseconds - self.now)

    @rule(target=permits)
    def break_it(self) -> Any:
        """Open it from CLOSED: nothing of interest happens before."""
        if self.model.look(self.now) == "closed":
            self.calls(6, "failure")
        self.wait_until_an_edge("open", 0)
        return self.acquire()

    @rule(state=st.sampled_from(["closed", "open", "forced_open", "disabled"]))
    def by_hand(self, state: str) -> None:
        current = self.model.look(self.now)
        if current == "forced_open" and state not in ("closed", "forced_open"):
            with pytest.raises(ValueError):
                self.here.breaker.transition_to(BreakerState(state))
            return
        self.here.breaker.transition_to(BreakerState(state))
        if state != current:
            self.model.enter(state, self.now)

    @rule()
    def reset(self) -> None:
        self.here.breaker.reset()
        self.model.enter("closed", self.now)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "model"):
            return
        taken = self.here.breaker.snapshot()
        assert taken.state == self.model.look(self.now)
        assert [str(state) for state in self.here.told.path] == self.model.path
        counts = vars(taken.counts)
        for name in ("successes", "failures", "ignored", "cancelled", "late", "rejected"):
            assert counts[name] == self.model.tally.get(name, 0), name
        if taken.state is BreakerState.CLOSED:
            assert taken.window_calls == len(self.model.window(self.now))
        for earlier, later in zip(self.here.told.transitions, self.here.told.transitions[1:], strict=False):
            assert earlier.state is later.previous


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cb40_ten_thousand_steps_differ_nowhere() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        BreakerMachine, settings=settings(max_examples=200, stateful_step_count=60, deadline=None)
    )
