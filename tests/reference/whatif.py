"""What two latency models change, counted in the plain way: pair by pair and nanosecond by nanosecond."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """One tick: its arrival under both models, and its mid where it has one. Ticks stand in the order of files and rows."""

    event_ns: int
    arrivals_ns: tuple[int, int]
    ticker: str
    mid: float | None

    def is_late(self, model: int, threshold_ns: int) -> bool:
        """Tell whether it is later than the threshold."""
        return self.arrivals_ns[model] - self.event_ns > threshold_ns


def order(ticks: Sequence[Tick], model: int) -> list[int]:
    """Return the numbers of the ticks in the order in which they arrive."""
    return sorted(range(len(ticks)), key=lambda number: (ticks[number].arrivals_ns[model], number))


def inversions(ticks: Sequence[Tick]) -> Counter[tuple[str, str]]:
    """Count the pairs whose order differs, by ticker of the one that was first and of the other."""
    after = {number: place for place, number in enumerate(order(ticks, 1))}
    before = order(ticks, 0)
    return Counter(
        (ticks[one].ticker, ticks[other].ticker)
        for place, one in enumerate(before)
        for other in before[place + 1 :]
        if after[one] > after[other]
    )


def mids(ticks: Sequence[Tick], ticker: str, model: int, threshold_ns: int) -> list[Tick]:
    """Return the ticks of a ticker that give a mid, in the order of arrival."""
    ordered = (ticks[number] for number in order(ticks, model))
    return [
        tick
        for tick in ordered
        if tick.ticker == ticker and tick.mid is not None and not tick.is_late(model, threshold_ns)
    ]


def window(ticks: Sequence[Tick], ticker: str, threshold_ns: int) -> tuple[int, int]:
    """Return from when there is a mid under both models, and when the last tick arrives under the model that ends first."""
    given = [mids(ticks, ticker, model, threshold_ns) for model in (0, 1)]
    if not all(given):
        return 0, 0
    begin = max(found[0].arrivals_ns[model] for model, found in enumerate(given))
    return begin, min(max(tick.arrivals_ns[model] for tick in ticks) for model in (0, 1))


def ages(ticks: Sequence[Tick], ticker: str, model: int, threshold_ns: int) -> list[int]:
    """Return how old the latest mid was at each nanosecond, sorted."""
    begin, end = window(ticks, ticker, threshold_ns)
    found = mids(ticks, ticker, model, threshold_ns)
    return sorted(
        time_ns - [tick for tick in found if tick.arrivals_ns[model] <= time_ns][-1].event_ns
        for time_ns in range(begin, end)
    )
