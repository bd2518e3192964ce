"""The metrics of a process: what is declared is there from the start, and engines hand theirs to the server that exposes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from services.runtime.figures import Counted, Figure, Measured
from services.runtime.log_fields import fields

__all__ = ["BUILD_INFO", "CALL_FIGURES", "SERVER_FIGURES", "Figure", "Metrics"]

logger = logging.getLogger(__name__)

# When each of the series began would double what is scraped, and `process_start_time_seconds` says it for all of them.
disable_created_metrics()  # type: ignore[no-untyped-call]

T = TypeVar("T")

HANDLING_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CALL: Final = ("grpc_type", "grpc_service", "grpc_method")

STARTED: Final = Figure("grpc_server_started_total", "counter", "Calls started on the server", _CALL)
HANDLED: Final = Figure("grpc_server_handled_total", "counter", "Calls completed on the server", (*_CALL, "grpc_code"))
RECEIVED: Final = Figure("grpc_server_msg_received_total", "counter", "Messages received from clients", _CALL)
SENT: Final = Figure("grpc_server_msg_sent_total", "counter", "Messages sent to clients", _CALL)
HANDLING: Final = Figure(
    "grpc_server_handling_seconds", "histogram", "Time until a call was completed", _CALL, HANDLING_BUCKETS_S
)
CALL_FIGURES: Final = (STARTED, HANDLED, RECEIVED, SENT, HANDLING)

BUILD_INFO: Final = Figure(
    "midstream_build_info", "gauge", "1, with what is running here as labels", ("version", "python", "revision")
)

SERVER_FIGURES: Final = (
    BUILD_INFO,
    Figure("midstream_serving", "gauge", "1 while every service of this process is SERVING"),
    Figure("midstream_tls_certificate_not_after_seconds", "gauge", "When the certificate in use ends, as Unix time", born=False),
    Figure("midstream_tls_files_unusable", "gauge", "1 while TLS files have changed into what cannot be served with"),
    Figure("midstream_access_troubles", "gauge", "Ways to authenticate that go by what they knew last: keys or an issuer are away"),
    Figure("midstream_insecure", "gauge", "1 while it listens beyond loopback without TLS or without an authenticator"),
)  # fmt: skip
"""Of every server. All others are declared beside the code that measures them."""


class Metrics:
    """The metrics of one process: there from their declaration on, at 0 where that is true, so that the first event is an increase."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._known: dict[str, Figure] = {}
        self._made: dict[str, Any] = {}
        self._totals: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, str], list[float]] = {}
        self.started = self.counter(STARTED)
        self.handled = self.counter(HANDLED)
        self.received = self.counter(RECEIVED)
        self.sent = self.counter(SENT)
        self.handling = self.histogram(HANDLING)
        self.declare(SERVER_FIGURES)

    def declare(self, figures: Iterable[Figure]) -> None:
        """Add figures that this process measures; declaring the same again changes nothing."""
        for figure in figures:
            if figure.kind == "counter":
                self.counter(figure)
            elif figure.kind == "histogram":
                self.counted(figure) if figure.reported else self.histogram(figure)
            elif figure.born:
                self.gauge(figure)
            else:
                self.measured(figure)

    def counter(self, figure: Figure) -> Counter:
        """Return the counter of a figure; with labels, whoever knows their values lets them begin."""
        return self._one(figure, figure.counter)

    def gauge(self, figure: Figure) -> Gauge:
        """Return the gauge of a figure that begins at 0, or whose labels say what is known."""
        return self._one(figure, figure.gauge)

    def histogram(self, figure: Figure) -> Histogram:
        """Return the histogram of a figure."""
        return self._one(figure, figure.histogram)

    def counted(self, figure: Figure) -> Counted:
        """Return the histogram of a figure whose values are counted by an engine."""
        return self._one(figure, figure.counted)

    def measured(self, figure: Figure) -> Measured:
        """Return the gauge or counter of a figure that has series only for what is known."""
        return self._one(figure, figure.measured)

    def set(self, name: str, value: float) -> None:
        """Set a gauge without labels by its name."""
        gauge = self._made[self._of_kind(name, "gauge").name]
        if isinstance(gauge, Measured):
            gauge.replace({(): value})
        else:
            gauge.set(value)

    def forget(self, name: str) -> None:
        """Say that the value of a gauge is not known any more, by its name."""
        gauge = self._made[self._of_kind(name, "gauge").name]
        if isinstance(gauge, Measured):
            gauge.replace({})

    def add(self, name: str, amount: float = 1.0) -> None:
        """Raise a counter without labels by its name (with `_total`)."""
        self._made[self._of_kind(name, "counter").name].inc(amount)

    def take(self, values: Mapping[str, Any], *, origin: str) -> None:
        """Take over the figures an engine reported: gauges as they are, counters and histograms as totals since that engine started.

        `origin` tells engines (and restarts of one, by pid) apart, so that a counter that starts again at zero goes on
        from where it was. None says that a gauge is not known now. Unknown names are ignored with a warning.
        """
        for name, value in values.items():
            figure = self._known.get(name)
            if figure is not None and figure.kind == "gauge" and value is None:
                self.forget(name)
            elif figure is not None and figure.reported and isinstance(value, list):
                self._take_counts(figure, origin, value)
            elif (
                figure is None
                or figure.kind == "histogram"
                or isinstance(value, bool)
                or not isinstance(value, (int, float))
            ):
                logger.warning("figure ignored", extra=fields(name=name))
            elif figure.kind == "gauge":
                self.set(name, value)
            else:
                before = self._totals.get((origin, name), 0.0)
                self._totals[origin, name] = value
                self.add(name, value - before if value >= before else value)

    def _take_counts(self, figure: Figure, origin: str, counts: list[float]) -> None:
        """Add what an engine counted since the last time: values up to each bound, all, and their sum."""
        before = self._counts.get((origin, figure.name))
        self._counts[origin, figure.name] = counts
        if before is not None and counts[-2] >= before[-2]:
            counts = [now - then for now, then in zip(counts, before, strict=True)]
        self.counted(figure).add(counts)

    def _of_kind(self, name: str, kind: str) -> Figure:
        figure = self._known[name]
        if figure.kind != kind:
            raise KeyError(f"{name} is a {figure.kind}, not a {kind}")
        return figure

    def _one(self, figure: Figure, make: Callable[[CollectorRegistry], T]) -> T:
        if self._known.setdefault(figure.name, figure) != figure:
            raise ValueError(f"{figure.name} is declared as something else already")
        if figure.name not in self._made:
            self._made[figure.name] = make(self.registry)
        made: T = self._made[figure.name]
        return made
