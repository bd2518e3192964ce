"""The figures of several engines as those of one: a server shows its session, in however many partitions that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from services.runtime.engine_usage import EngineMetrics
from services.runtime.figures import Figure, Values

_WORST: Final = frozenset({"midstream_lag_seconds"})
"""Gauges of which the largest counts; all others add up."""


class PartitionFigures:
    """Adds up what the engines of a session report."""

    def __init__(self, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._gauges: frozenset[str] = frozenset()
        self._known: dict[str, dict[int, float]] = {}
        self._reads: dict[str, dict[int, Callable[[], Values]]] = {}

    def of(self, partition: int) -> EngineMetrics:
        """Return where the engine of one partition reports to."""
        return _OfPartition(self, partition)

    def declare(self, figures: Iterable[Figure]) -> None:
        """Say what the engines report."""
        declared = tuple(figures)
        self._gauges |= {figure.name for figure in declared if figure.kind == "gauge"}
        self._metrics.declare(declared)

    def follow(self, figure: Figure, partition: int, read: Callable[[], Values]) -> None:
        """Ask the engines' own readers when somebody scrapes."""
        self._reads.setdefault(figure.name, {})[partition] = read
        self._metrics.measured(figure).follow(lambda: self._sum(figure.name))

    def add(self, name: str, amount: float) -> None:
        """Raise a counter."""
        self._metrics.add(name, amount)

    def take(self, partition: int, values: Mapping[str, Any], origin: str) -> None:
        """Take over what an engine reported; gauges become those of the session."""
        for name in self._gauges & values.keys():
            self._known.setdefault(name, {})[partition] = values[name] or 0.0
        gauges = {
            name: (max if name in _WORST else sum)(self._known[name].values()) for name in self._gauges & values.keys()
        }
        self._metrics.take({**values, **gauges}, origin=origin)

    def _sum(self, name: str) -> Values:
        total: dict[tuple[str, ...], float] = {}
        for read in list(self._reads[name].values()):
            for labels, value in read().items():
                total[labels] = total.get(labels, 0.0) + value
        return total


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
