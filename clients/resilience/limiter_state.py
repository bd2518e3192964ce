"""The counting of one scope's limits: pure, so that memory and Redis share it. Times are nanoseconds of one clock of all sharers.

Nobody here knows when the other side counts a call: at some moment between its sending and its answer. What a call costs is
therefore held while it is under way and starts to expire (window) or to drain (bucket) only with its answer. So this side's own count
is never below the other side's, whatever the delays, and no matter whether its windows roll or where they begin.

What others use shows only in headers. A header that reports `n` used was written when the call was counted; since then at most
what was under way at its reservation and what was reserved later can have been added. The newest call's report therefore gives the
level, and a late report of an older call can only raise it. Windows follow the report in both directions (some calls turn out to be
free); buckets, whose headers jitter between servers, only upwards. While no report is young, others may have used anything: normal
calls are spread over the interval then instead of going out in one burst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clients.resilience.call import Cost, LimitReport, Priority
from clients.resilience.limiter import Counting, ScopeRules
from clients.resilience.stored_numbers import finite, whole

SLICES: Final = 30
"""A window's own units are kept in so many slices of its interval: they expire at most one slice late, and memory stays bounded."""
IN_FLIGHT_MAX: Final = 1000
"""Calls under way per scope; more have to wait."""
BLOCK_S_MAX: Final = 4 * 86_400.0
"""Longer than any ban that an exchange announces."""
FORMAT: Final = 1


@dataclass
class LimitState:
    """One limit as seen from here."""

    size: int
    reserved: int = 0
    """Units ever reserved, less those given back."""
    in_flight: int = 0
    slices: dict[int, int] = field(default_factory=dict)
    """WINDOW: slice number -> units answered in it."""
    answered: float = 0.0
    """BUCKET: units answered, less what drained until `answered_ns`."""
    answered_ns: int = 0
    level: float = 0.0
    """Units used by all, as the newest report has it, with what was reserved since."""
    level_ns: int = 0
    report_ns: int = 0
    report_call: int = -1
    """The call whose report that was; -1: none yet."""
    pace: float = 0.0
    pace_ns: int = 0


@dataclass
class Flight:
    """A call under way."""

    call: int
    ends_ns: int
    """When it counts as answered even without an answer."""
    units: dict[str, int]
    before: dict[str, tuple[int, int]]
    """Limit -> units reserved until then, this call's included, and units under way, this call's excluded."""


@dataclass(frozen=True)
class Refusal:
    """Why a call has to wait."""

    names: frozenset[str]
    """What it waits for: limits, or the scope."""
    wait_s: float
    """Until it may fit, if nothing else happens; infinite when it never will."""
    certain: bool
    """Nothing that is under way can shorten the wait."""


