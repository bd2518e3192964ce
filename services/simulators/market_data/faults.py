"""Planned faults of the simulated provider, and when they are in force."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

__all__ = ["Fault", "FaultKind", "ProviderFaults", "parse_faults"]

FaultKind = Literal["down", "slow", "late", "unchanged", "missing", "out_of_order"]
"""
down: answers 503; slow: answers after `amount` seconds; late: publications come `amount` seconds later; unchanged: publications
repeat the value under a new stamp; missing: publications do not take place; out_of_order: every other answer is the one before.
"""

_FAULT: Final = re.compile(r"([a-z_]+)@([0-9]+(?:\.[0-9]+)?)-([0-9]+(?:\.[0-9]+)?)(?::([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Fault:
    """One kind of trouble between two moments, the second not included."""

    kind: FaultKind
    since_ns: int
    until_ns: int
    amount: float = 0.0
    """Seconds, where the kind has some."""

    def at(self, time_ns: int) -> bool:
        """Tell whether it is on."""
        return self.since_ns <= time_ns < self.until_ns


class ProviderFaults:
    """A plan."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = tuple(faults)

    def down(self, now_ns: int) -> bool:
        """Tell whether the provider answers nothing but 503."""
        return self._on("down", now_ns) is not None

    def slow_s(self, now_ns: int) -> float:
        """Return how long an answer takes."""
        fault = self._on("slow", now_ns)
        return 0.0 if fault is None else fault.amount

    def late_s(self, nominal_ns: int) -> float:
        """Return how much later than its delay a publication comes."""
        fault = self._on("late", nominal_ns)
        return 0.0 if fault is None else fault.amount

    def unchanged(self, published_ns: int) -> bool:
        """Tell whether a publication repeats the value before it."""
        return self._on("unchanged", published_ns) is not None

    def missing(self, published_ns: int) -> bool:
        """Tell whether a publication does not take place."""
        return self._on("missing", published_ns) is not None

    def out_of_order(self, now_ns: int) -> bool:
        """Tell whether every other answer is an old one."""
        return self._on("out_of_order", now_ns) is not None

    def _on(self, kind: FaultKind, time_ns: int) -> Fault | None:
        return next((fault for fault in self._faults if fault.kind == kind and fault.at(time_ns)), None)


def parse_faults(text: str, start_ns: int) -> ProviderFaults:
    """Return the plan of `kind@from-until:amount,...`, in seconds behind `start_ns`; raise ValueError naming what is wrong."""
    faults: list[Fault] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _FAULT.fullmatch(part)
        kinds: dict[str, FaultKind] = {kind: kind for kind in get_args(FaultKind)}
        if match is None or match[1] not in kinds:
            raise ValueError(f"must be kind@from-until:amount,... in seconds, with the kinds {', '.join(kinds)}")
        since_ns, until_ns = (start_ns + round(float(match[number]) * 1e9) for number in (2, 3))
        fault = Fault(kinds[match[1]], since_ns, until_ns)
        faults.append(fault if match[4] is None else replace(fault, amount=float(match[4])))
    return ProviderFaults(faults)
