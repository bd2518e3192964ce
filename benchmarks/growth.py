"""G8: what grows with the input. Memory must not, time only in proportion."""

from __future__ import annotations

from typing import Final

from benchmarks.context import Context
from benchmarks.pipeline import LARGE, LARGE_PAIRS, median, ours
from benchmarks.processes import Usage
from benchmarks.results import Goal, Result

SMALL: Final = 1_000_000
"""Ticks of the small input. Less would not fill the queue, whose bounds are part of what must not be passed."""
MEBIBYTE: Final = 2**20

Roles = dict[str, Usage]


def g8(context: Context) -> list[Result]:
    """What grows with the input: memory must not, time only in proportion."""
    small = context.data_of(SMALL)
    large = context.data_of(max(LARGE * context.ticks, LARGE * SMALL))
    peaks: list[float] = []
    times: list[float] = []
    roles: list[tuple[Roles, Roles]] = []
    for _ in context.rounds(min(context.pairs, LARGE_PAIRS)):
        few, many = ours(context, small), ours(context, large)
        before, after = few.finished.by_role(), many.finished.by_role()
        roles.append((before, after))
        peaks.append(max(after[role].peak_rss_bytes / before[role].peak_rss_bytes for role in before))
        times.append((many.seconds / large.count) / (few.seconds / small.count))
        context.say(f"  peak memory {peaks[-1]:.2f}, time per tick {times[-1]:.2f}")
    grown = {role: _peak(roles, 1, role) / _peak(roles, 0, role) for role in roles[0][0] if role}
    shown = ", ".join(
        f"{role} {_peak(roles, 0, role):.0f} -> {_peak(roles, 1, role):.0f} ({grown[role]:.2f}x)"
        for role in sorted(grown, key=lambda role: -grown[role])
    )
    sizes = f"{large.count / 1e6:g}M against {small.count / 1e6:g}M ticks"
    return [
        Result(
            "G8",
            "peak memory, worst process",
            sizes,
            tuple(peaks),
            Goal(1.1, 1.0, lower_is_better=True),
            note=f"peak RSS in MiB, the one that grows most first: {shown}",
        ),
        Result("G8b", "time per tick", sizes, tuple(times), Goal(1.2, 1.0, lower_is_better=True)),
    ]


def _peak(roles: list[tuple[Roles, Roles]], which: int, role: str) -> float:
    return median([pair[which][role].peak_rss_bytes for pair in roles]) / MEBIBYTE
