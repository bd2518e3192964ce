"""What a circuit breaker does, written to be read: no locks, no bounds, everything recomputed from lists.

Times are nanoseconds. Shares are (numerator, denominator). Open times have no jitter.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ReferencePermit:
    era: int
    start: int
    lease_end: int | None
    settled: bool = False


@dataclass
class ReferenceBreaker:
    window_calls: int
    window_ns: int | None
    calls_min: int
    failure_share: tuple[int, int]
    slow_share: tuple[int, int]
    slow_ns: int
    open_ns: int
    open_ns_max: int
    probes: int
    lease_ns: int
    state: str = "closed"
    era: int = 0
    opened_at: int = 0
    openings: int = 0
    calls: list[tuple[int, bool, bool]] = field(default_factory=list)
    under_way: list[ReferencePermit] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    tally: dict[str, int] = field(default_factory=dict)

    def enter(self, state: str, now: int) -> None:
        self.openings = {"open": self.openings + 1, "half_open": self.openings}.get(state, 0)
        if state != self.state:
            self.path.append(state)
        self.state, self.era, self.opened_at, self.calls, self.under_way = state, self.era + 1, now, [], []

    def look(self, now: int) -> str:
        ends = [permit.lease_end for permit in self.under_way if permit.lease_end is not None]
        if ends and now > min(ends):
            self.enter("open", min(ends))
        return self.state

    def open_wait(self) -> int:
        return min(self.open_ns << (self.openings - 1), self.open_ns_max)

    def acquire(self, now: int) -> ReferencePermit | None:
        if self.look(now) == "open" and now - self.opened_at >= self.open_wait():
            self.enter("half_open", now)
        full = self.state == "half_open" and len(self.under_way) + len(self.calls) >= self.probes
        if self.state in ("open", "forced_open") or full:
            self.count("rejected")
            return None
        permit = ReferencePermit(self.era, now, now + self.lease_ns if self.state == "half_open" else None)
        self.under_way.append(permit)
        return permit

    def settle(self, permit: ReferencePermit, ending: str, now: int) -> None:
        self.look(now)
        if permit.settled:
            return
        permit.settled = True
        if permit.era != self.era:
            self.count("late")
        elif self.state != "disabled":
            self.under_way.remove(permit)
            self.count(ending)
            if ending in ("successes", "failures"):
                self.calls.append((now, ending == "failures", now - permit.start > self.slow_ns))
                self.judge(now)

    def judge(self, now: int) -> None:
        if self.state == "half_open":
            missing = self.probes - len(self.calls)
            if self.above(self.calls, self.probes, 0):
                self.enter("open", now)
            elif not self.above(self.calls, self.probes, missing):
                self.enter("closed", now)
        elif self.state == "closed":
            window = self.window(now)
            if len(window) >= self.calls_min and self.above(window, len(window), 0):
                self.enter("open", now)

    def window(self, now: int) -> list[tuple[int, bool, bool]]:
        young = [call for call in self.calls if self.window_ns is None or now - call[0] < self.window_ns]
        return young[-self.window_calls :]

    def above(self, calls: list[tuple[int, bool, bool]], of: int, more: int) -> bool:
        failed, slow = sum(call[1] for call in calls) + more, sum(call[2] for call in calls) + more
        return any(n * d >= k * of for n, (k, d) in ((failed, self.failure_share), (slow, self.slow_share)))

    def count(self, what: str) -> None:
        self.tally[what] = self.tally.get(what, 0) + 1