class ScopeState:
    """Everything known about one scope. Changes by its methods only; `dump` and `restore` carry it between processes.

    `share` below 1 is for a process that has lost touch with the others: that much of each limit is its own.
    """

    def __init__(self, rules: ScopeRules, *, share: float = 1.0) -> None:
        self._rules = {rule.name: rule for rule in rules.limits}
        self._scope = rules.scope
        self._flight_ns = round(rules.flight_s * 1e9)
        self._share = share
        self._calls = 0
        self._limits = {rule.name: LimitState(rule.size) for rule in rules.limits}
        # Asked for by each call several times for each slice of each limit.
        self._interval_ns = {rule.name: round(rule.interval_s * 1e9) for rule in rules.limits}
        self._slice_ns = {name: max(1, -(-whole_ns // SLICES)) for name, whole_ns in self._interval_ns.items()}
        self._flights: dict[str, Flight] = {}
        self._blocks: dict[str, int] = {}

    # What happens to calls.

    def admit(self, permit_id: str, costs: Sequence[Cost], priority: Priority, now_ns: int) -> Refusal | None:
        """Reserve all costs, or say why none was."""
        self._advance(now_ns)
        units: dict[str, int] = {}
        for cost in costs:
            units[cost.limit] = units.get(cost.limit, 0) + cost.units
        blocked = {name: self._blocks[name] for name in (self._scope, *units) if name in self._blocks}
        if blocked:
            return Refusal(frozenset(blocked), (max(blocked.values()) - now_ns) / 1e9, certain=True)
        if len(self._flights) >= IN_FLIGHT_MAX:
            return Refusal(frozenset({self._scope}), 0.0, certain=False)
        waits = {
            name: wait_s
            for name, count in units.items()
            if count > 0 and (wait_s := self._wait_s(name, count, priority, now_ns)) > 0
        }
        if waits:
            certain = not any(self._limits[name].in_flight for name in waits) or math.inf in waits.values()
            return Refusal(frozenset(waits), max(waits.values()), certain)
        self._start(permit_id, units, now_ns + self._flight_ns, now_ns)
        return None

    def settle(self, permit_id: str, report: LimitReport | None, now_ns: int, *, answered: bool) -> None:
        """End a call; without an answer its units stay under way until it can no longer arrive. Unknown calls only report."""
        self._advance(now_ns)
        flight = self._flights.get(permit_id)
        if report is not None:
            self._learn(report, flight, now_ns)
        if flight is not None and answered:
            del self._flights[permit_id]
            for name, count in flight.units.items():
                self._limits[name].in_flight -= count
                self._count(name, count, now_ns)

    def release(self, permit_id: str, now_ns: int) -> None:
        """Give the units of a call back that was never made."""
        flight = self._flights.pop(permit_id, None)
        for name, count in {} if flight is None else flight.units.items():
            limit = self._limits[name]
            limit.reserved -= count
            limit.in_flight -= count
            self._add(name, -count, now_ns)

    def block(self, name: str, seconds: float, now_ns: int) -> None:
        """Let nothing pass that belongs to this limit or scope; never shortens a block."""
        if name == self._scope or name in self._rules:
            until_ns = now_ns + round(min(max(seconds, 0.0), BLOCK_S_MAX) * 1e9)
            self._blocks[name] = max(self._blocks.get(name, 0), until_ns)

    def resize(self, sizes: Mapping[str, int]) -> None:
        """Take sizes that the other side stated; what is not positive is ignored."""
        for name, size in sizes.items():
            if name in self._limits and size >= 1:
                self._limits[name].size = size

    # What it looks like.

    def used(self, name: str, now_ns: int) -> float:
        """Return the units of a limit in use, those under way included."""
        self._advance(now_ns)
        return max(value for value, _, _ in self._levels(name, now_ns))

    def size(self, name: str) -> int:
        """Return the size of a limit."""
        return self._limits[name].size

    def blocks_s(self, now_ns: int) -> dict[str, float]:
        """Return what is blocked, and for how long."""
        self._advance(now_ns)
        return {name: (until_ns - now_ns) / 1e9 for name, until_ns in self._blocks.items()}

    @property
    def flights(self) -> int:
        """Number of calls under way."""
        return len(self._flights)

    # How it travels.

    def dump(self) -> dict[str, Any]:
        """Return a JSON-able view; it shares parts with this state."""
        return {
            "format": FORMAT,
            "calls": self._calls,
            "limits": {
                name: vars(limit) | {"slices": list(limit.slices.items())} for name, limit in self._limits.items()
            },
            "flights": {name: vars(flight) for name, flight in self._flights.items()},
            "blocks": self._blocks,
        }

    def restore(self, dumped: Mapping[str, Any]) -> None:
        """Take what `dump` returned, for the limits that the rules know; anything else raises before any of it counts."""
        if dumped["format"] != FORMAT:
            raise ValueError(
                f"limits were stored in format {dumped['format']!r}, not {FORMAT}: another version of this program runs"
            )
        calls = whole(dumped["calls"])
        limits = {name: _limit(known) for name in self._limits if (known := dumped["limits"].get(name)) is not None}
        flights = {
            permit_id: Flight(
                whole(flight["call"]),
                whole(flight["ends_ns"]),
                {name: whole(count) for name, count in flight["units"].items() if name in self._limits},
                {name: (whole(reserved), whole(under_way)) for name, (reserved, under_way) in flight["before"].items()},
            )
            for permit_id, flight in dumped["flights"].items()
        }
        blocks = {name: whole(until_ns) for name, until_ns in dumped["blocks"].items()}
        self._calls, self._flights, self._blocks = calls, flights, blocks
        self._limits |= limits

    def seed(self, shared: ScopeState, now_ns: int) -> None:
        """Begin alone where everybody stood: blocks and reports as they were, and this share of what all of them had used."""
        self._blocks = dict(shared._blocks)
        for name, limit in self._limits.items():
            known = shared._limits[name]
            limit.size = known.size
            limit.level, limit.level_ns = known.level, known.level_ns
            # Calls number from 1 here: each report from now on is newer.
            limit.report_ns, limit.report_call = known.report_ns, min(known.report_call, 0)
            self._count(name, math.ceil(shared._own(name, now_ns) * self._share), now_ns)

    def absorb(self, alone: ScopeState, alone_now_ns: int, now_ns: int) -> None:
        """Count what one did alone meanwhile, as if all of it had happened just now."""
        self._advance(now_ns)
        alone._advance(alone_now_ns)
        for name in self._limits:
            other = alone._limits[name]
            # Not what it was seeded with: that came from here.
            answered = math.ceil(max(0.0, alone._own(name, alone_now_ns) - other.in_flight))
            count = min(answered, other.reserved - other.in_flight)
            self._limits[name].reserved += count
            self._add(name, count, now_ns)
            self._count(name, count, now_ns)
        for permit_id, flight in alone._flights.items():
            # It is there already when Redis did what it was asked and only its answer was lost.
            if permit_id not in self._flights:
                self._start(permit_id, dict(flight.units), now_ns + flight.ends_ns - alone_now_ns, now_ns)
        for name, until_ns in alone._blocks.items():
            self.block(name, (until_ns - alone_now_ns) / 1e9, now_ns)

    def _start(self, permit_id: str, units: dict[str, int], ends_ns: int, now_ns: int) -> None:
        self._calls += 1
        before = {}
        for name, count in units.items():
            limit = self._limits[name]
            limit.reserved += count
            before[name] = (limit.reserved, limit.in_flight)
            limit.in_flight += count
            self._add(name, count, now_ns)
        self._flights[permit_id] = Flight(self._calls, ends_ns, units, before)

    def _advance(self, now_ns: int) -> None:
        """Let what was under way for too long count as answered, and forget what has expired."""
        for permit_id in [name for name, flight in self._flights.items() if flight.ends_ns <= now_ns]:
            flight = self._flights.pop(permit_id)
            for name, count in flight.units.items():
                self._limits[name].in_flight -= count
                self._count(name, count, flight.ends_ns)
        for name in [name for name, until_ns in self._blocks.items() if until_ns <= now_ns]:
            del self._blocks[name]
        for name, limit in self._limits.items():
            if limit.slices:
                # The first slice of which a part is still in some window: see `_slice_end_ns`.
                oldest = (now_ns - self._interval_ns[name]) // self._slice_ns[name]
                for number in [number for number in limit.slices if number < oldest]:
                    del limit.slices[number]

    def _count(self, name: str, count: int, now_ns: int) -> None:
        """Add units that were answered now."""
        limit = self._limits[name]
        if self._rules[name].counting is Counting.BUCKET:
            limit.answered = self._drained(name, limit.answered, limit.answered_ns, now_ns, share=self._share) + count
            limit.answered_ns = max(limit.answered_ns, now_ns)
        elif count:
            number = now_ns // self._slice_ns[name]
            limit.slices[number] = limit.slices.get(number, 0) + count

    def _add(self, name: str, count: int, now_ns: int) -> None:
        """Add units to what was reported, and to the pace."""
        limit = self._limits[name]
        limit.level, limit.level_ns = max(0.0, self._level(name, now_ns) + count), max(limit.level_ns, now_ns)
        limit.pace, limit.pace_ns = max(0.0, self._paced(name, now_ns) + count), max(limit.pace_ns, now_ns)

    def _learn(self, report: LimitReport, flight: Flight | None, now_ns: int) -> None:
        self.resize(report.sizes)
        for name, seconds in report.blocks.items():
            self.block(name, seconds, now_ns)
        reported = dict(report.used) | {
            name: max(0, self._limits[name].size - left)
            for name, left in report.remaining.items()
            if name in self._limits
        }
        for name, used in reported.items():
            if name not in self._limits:
                continue
            limit = self._limits[name]
            if flight is not None and name in flight.before and flight.call > limit.report_call:
                reserved, under_way = flight.before[name]
                level = float(used + limit.reserved - reserved + under_way)
                limit.report_call = flight.call
            elif used > max(value for value, _, _ in self._levels(name, now_ns)):
                level = float(used)
                limit.report_call = max(limit.report_call, 0)
            else:
                continue
            limit.level, limit.level_ns, limit.report_ns = level, now_ns, now_ns

    def _wait_s(self, name: str, count: int, priority: Priority, now_ns: int) -> float:
        """Return how long until the units fit, if nothing else happens and what is under way is answered now; 0: they fit."""
        wait_s = 0.0
        for used, room, expiry in self._levels(name, now_ns, priority):
            if used + count > room:
                wait_s = max(wait_s, math.inf if count > room else expiry(used + count - room))
        if priority is Priority.RECOVERY or self._known(name, now_ns):
            return wait_s
        # Not more at once than the burst, except of a call that costs more than that by itself.
        paced = self._paced(name, now_ns)
        burst = max(1.0, self._limits[name].size * self._share * self._rules[name].burst, count)
        return max(wait_s, (paced + count - burst) / self._rate(name, self._share))

    def _levels(
        self, name: str, now_ns: int, priority: Priority = Priority.NORMAL
    ) -> list[tuple[float, int, Callable[[float], float]]]:
        """Return what must fit: units used, room for all, and how long until so many units are free again."""
        limit = self._limits[name]
        bucket = self._rules[name].counting is Counting.BUCKET
        known = self._known(name, now_ns)
        levels: list[tuple[float, int, Callable[[float], float]]] = []
        if known:

            def reported_free(excess: float) -> float:
                if bucket:
                    return excess / self._rate(name, 1.0)
                return (limit.report_ns + self._interval_ns[name] - now_ns) / 1e9

            levels.append((self._level(name, now_ns), self._room(name, priority, 1.0), reported_free))
        # A window's report says it all, free calls included; a bucket's own count stands beside the reports.
        if bucket or not known or self._share < 1:

            def own_free(excess: float) -> float:
                return excess / self._rate(name, self._share) if bucket else self._expiry_s(name, excess, now_ns)

            levels.append((self._own(name, now_ns), self._room(name, priority, self._share), own_free))
        return levels

    def _expiry_s(self, name: str, excess: float, now_ns: int) -> float:
        slices = self._limits[name].slices
        for number in sorted(slices):
            excess -= slices[number]
            if excess <= 0:
                return (self._slice_end_ns(name, number) - now_ns) / 1e9
        return self._rules[name].interval_s

    def _own(self, name: str, now_ns: int) -> float:
        limit = self._limits[name]
        if self._rules[name].counting is Counting.BUCKET:
            return limit.in_flight + self._drained(name, limit.answered, limit.answered_ns, now_ns, share=self._share)
        return limit.in_flight + sum(limit.slices.values())

    def _level(self, name: str, now_ns: int) -> float:
        limit = self._limits[name]
        if self._rules[name].counting is Counting.BUCKET:
            return self._drained(name, limit.level, limit.level_ns, now_ns, share=1.0)
        return limit.level

    def _known(self, name: str, now_ns: int) -> bool:
        """Whether a report is young enough to say what others used."""
        limit = self._limits[name]
        return limit.report_call >= 0 and now_ns - limit.report_ns < self._interval_ns[name]

    def _room(self, name: str, priority: Priority, share: float) -> int:
        size = max(1, math.floor(self._limits[name].size * share))
        if priority is Priority.RECOVERY or not self._rules[name].headroom:
            return size
        # At least one unit is kept, except of a limit that has only one.
        return max(1, min(size - 1, math.floor(size * (1 - self._rules[name].headroom))))

    def _paced(self, name: str, now_ns: int) -> float:
        limit = self._limits[name]
        return self._drained(name, limit.pace, limit.pace_ns, now_ns, share=self._share)

    def _drained(self, name: str, level: float, since_ns: int, now_ns: int, *, share: float) -> float:
        return max(0.0, level - self._rate(name, share) * max(0, now_ns - since_ns) / 1e9)

    def _rate(self, name: str, share: float) -> float:
        return max(1, self._limits[name].size * share) / self._rules[name].interval_s

    def _slice_end_ns(self, name: str, number: int) -> int:
        """When units answered in a slice have left every window."""
        return (number + 1) * self._slice_ns[name] + self._interval_ns[name]


def _limit(known: Mapping[str, Any]) -> LimitState:
    numbers = {name: finite(value) for name, value in known.items() if name != "slices"}
    slices = {whole(slice_number): whole(count) for slice_number, count in known["slices"]}
    return LimitState(**numbers, slices=slices)
