"""The figures of several engines as those of one: a server shows its session, in however many partitions that is.

What a figure means stays true, so that boards and alerts need not know of partitions: what is counted adds up, what is measured of one
engine is that of the engine where it is worst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from services.runtime.engine_usage import CPU, MEMORY, EngineMetrics
from services.runtime.figures import Figure, Values

__all__ = ["BothMetrics", "PartitionFigures"]

_WORST: Final[Mapping[str, Callable[[Iterable[float]], float]]] = {
    "midstream_lag_seconds": max,
    "midstream_queue_backpressured": max,
    "midstream_pacing_late_p50_seconds": max,
    "midstream_pacing_late_p99_seconds": max,
    "midstream_pacing_late_max_seconds": max,
    "midstream_pacing_behind_seconds": max,
    "midstream_pacing_speed": max,
    "midstream_replay_mode": max,
    "midstream_replay_paused": max,
    # Each engine has a bound of its own.
    "midstream_live_queue_frames": max,
    "midstream_live_connected": min,
    "midstream_replay_revision": min,
    MEMORY.name: max,
}
"""Gauges of which one engine's counts; all others add up."""

_AT_ONCE: Final = frozenset({"midstream_live_reconnects_total", "midstream_queue_reconnects_total"})
"""Counters of what comes to all engines at the same moment: that of the partition which had the most of it counts."""


class PartitionFigures:
    """Puts together what the engines of a session report."""

    def __init__(self, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._gauges: dict[str, Figure] = {}
        self._known: dict[str, dict[int, float]] = {}
        self._reads: dict[str, dict[int, Callable[[], Values]]] = {}
        self._busiest = _Busiest()
        self._most = {name: _Most() for name in _AT_ONCE}

    def of(self, partition: int) -> EngineMetrics:
        """Return where the engine of one partition reports to."""
        return _OfPartition(self, partition)

    def drop(self, partition: int) -> None:
        """Say that the engine of a partition has ended, or is another server's now: what it measured last is true of nobody."""
        gone = [name for name, known in self._known.items() if known.pop(partition, None) is not None]
        self._metrics.take({name: self._of_all(name) for name in gone}, origin="")
        for reads in self._reads.values():
            reads.pop(partition, None)

    def declare(self, figures: Iterable[Figure]) -> None:
        """Say what the engines report."""
        declared = tuple(figures)
        self._gauges |= {figure.name: figure for figure in declared if figure.kind == "gauge"}
        self._metrics.declare(declared)

    def follow(self, figure: Figure, partition: int, read: Callable[[], Values]) -> None:
        """Ask the engines' own readers when somebody scrapes."""
        self._reads.setdefault(figure.name, {})[partition] = read
        self._metrics.measured(figure).follow(lambda: self._read(figure))

    def add(self, name: str, amount: float) -> None:
        """Raise a counter."""
        self._metrics.add(name, amount)

    def take(self, partition: int, values: Mapping[str, Any], origin: str) -> None:
        """Take over what an engine reported; gauges become those of the session."""
        gauges = self._gauges.keys() & values.keys()
        for name in gauges:
            known = self._known.setdefault(name, {})
            if values[name] is None:
                known.pop(partition, None)
            else:
                known[partition] = values[name]
        for name in _AT_ONCE & values.keys():
            self._metrics.add(name, self._most[name].raised(partition, values[name], origin))
        others = {name: value for name, value in values.items() if name not in _AT_ONCE}
        self._metrics.take(others | {name: self._of_all(name) for name in gauges}, origin=origin)

    def _of_all(self, name: str) -> float | None:
        known = self._known[name].values()
        if known:
            return _put_together(name, known)
        return 0.0 if self._gauges[name].born else None

    def _read(self, figure: Figure) -> Values:
        # Called from the thread of a scrape, while engines come and go.
        found = {partition: read() for partition, read in tuple(self._reads[figure.name].items())}
        values = {partition: value[()] for partition, value in found.items() if () in value}
        if figure.name == CPU.name:
            return {(): self._busiest.total(values)}
        return {(): _put_together(figure.name, values.values())} if values else {}


def _put_together(name: str, values: Iterable[float]) -> float:
    return _WORST[name](values) if name in _WORST else sum(values)


class _Busiest:
    """Adds up what the busiest engine took between two looks: one that takes a whole core is told, and ten that take a tenth are not."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._total = 0.0

    def total(self, values: Mapping[int, float]) -> float:
        """Take in what each has taken since it began; return the sum."""
        # One that was not there before, or began again, took all of it since the last look at most.
        taken = (
            value - before if value >= (before := self._seen.get(at, 0.0)) else value for at, value in values.items()
        )
        self._total += max(taken, default=0.0)
        self._seen = dict(values)
        return self._total


class _Most:
    """Counts as often as the partition that it has come to most often, over restarts and moves of its engines."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._counts: dict[int, float] = {}
        self._most = 0.0

    def raised(self, partition: int, value: float, origin: str) -> float:
        """Take in what an engine has counted since it began; return by how much the most has grown."""
        before = self._seen.get(origin, 0.0)
        self._seen[origin] = value
        self._counts[partition] = self._counts.get(partition, 0.0) + (value - before if value >= before else value)
        most, self._most = self._most, max(self._most, self._counts[partition])
        return self._most - most


class _OfPartition:
    def __init__(self, figures: PartitionFigures, partition: int) -> None:
        self._figures = figures
        self._partition = partition

    def declare(self, figures: Iterable[Figure]) -> None:
        self._figures.declare(figures)

    def measured(self, figure: Figure) -> _Measured:
        return _Measured(self._figures, figure, self._partition)

    def add(self, name: str, amount: float = 1.0) -> None:
        self._figures.add(name, amount)

    def take(self, values: Mapping[str, Any], *, origin: str) -> None:
        self._figures.take(self._partition, values, origin)


class _Measured:
    def __init__(self, figures: PartitionFigures, figure: Figure, partition: int) -> None:
        self._figures = figures
        self._figure = figure
        self._partition = partition

    def follow(self, read: Callable[[], Values], /) -> None:
        self._figures.follow(self._figure, self._partition, read)


class BothMetrics:
    """Has an engine's figures shown in two places: by itself, and among those of its session."""

    def __init__(self, first: EngineMetrics, second: EngineMetrics) -> None:
        self._both = (first, second)

    def declare(self, figures: Iterable[Figure]) -> None:
        """Say what the engine reports."""
        declared = tuple(figures)
        for each in self._both:
            each.declare(declared)

    def measured(self, figure: Figure) -> _MeasuredTwice:
        """Return what a figure is read from when somebody scrapes."""
        return _MeasuredTwice(self._both, figure)

    def add(self, name: str, amount: float = 1.0) -> None:
        """Raise a counter."""
        for each in self._both:
            each.add(name, amount)

    def take(self, values: Mapping[str, Any], *, origin: str) -> None:
        """Take over what the engine reported."""
        for each in self._both:
            each.take(values, origin=origin)


class _MeasuredTwice:
    def __init__(self, both: tuple[EngineMetrics, ...], figure: Figure) -> None:
        self._measured = tuple(each.measured(figure) for each in both)

    def follow(self, read: Callable[[], Values], /) -> None:
        for each in self._measured:
            each.follow(read)
