"""What becomes of a session that falls behind its clock."""

from __future__ import annotations

from typing import Final, Literal, get_args

from services.replay.engine.lateness import LATE_NS
from services.replay.engine.pacing import PacingClock
from services.runtime.errors import MidstreamError
from services.runtime.session.report import TimeDebtReport

DebtPolicy = Literal["catch-up", "stretch", "fail"]
"""catch-up: what is late leaves as fast as it can, and the plan stays. stretch: the clock waits for what is late, for everybody, and
replay time never jumps. fail: the session ends when it is further behind than its limit."""
DEBT_POLICIES: Final = get_args(DebtPolicy)
LIMIT_NS: Final = 5_000_000_000
"""Default of `fail`: beyond any hiccup of a machine that is fast enough."""


class TimeDebtExceeded(MidstreamError):
    """A session whose debt may not exceed its limit is further behind; starting again changes nothing."""


class TimeDebt:
    """The debt of one session. The engine's thread owes and settles, others read."""

    def __init__(self, policy: DebtPolicy = "catch-up", limit_ns: int = LIMIT_NS) -> None:
        self.policy: DebtPolicy = policy
        self._limit_ns = limit_ns
        self._due_at_ns: int | None = None
        self._behind_max_ns = 0
        self.stretched_ns = 0
        """Real time that the clock has waited in all."""

    def expect(self, due_at_ns: int | None) -> None:
        """Say when the next record is due; None when nothing is."""
        self._due_at_ns = due_at_ns

    def behind_ns(self, now_ns: int) -> int:
        """Return for how long the next record should have left already; 0 when it is not due."""
        due_at_ns = self._due_at_ns
        return 0 if due_at_ns is None else max(0, now_ns - due_at_ns)

    def exceeded(self, now_ns: int) -> bool:
        """Tell whether the session must not go on; from any thread."""
        return self.policy == "fail" and self.behind_ns(now_ns) > self._limit_ns

    def settle(self, now_ns: int, pacing: PacingClock) -> None:
        """Do what the policy says about a record that leaves, or wants to, now. Raises TimeDebtExceeded."""
        behind_ns = self.behind_ns(now_ns)
        self._behind_max_ns = max(self._behind_max_ns, behind_ns)
        if self.exceeded(now_ns):
            raise TimeDebtExceeded(
                f"the session is {behind_ns / 1e9:.3g} s behind its clock, which may be {self._limit_ns / 1e9:g} s: those who read it, or "
                f"this machine, do not keep up with speed {pacing.speed:g}; lower it, raise MIDSTREAM_TIME_DEBT_LIMIT, or set "
                "MIDSTREAM_TIME_DEBT to catch-up or stretch"
            )
        # What may be late without being called so is caught up with: jitter must not add up.
        excess_ns = behind_ns - LATE_NS
        if self.policy == "stretch" and excess_ns > 0:
            pacing.wait_for_late(excess_ns)
            self.stretched_ns += excess_ns
            assert self._due_at_ns is not None
            self._due_at_ns += excess_ns

    def report(self, now_ns: int) -> TimeDebtReport:
        """Return the debt of this moment."""
        behind_ns = self.behind_ns(now_ns)
        return TimeDebtReport(
            policy=self.policy,
            behind_ns=behind_ns,
            behind_max_ns=max(behind_ns, self._behind_max_ns),
            stretched_ns=self.stretched_ns,
            limit_ns=self._limit_ns if self.policy == "fail" else 0,
        )
