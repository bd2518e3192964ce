"""Figures for Prometheus: names, units, and how engines hand theirs to the server that exposes them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

logger = logging.getLogger(__name__)

HANDLING_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Figure:
    """One number that an engine or a server reports under a fixed name."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str


FIGURES: Final[tuple[Figure, ...]] = (
    Figure("midstream_queue_backlog_records", "gauge", "Records published that some sink has not committed"),
    Figure("midstream_queue_backlog_bytes", "gauge", "Bytes published that some sink has not committed"),
    Figure("midstream_queue_backpressured", "gauge", "1 while the producer waits for room in the queue"),
    Figure("midstream_queue_wait_seconds_total", "counter", "Time the producer waited for room in the queue"),
    Figure("midstream_queue_entries_total", "counter", "Entries appended to the queue"),
    Figure("midstream_queue_appended_bytes_total", "counter", "Bytes appended to the queue"),
    Figure("midstream_queue_reconnects_total", "counter", "Times the connection to Redis was made again"),
    Figure("midstream_lag_records", "gauge", "Records between the newest one and this consumer's position"),
    Figure("midstream_lag_seconds", "gauge", "Data time between the newest record and this consumer's position"),
    Figure("midstream_pacing_late_p50_seconds", "gauge", "Median lateness of paced ticks over the last interval"),
    Figure("midstream_pacing_late_p99_seconds", "gauge", "99th percentile of that lateness over the last interval"),
    Figure("midstream_pacing_late_max_seconds", "gauge", "Largest such lateness in the last interval"),
    Figure("midstream_pacing_speed", "gauge", "Speed asked for, as a factor of real time; 0 is as fast as possible"),
    Figure("midstream_replay_sequence", "gauge", "Sequence of the last record published or committed"),
    Figure("midstream_replay_revision", "gauge", "Revision of the control journal that is in effect"),
    Figure("midstream_replay_mode", "gauge", "1 historical, 2 live"),
    Figure("midstream_replay_paused", "gauge", "1 while paused"),
    Figure("midstream_replay_rows_total", "counter", "Rows and frames taken in"),
    Figure("midstream_replay_rejected_total", "counter", "Rows and frames that could not be used"),
    Figure("midstream_replay_skipped_total", "counter", "Rows outside of the requested time or tickers"),
    Figure("midstream_replay_gaps_total", "counter", "Gap markers published"),
    Figure("midstream_live_connected", "gauge", "1 while the live feed is connected"),
    Figure("midstream_live_reconnects_total", "counter", "Times the live feed was connected again"),
    Figure("midstream_live_lost_frames_total", "counter", "Frames dropped because a bound was reached"),
    Figure("midstream_live_queue_frames", "gauge", "Frames received and not yet ordered"),
    Figure("midstream_price_mids_total", "counter", "Mid prices written"),
    Figure("midstream_price_latency_filtered_total", "counter", "Ticks whose latency was above the threshold"),
    Figure("midstream_price_missing_side_total", "counter", "Ticks without bid or ask"),
    Figure("midstream_price_rejected_total", "counter", "Rejections written"),
    Figure("midstream_price_commit_seconds_total", "counter", "Time spent in making the logs durable"),
    Figure("midstream_price_commits_total", "counter", "Commits of the logs"),
    Figure("midstream_subscribers", "gauge", "Streams being served"),
    Figure("midstream_subscribers_disconnected_total", "counter", "Streams ended because the client was too slow"),
    Figure("midstream_unreadable_entries_total", "counter", "Entries in Redis that could not be read and were skipped"),
    Figure("midstream_engine_restarts_total", "counter", "Times the engine was started again"),
    Figure("midstream_web_connections", "gauge", "Connections of the web port"),
    Figure("midstream_web_streams", "gauge", "Event streams and websockets of the web port"),
    Figure("midstream_web_ended_total", "counter", "Connections, streams and requests of the web port that a limit ended or refused"),
    Figure("midstream_serving", "gauge", "1 while every service of this process is SERVING"),
    Figure("midstream_tls_certificate_not_after_seconds", "gauge", "When the certificate in use ends, as Unix time"),
    Figure("midstream_tls_files_unusable", "gauge", "1 while TLS files have changed into what cannot be served with"),
    Figure("midstream_access_troubles", "gauge", "Ways to authenticate that go by what they knew last: keys or an issuer are away"),
    Figure("midstream_insecure", "gauge", "1 while it listens beyond loopback without TLS or without an authenticator"),
)  # fmt: skip
"""Of engines and of every server. Other processes declare theirs beside the code that measures them."""


class Metrics:
    """The metrics of one process. Figures appear when they are first given a value; nothing else creates series."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._known = {figure.name: figure for figure in FIGURES}
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._totals: dict[tuple[str, str], float] = {}
        call = ("grpc_type", "grpc_service", "grpc_method")
        self.started = Counter("grpc_server_started", "Calls started on the server", call, registry=registry)
        self.handled = Counter(
            "grpc_server_handled", "Calls completed on the server", (*call, "grpc_code"), registry=registry
        )
        self.received = Counter("grpc_server_msg_received", "Messages received from clients", call, registry=registry)
        self.sent = Counter("grpc_server_msg_sent", "Messages sent to clients", call, registry=registry)
        self.handling = Histogram(
            "grpc_server_handling_seconds", "Time until a call was completed", call,
            buckets=HANDLING_BUCKETS_S, registry=registry,
        )  # fmt: skip

    def declare(self, figures: Iterable[Figure]) -> None:
        """Add the figures that a process measures beside the common ones; declaring the same again changes nothing."""
        for figure in figures:
            if self._known.setdefault(figure.name, figure) != figure:
                raise ValueError(f"{figure.name} is declared as something else already")

    def set(self, name: str, value: float) -> None:
        """Set a gauge by its name."""
        self._gauge(name).set(value)

    def add(self, name: str, amount: float = 1.0) -> None:
        """Raise a counter by its name (with `_total`)."""
        self._counter(name).inc(amount)

    def take(self, values: Mapping[str, Any], *, origin: str) -> None:
        """Take over the figures an engine reported: gauges as they are, counters as totals since that engine started.

        `origin` tells engines (and restarts of one, by pid) apart, so that a counter that starts again at zero goes on
        from where it was. Unknown names are ignored with a warning.
        """
        for name, value in values.items():
            figure = self._known.get(name)
            if figure is None or isinstance(value, bool) or not isinstance(value, (int, float)):
                logger.warning("figure ignored: name=%s", name)
            elif figure.kind == "gauge":
                self.set(name, value)
            else:
                before = self._totals.get((origin, name), 0.0)
                self._totals[origin, name] = value
                self.add(name, value - before if value >= before else value)

    def _gauge(self, name: str) -> Gauge:
        gauge = self._gauges.get(name)
        if gauge is None:
            figure = self._known[name]
            if figure.kind != "gauge":
                raise KeyError(f"{name} is a counter: use add()")
            gauge = self._gauges[name] = Gauge(name, figure.help, registry=self.registry)
        return gauge

    def _counter(self, name: str) -> Counter:
        counter = self._counters.get(name)
        if counter is None:
            figure = self._known[name]
            if figure.kind != "counter":
                raise KeyError(f"{name} is a gauge: use set()")
            counter = self._counters[name] = Counter(name.removesuffix("_total"), figure.help, registry=self.registry)
        return counter
