"""Figures for Prometheus about deals, prices and pages."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from clients.resilience.ports import WallNs
from services.reporting.engine.alerts import AlertKind
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.read_model import View
from services.reporting.engine.report import ReferenceState
from services.reporting.engine.snapshot import Arrivals
from services.runtime.figures import Figure
from services.runtime.metrics import Metrics

__all__ = ["FIGURES", "Measures"]

MINUTE_NS: Final = 60_000_000_000

ALERTS: Final = Figure("midstream_reporting_alerts", "gauge", "Alerts of a kind that are raised now", ("kind",))
FIGURES: Final = (
    ALERTS,
    Figure("midstream_reporting_deals_total", "counter", "Deals that reached the figures"),
    Figure("midstream_reporting_deals_per_minute", "gauge", "Deals that reached the figures in the last minute"),
    Figure("midstream_reporting_execution_lag_seconds", "gauge", "From execution of the newest deal to the page", born=False),
    Figure("midstream_reporting_receive_lag_seconds", "gauge", "From receipt of the newest deal to the page", born=False),
    Figure("midstream_reporting_price_age_seconds", "gauge", "Age of the oldest price of an hour that is traded", born=False),
    Figure("midstream_reporting_pages_open", "gauge", "Event streams of dashboards"),
    Figure("midstream_reporting_listener_receiving", "gauge", "1 while the deals listener is connected and hears deals", born=False),
    Figure("midstream_reporting_spooled_messages", "gauge", "Messages received that are not in the database yet", born=False),
    Figure("midstream_reporting_database_reads_total", "counter", "Reads of the database for figures"),
)  # fmt: skip


class Measures:
    """Turns what the read model sees into metrics."""

    def __init__(self, metrics: Metrics, *, wall_ns: WallNs) -> None:
        metrics.declare(FIGURES)
        self._alerts = metrics.gauge(ALERTS)
        for kind in AlertKind:
            # A rule that looks for an alert has to find a series before the first one.
            self._alerts.labels(str(kind))
        self._metrics = metrics
        self._wall_ns = wall_ns
        self._reads = 0
        # At most one entry per look at the database.
        self._recent: deque[tuple[int, int]] = deque(maxlen=1_000)

    def arrived(self, arrivals: Arrivals) -> None:
        """Take note of deals that a page can show from now on."""
        now_ns = self._wall_ns()
        self._recent.append((now_ns, arrivals.deals))
        self._metrics.add("midstream_reporting_deals_total", arrivals.deals)
        self._metrics.set("midstream_reporting_execution_lag_seconds", (now_ns - arrivals.executed_ns) / 1e9)
        self._metrics.set("midstream_reporting_receive_lag_seconds", (now_ns - arrivals.received_ns) / 1e9)

    def take(self, view: View, *, reads: int, pages: int) -> None:
        """Set what is measured once a second."""
        now_ns = self._wall_ns()
        while self._recent and now_ns - self._recent[0][0] > MINUTE_NS:
            self._recent.popleft()
        self._metrics.set("midstream_reporting_deals_per_minute", sum(count for _, count in self._recent))
        self._metrics.set("midstream_reporting_pages_open", pages)
        self._metrics.add("midstream_reporting_database_reads_total", reads - self._reads)
        self._reads = reads
        raised = Counter(alert.kind for alert in view.alerts)
        for kind in AlertKind:
            self._alerts.labels(str(kind)).set(raised[kind])
        standing = view.snapshot.listener
        self._metrics.set("midstream_reporting_listener_receiving", view.listener is ListenerState.RECEIVING)
        self._metrics.set("midstream_reporting_spooled_messages", standing.spooled)
        ages = [
            now_ns - reference.update_ns
            for day, delivery in view.snapshot.days.items()
            for label, reference in delivery.references.items()
            if view.states.get((day, label)) in (ReferenceState.CURRENT, ReferenceState.STALE)
        ]
        if ages:
            self._metrics.set("midstream_reporting_price_age_seconds", max(ages) / 1e9)
        else:
            self._metrics.forget("midstream_reporting_price_age_seconds")
