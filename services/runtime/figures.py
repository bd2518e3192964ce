"""What a process measures, declared once: names, kinds, labels and sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["Counted", "Figure", "Kind", "Measured", "Values"]

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Figure:
    """One name, with what it means wherever it is exposed."""

    name: str
    """As it is exposed; counters end in `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, in the unit of its name."""
    born: bool = True
    """Whether it begins at 0. False for a gauge that nobody knows before it is measured: 0 would be a lie, no series is none."""
    reported: bool = False
    """Whether an engine counts it; for a histogram."""

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Make the counter in a registry."""
        self._must_be("counter")
        return Counter(self.name.removesuffix("_total"), self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Make the gauge in a registry; without labels it begins at 0."""
        self._must_be("gauge")
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Make the histogram in a registry."""
        self._must_be("histogram")
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)

    def measured(self, registry: CollectorRegistry) -> Measured:
        """Make a gauge or a counter in a registry that has series only for what is known."""
        if self.kind == "histogram":
            self._must_be("gauge")
        return Measured(self, registry)

    def counted(self, registry: CollectorRegistry) -> Counted:
        """Make a histogram in a registry whose values are counted elsewhere."""
        self._must_be("histogram")
        return Counted(self, registry)

    def _must_be(self, kind: Kind) -> None:
        if self.kind != kind:
            raise KeyError(f"{self.name} is a {self.kind}, not a {kind}")


Values = Mapping[tuple[str, ...], float]
"""By the values of the labels."""


class Measured(Collector):
    """A gauge or a counter without a memory: it has series for what is known, and they come and go. Set from one thread, read from any."""

    def __init__(self, figure: Figure, registry: CollectorRegistry) -> None:
        self._figure = figure
        self._read: Callable[[], Values] = dict
        registry.register(self)

    def replace(self, values: Values) -> None:
        """Take these values for all that is known from now on."""
        kept = dict(values)
        self._read = lambda: kept

    def follow(self, read: Callable[[], Values]) -> None:
        """Ask `read` from now on, whenever somebody scrapes: called from another thread, quick, never raises."""
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return what is known now."""
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        return (family,)

    def describe(self) -> Iterable[Metric]:
        """Return the name alone, for the registry."""
        return (self._family(),)

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        figure = self._figure
        made = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
        return made(figure.name, figure.help, labels=figure.labels)


class Counted(Collector):
    """A histogram whose values are counted elsewhere. Added to from one thread, read from any."""

    def __init__(self, figure: Figure, registry: CollectorRegistry) -> None:
        self._figure = figure
        self._totals = (0.0,) * (len(figure.buckets) + 2)
        registry.register(self)

    def add(self, amounts: Sequence[float]) -> None:
        """Add counts of values up to each bound and of all, and their sum."""
        self._totals = tuple(total + amount for total, amount in zip(self._totals, amounts, strict=True))

    def collect(self) -> Iterable[Metric]:
        """Return what was added so far."""
        figure, totals = self._figure, self._totals
        bounds = [*map(floatToGoString, figure.buckets), "+Inf"]
        return (
            HistogramMetricFamily(
                figure.name, figure.help, buckets=list(zip(bounds, totals, strict=False)), sum_value=totals[-1]
            ),
        )

    def describe(self) -> Iterable[Metric]:
        """Return the name alone, for the registry."""
        return (HistogramMetricFamily(self._figure.name, self._figure.help),)
