"""A circuit breaker: stops calling what keeps failing, and finds out with a few probes when it may call again.

Three things are strict here. Every permit carries the generation of the state that admitted it, and a result of an older generation
is never judged: a call admitted before the breaker opened says nothing about now. Every probe has a lease, so that one that hangs
cannot hold HALF_OPEN for ever. And there is only a monotonic clock.

Safe to use from threads and from tasks: nothing blocks but a lock held for microseconds, and listeners run without it.
"""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from typing import Final, TypeVar

from clients.logs import fields
from clients.resilience.breaker_config import (
    BreakerConfig,
    BreakerCounts,
    BreakerEvent,
    BreakerSnapshot,
    BreakerState,
    CallLater,
    Cause,
    Listener,
    ThresholdExceeded,
    Timer,
    Transition,
    exact_share,
    to_ns,
)
from clients.resilience.breaker_permit import BreakerPermit, BreakerRules, Ending
from clients.resilience.breaker_windows import CallWindow
from clients.resilience.errors import CallNotPermitted
from clients.resilience.ports import MonotonicNs, RandomSource

logger = logging.getLogger(__name__)

T = TypeVar("T")

EVENTS_MAX: Final = 1_000
"""Events waiting for a slow listener; beyond it the oldest are dropped."""


class CircuitBreaker:
    """Guards one endpoint group of one target. Take a permit right before each call and settle it with what came of it.

    Without `call_later` an elapsed wait is noticed by the next call; with it, HALF_OPEN begins by itself.
    """

    def __init__(
        self,
        name: str,
        config: BreakerConfig,
        *,
        monotonic_ns: MonotonicNs,
        random: RandomSource,
        rules: BreakerRules | None = None,
        call_later: CallLater | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.rules = BreakerRules() if rules is None else rules
        self._now = monotonic_ns
        self._random = random
        self._call_later = call_later
        self._timer: Timer | None = None
        self._lock = Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._events: deque[BreakerEvent] = deque(maxlen=EVENTS_MAX)
        self._delivering = False

        self._failure_share = exact_share(config.failure_rate).as_integer_ratio()
        self._slow_share = exact_share(config.slow_rate).as_integer_ratio()
        self._slow_ns = to_ns(config.slow_call_s)
        self._lease_ns = to_ns(config.probe_lease_s)
        self._window = CallWindow(
            calls_max=config.window_calls, age_ns=None if config.window_s is None else to_ns(config.window_s)
        )

        self._state = BreakerState.CLOSED
        self._generation = 0
        self._open_until_ns = 0
        self._openings_in_a_row = 0
        self._leases: dict[int, int] = {}
        self._probe_last = 0
        self._probes_judged = self._probes_failed = self._probes_slow = 0
        self._above = False
        self._endings = dict.fromkeys(Ending, 0)
        self._late = self._rejected = self._slow = 0

    # Calls

    def acquire(self) -> BreakerPermit:
        """Return leave for one call, or raise CallNotPermitted saying when to come back."""
        with self._lock:
            now_ns = self._now()
            self._expire_leases(now_ns)
            if self._state is BreakerState.OPEN and now_ns >= self._open_until_ns:
                self._enter(BreakerState.HALF_OPEN, Cause.WAIT_ELAPSED, now_ns)
            refusal = self._refusal(now_ns)
            if refusal is None:
                permit = BreakerPermit(self, generation=self._generation, start_ns=now_ns, probe=self._lease(now_ns))
        self._deliver()
        if refusal is not None:
            raise refusal
        return permit

    def check(self) -> None:
        """Raise CallNotPermitted if `acquire` would now; takes nothing and changes nothing else.

        For failing fast before waiting for anything: the leave itself is asked for when the call is about to go out.
        """
        with self._lock:
            now_ns = self._now()
            self._expire_leases(now_ns)
            elapsed = self._state is BreakerState.OPEN and now_ns >= self._open_until_ns
            refusal = None if elapsed else self._refusal(now_ns)
        self._deliver()
        if refusal is not None:
            raise refusal

    # By hand

    def transition_to(self, state: BreakerState) -> None:
        """Change the state by hand; nothing happens where it is that already.

        Raises ValueError for HALF_OPEN from anything but OPEN, and for anything but CLOSED from FORCED_OPEN.
        """
        with self._lock:
            now_ns = self._now()
            self._expire_leases(now_ns)
            previous = self._state
            if state is not previous:
                allowed = (BreakerState.CLOSED,) if previous is BreakerState.FORCED_OPEN else tuple(BreakerState)
                if state not in allowed or (state is BreakerState.HALF_OPEN and previous is not BreakerState.OPEN):
                    raise ValueError(
                        f"breaker `{self.name}` is {previous} and cannot become {state} by hand; close it first"
                    )
                self._enter(state, Cause.BY_HAND, now_ns)
        self._deliver()

    def reset(self) -> None:
        """Close it and forget the window, from any state; calls under way are not judged any more. Totals stay."""
        with self._lock:
            self._enter(BreakerState.CLOSED, Cause.BY_HAND, self._now())
        self._deliver()

    # Reports

    @property
    def state(self) -> BreakerState:
        """The state now; an elapsed wait without a call is still OPEN."""
        return self.snapshot().state

    def snapshot(self) -> BreakerSnapshot:
        """Return everything metrics and health show."""
        with self._lock:
            now_ns = self._now()
            self._expire_leases(now_ns)
            self._window.expire(now_ns)
            calls = len(self._window)
            enough = calls >= self.config.calls_min
            waits = self._state is BreakerState.OPEN and now_ns < self._open_until_ns
            taken = BreakerSnapshot(
                name=self.name,
                state=self._state,
                window_calls=calls,
                failure_rate=self._window.failures / calls if enough else -1.0,
                slow_rate=self._window.slow / calls if enough else -1.0,
                retry_after_s=(self._open_until_ns - now_ns) / 1e9 if waits else None,
                counts=BreakerCounts(
                    successes=self._endings[Ending.SUCCESS],
                    failures=self._endings[Ending.FAILURE],
                    ignored=self._endings[Ending.IGNORED],
                    cancelled=self._endings[Ending.CANCELLED],
                    late=self._late,
                    rejected=self._rejected,
                    slow=self._slow,
                ),
                outstanding_probes=len(self._leases),
            )
        self._deliver()
        return taken

    def add_listener(self, listener: Listener) -> None:
        """Tell it every event from now on. It may call the breaker; whatever it raises is logged and affects nothing."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    # What permits report. The lock is held in everything below except `_deliver` and where it is taken.

    def settle(self, permit: BreakerPermit, ending: Ending) -> None:
        """Judge the end of a call; only permits call this."""
        with self._lock:
            if permit.settled:
                return
            permit.settled = True
            now_ns = self._now()
            self._expire_leases(now_ns)
            self._judge(permit, ending, now_ns)
        self._deliver()

    def _judge(self, permit: BreakerPermit, ending: Ending, now_ns: int) -> None:
        if self._is_late(permit):
            self._late += 1
            return
        if self._state is BreakerState.DISABLED:
            return
        self._endings[ending] += 1
        if permit.probe is not None:
            del self._leases[permit.probe]
        if ending is Ending.IGNORED or ending is Ending.CANCELLED:
            return
        failed = ending is Ending.FAILURE
        slow = now_ns - permit.start_ns > self._slow_ns
        self._slow += slow
        if self._state is BreakerState.HALF_OPEN:
            self._judge_probes(failed, slow, now_ns)
        else:
            self._window.add(now_ns, failed=failed, slow=slow)
            self._judge_window(now_ns)

    def _is_late(self, permit: BreakerPermit) -> bool:
        return permit.generation != self._generation

    def _judge_window(self, now_ns: int) -> None:
        calls = len(self._window)
        failing = slow = False
        if calls >= self.config.calls_min:
            failing = _reaches(self._window.failures, calls, self._failure_share)
            slow = _reaches(self._window.slow, calls, self._slow_share)
        if not (failing or slow):
            self._above = False
            return
        if self._above:
            return
        self._above = True
        cause = Cause.FAILURES_AND_SLOW_CALLS if failing and slow else Cause.FAILURES if failing else Cause.SLOW_CALLS
        self._events.append(
            ThresholdExceeded(self.name, cause, self._window.failures / calls, self._window.slow / calls)
        )
        if self._state is BreakerState.CLOSED:
            self._enter(BreakerState.OPEN, cause, now_ns)

    def _judge_probes(self, failed: bool, slow: bool, now_ns: int) -> None:
        self._probes_judged += 1
        self._probes_failed += failed
        self._probes_slow += slow
        probes, missing = self.config.probes, self.config.probes - self._probes_judged
        if _reaches(self._probes_failed, probes, self._failure_share) or _reaches(
            self._probes_slow, probes, self._slow_share
        ):
            self._enter(BreakerState.OPEN, Cause.PROBES_FAILED, now_ns)
        # Decided as soon as the probes still missing cannot change it any more, and not before.
        elif not _reaches(self._probes_failed + missing, probes, self._failure_share) and not _reaches(
            self._probes_slow + missing, probes, self._slow_share
        ):
            self._enter(BreakerState.CLOSED, Cause.PROBES_PASSED, now_ns)

    def _refusal(self, now_ns: int) -> CallNotPermitted | None:
        if self._state is BreakerState.FORCED_OPEN:
            self._rejected += 1
            return CallNotPermitted(f"breaker `{self.name}` was opened by hand; close it by hand")
        if self._state is BreakerState.OPEN:
            wait_ns = self._open_until_ns - now_ns
        elif self._state is BreakerState.HALF_OPEN and len(self._leases) + self._probes_judged >= self.config.probes:
            # The verdict comes with the probes' results, at the latest when the first lease ends.
            wait_ns = min(min(self._leases.values()) + 1 - now_ns, to_ns(self.config.open_s))
        else:
            return None
        self._rejected += 1
        wait_s = wait_ns / 1e9
        return CallNotPermitted(
            f"breaker `{self.name}` is {self._state}; come back in {wait_s:.3g} s", retry_after_s=wait_s
        )

    def _lease(self, now_ns: int) -> int | None:
        if self._state is not BreakerState.HALF_OPEN:
            return None
        self._probe_last += 1
        self._leases[self._probe_last] = now_ns + self._lease_ns
        return self._probe_last

    def _expire_leases(self, now_ns: int) -> None:
        if self._leases and now_ns > (ended_ns := min(self._leases.values())):
            # The wait begins when the lease ended, not when somebody looked: the state is a function of time alone.
            self._enter(BreakerState.OPEN, Cause.PROBE_HUNG, ended_ns)

    def _enter(self, state: BreakerState, cause: Cause, since_ns: int) -> None:
        previous, self._state = self._state, state
        self._generation += 1
        self._window.clear()
        self._above = False
        self._leases.clear()
        self._probes_judged = self._probes_failed = self._probes_slow = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        open_ns = None
        if state is BreakerState.OPEN:
            self._openings_in_a_row += 1
            open_ns = self.config.open_ns(self._openings_in_a_row, self._random.uniform(-1.0, 1.0))
            self._open_until_ns = since_ns + open_ns
            self._start_timer()
        elif state is not BreakerState.HALF_OPEN:
            self._openings_in_a_row = 0
        if previous is not state:
            self._events.append(
                Transition(self.name, previous, state, cause, open_s=None if open_ns is None else open_ns / 1e9)
            )

    def _start_timer(self) -> None:
        if self._call_later is None:
            return
        generation, wait_s = self._generation, max(0, self._open_until_ns - self._now()) / 1e9
        try:
            self._timer = self._call_later(wait_s, lambda: self._on_timer(generation))
        except RuntimeError:
            # The loop is closed: the process is going down, and the next call would notice the elapsed wait anyway.
            logger.warning("breaker has no timer", exc_info=True, extra=fields(name=self.name))

    def _on_timer(self, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            now_ns = self._now()
            if now_ns < self._open_until_ns:
                self._start_timer()  # The timer's clock is coarser than ours.
            else:
                self._enter(BreakerState.HALF_OPEN, Cause.WAIT_ELAPSED, now_ns)
        self._deliver()

    def _deliver(self) -> None:
        # One thread at a time hands events out, so listeners see them in order; what happens meanwhile, it hands out too.
        while self._events:
            with self._lock:
                if self._delivering or not self._events:
                    return
                self._delivering = True
                event, listeners = self._events.popleft(), self._listeners
            try:
                for listener in listeners:
                    try:
                        listener(event)
                    except Exception:
                        logger.exception("listener of a breaker failed", extra=fields(name=self.name))
            finally:
                with self._lock:
                    self._delivering = False


def _reaches(count: int, of: int, share: tuple[int, int]) -> bool:
    numerator, denominator = share
    return count * denominator >= numerator * of
