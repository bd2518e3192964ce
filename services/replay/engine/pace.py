"""How the real time between records follows from the data, and what becomes of what is late: the options, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from services.replay.engine.fixed_pace import FixedDelayClock, FixedRateClock
from services.replay.engine.pacing import LINGER_NS, PacingClock
from services.replay.engine.time_debt import DEBT_POLICIES, LIMIT_NS, DebtPolicy, TimeDebt
from services.replay.sources.latency_models import parse_duration
from services.runtime.errors import StartRefused

RATE_MAX: Final = 1e9


@dataclass(frozen=True)
class Pace:
    """At most one of the first three is set; none of them: the gaps of the data, as they are."""

    gap_cap_ns: int = 0
    """A gap in the data that is longer takes as long as one of this length; 0: no cap."""
    rate: float = 0.0
    """Records per second, in place of the gaps of the data."""
    delay_ns: int = 0
    """Between one record and the next, in place of the gaps of the data."""
    debt: DebtPolicy = "catch-up"
    debt_limit_ns: int = LIMIT_NS

    def clock(self, speed: float) -> PacingClock:
        """Return the clock of a session; the speed is a factor of each of them."""
        if self.rate:
            return FixedRateClock(speed, self.rate)
        if self.delay_ns:
            return FixedDelayClock(speed, self.delay_ns)
        return PacingClock(speed, gap_cap_ns=self.gap_cap_ns)

    def time_debt(self) -> TimeDebt:
        """Return the account of a session."""
        return TimeDebt(self.debt, self.debt_limit_ns)


AS_RECORDED: Final = Pace()
"""The gaps of the data, and what is late catches up."""


def read_pace(fields: Mapping[str, Any]) -> Pace:
    """Return what the fields say. Raises StartRefused with the setting and the fix."""
    given = [name for name in ("gap_cap", "rate", "delay") if fields.get(name)]
    if len(given) > 1:
        named = " and ".join(f"MIDSTREAM_{name.upper()}" for name in given)
        raise StartRefused(
            f"{named} exclude each other: each says how long it is from one record to the next; set one of them"
        )
    policy = str(fields.get("time_debt") or "catch-up")
    if policy not in DEBT_POLICIES:
        raise StartRefused(f"MIDSTREAM_TIME_DEBT: {policy!r} is unknown; use {', '.join(DEBT_POLICIES)}")
    if given == ["delay"] and policy != "catch-up":
        raise StartRefused(
            f"MIDSTREAM_TIME_DEBT: {policy} has no meaning with MIDSTREAM_DELAY, where each record waits for the one before it, so that "
            "nothing is ever owed; leave one of them out"
        )
    if fields.get("time_debt_limit") and policy != "fail":
        raise StartRefused(
            f"MIDSTREAM_TIME_DEBT_LIMIT is for MIDSTREAM_TIME_DEBT=fail, which is {policy}; leave one of them out"
        )
    delay_ns = _duration(fields, "delay")
    if 0 < delay_ns < LINGER_NS:
        raise StartRefused(
            f"MIDSTREAM_DELAY: {fields['delay']} is shorter than 1ms, in which records leave together; set MIDSTREAM_RATE instead"
        )
    return Pace(
        gap_cap_ns=_duration(fields, "gap_cap"),
        rate=_rate(fields),
        delay_ns=delay_ns,
        debt=cast("DebtPolicy", policy),
        debt_limit_ns=_duration(fields, "time_debt_limit") or LIMIT_NS,
    )


def _rate(fields: Mapping[str, Any]) -> float:
    text = fields.get("rate") or 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if rate and not 0 < rate <= RATE_MAX:
        raise StartRefused(
            f"MIDSTREAM_RATE: {text!r} is no number of records per second up to {RATE_MAX:g}; write one, like 1000"
        )
    return rate


def _duration(fields: Mapping[str, Any], name: str) -> int:
    text = str(fields.get(name) or "")
    if not text:
        return 0
    try:
        duration_ns = parse_duration(text)
    except ValueError as exc:
        raise StartRefused(f"MIDSTREAM_{name.upper()}: {exc}") from exc
    if duration_ns <= 0:
        raise StartRefused(
            f"MIDSTREAM_{name.upper()}: {text} is not above zero; write a number and ns, us, ms or s, like 5s"
        )
    return duration_ns
