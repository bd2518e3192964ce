"""Figures for Prometheus about orders; labels are from fixed sets."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from services.orders.desk import Desk
from services.orders.domain import Cause, Order, OrderState
from services.orders.errors import reason_of
from services.orders.journal.ledger import Change
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.runtime.errors import MidstreamError

ACK_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PREFIX: Final = "midstream_orders"


class OrdersMetrics(DeskObserver):
    """Counts what a desk tells; `refresh` sets what is measured and not counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, labels, registry=registry)

        self.events = counter("events", "Journal events", "kind", "cause")
        self.placements = counter("placements", "Requests to place by what became of them", "exchange", "outcome")
        self.ack_seconds = Histogram(
            f"{_PREFIX}_ack_seconds",
            "From sending a placement to its outcome",
            ("exchange",),
            buckets=ACK_BUCKETS_S,
            registry=registry,
        )
        self.ended = counter("ended", "Orders by the terminal state that they reached", "exchange", "state")
        self.denials = counter("denied", "Requests denied before the wire", "operation", "reason")
        self.open = gauge("open", "Orders that are not terminal", "exchange")
        self.unknown = gauge("unknown", "Orders whose outcome is unknown", "exchange")
        self.unknown_age = gauge("unknown_age_seconds", "Age of the oldest unknown outcome", "exchange")
        self.halts = counter("halted", "Orders halted because statements contradict what was sent", "exchange")
        self.returned = counter("returned", "Orders that were taken for not existing and are there", "exchange")
        self.external = counter("external", "Orders found that were not placed here", "exchange")
        self.reconciliations = counter("reconciliations", "Comparisons of books", "exchange", "result")
        self.differences = counter("reconciliation_differences", "What comparisons found", "exchange", "kind")
        self.blocked = gauge("blocked", "1 while nothing goes out to an exchange", "exchange")
        self.kill_switch = gauge("kill_switch", "1 while the kill switch is engaged")
        self.journal_trouble = gauge("journal_trouble", "1 while the journal cannot be written")
        self.following = gauge("following", "Orders that are being followed up")
        self.in_flight = gauge("in_flight", "Placements without an outcome")
        self.watchers = gauge("watchers", "Streams of changes being served")
        self.dead_man = counter(
            "dead_man_refreshes", "Refreshes of the exchanges' dead-man timers", "exchange", "result"
        )

    def begin(self, exchange: str) -> None:
        """Let counters that alerts watch begin at 0: the first event of a series that is born with it is no increase."""
        for counted in (self.halts, self.returned, self.external):
            counted.labels(exchange)
        for succeeded in (True, False):
            self.reconciliations.labels(exchange, _result(succeeded))
            self.dead_man.labels(exchange, _result(succeeded))
        self.differences.labels(exchange, "position")

    def refresh(self, desk: Desk, ports: Ports) -> None:
        """Set the gauges."""
        now_ns = ports.wall_ns()
        orders = desk.ledger.open_orders
        open_: Tally[str] = Tally(order.exchange for order in orders)
        unknown = [order for order in orders if order.state is OrderState.UNKNOWN and not order.sending]
        for exchange in desk.venues.names:
            self.begin(exchange)
            lost = [order for order in unknown if order.exchange == exchange]
            self.open.labels(exchange).set(open_[exchange])
            self.unknown.labels(exchange).set(len(lost))
            oldest_ns = min((order.created_ns for order in lost), default=now_ns)
            self.unknown_age.labels(exchange).set((now_ns - oldest_ns) / 1e9)
            self.blocked.labels(exchange).set(bool(desk.gate.blocked(exchange)))
        self.kill_switch.set(desk.switch.engaged)
        self.journal_trouble.set(bool(desk.ledger.trouble))
        self.following.set(desk.follower.following)
        self.in_flight.set(desk.placer.in_flight)
        self.watchers.set(desk.feed.watchers)

    def changed(self, change: Change) -> None:
        event, order = change.event, change.order
        self.events.labels(event.kind, event.cause.value).inc()
        if order.state.terminal and (change.before is None or not change.before.state.terminal):
            self.ended.labels(order.exchange, order.state.value).inc()
        if event.cause is Cause.RECONCILIATION:
            self.differences.labels(order.exchange, event.kind).inc()

    def placement_answered(self, order: Order, outcome: str, seconds: float) -> None:
        self.placements.labels(order.exchange, outcome).inc()
        self.ack_seconds.labels(order.exchange).observe(seconds)

    def external_found(self, order: Order) -> None:
        self.external.labels(order.exchange).inc()

    def halted(self, order: Order) -> None:
        self.halts.labels(order.exchange).inc()

    def came_back(self, order: Order) -> None:
        self.returned.labels(order.exchange).inc()

    def denied(self, operation: str, error: MidstreamError) -> None:
        self.denials.labels(operation, reason_of(error) or "other").inc()

    def reconciled(self, exchange: str, succeeded: bool) -> None:
        self.reconciliations.labels(exchange, _result(succeeded)).inc()

    def positions_differ(self, exchange: str, differences: list[str]) -> None:
        self.differences.labels(exchange, "position").inc(len(differences))

    def dead_man_refreshed(self, exchange: str, succeeded: bool) -> None:
        self.dead_man.labels(exchange, _result(succeeded)).inc()


def _result(succeeded: bool) -> str:
    return "ok" if succeeded else "failed"
