"""Figures for Prometheus about orders; labels are from fixed sets."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from services.orders.desk import Desk
from services.orders.domain import Cause, Order, OrderState
from services.orders.domain.events import KINDS
from services.orders.engine.outcomes import Fate
from services.orders.errors import Reason, reason_of
from services.orders.journal.ledger import Change
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.runtime.errors import MidstreamError
from services.runtime.figures import Figure

ACK_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PROOF_BUCKETS_S: Final = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 180.0, 600.0, 3600.0)
"""Proof takes some 20 s by what it consists of; an exchange that is away makes it minutes."""
_PREFIX: Final = "midstream_orders"
_ACCEPTED: Final = "accepted"
_POSITION: Final = "position"
_OTHER: Final = "other"
DENIABLE: Final = ("place", "amend", "settle")
"""What a caller's request can be denied for a reason of its own."""


def _counter(name: str, text: str, *labels: str) -> Figure:
    return Figure(f"{_PREFIX}_{name}_total", "counter", text, labels)


def _gauge(name: str, text: str, *labels: str, born: bool = True) -> Figure:
    return Figure(f"{_PREFIX}_{name}", "gauge", text, labels, born=born)


EVENTS: Final = _counter("events", "Journal events", "kind", "cause")
PLACEMENTS: Final = _counter("placements", "Requests to place by what became of them", "exchange", "outcome")
ACK_SECONDS: Final = Figure(
    f"{_PREFIX}_ack_seconds", "histogram", "From sending a placement to its outcome", ("exchange",), ACK_BUCKETS_S
)
PROOF_SECONDS: Final = Figure(
    f"{_PREFIX}_proof_seconds",
    "histogram",
    "From an order's creation to the end of its unknown outcome",
    ("exchange",),
    PROOF_BUCKETS_S,
)
ENDED: Final = _counter("ended", "Orders by the terminal state that they reached", "exchange", "state")
DENIED: Final = _counter("denied", "Requests denied before the wire", "operation", "reason")
OPEN: Final = _gauge("open", "Orders that are not terminal", "exchange")
UNKNOWN: Final = _gauge("unknown", "Orders whose outcome is unknown", "exchange")
UNKNOWN_AGE: Final = _gauge("unknown_age_seconds", "Age of the oldest unknown outcome", "exchange")
HALTED: Final = _counter("halted", "Orders halted because statements contradict what was sent", "exchange")
RETURNED: Final = _counter("returned", "Orders that were taken for not existing and are there", "exchange")
EXTERNAL: Final = _counter("external", "Orders found that were not placed here", "exchange")
RECONCILIATIONS: Final = _counter("reconciliations", "Comparisons of books", "exchange", "result")
DIFFERENCES: Final = _counter("reconciliation_differences", "What comparisons found", "exchange", "kind")
BLOCKED: Final = _gauge("blocked", "1 while nothing goes out to an exchange", "exchange")
KILL_SWITCH: Final = _gauge("kill_switch", "1 while the kill switch is engaged", born=False)
JOURNAL_TROUBLE: Final = _gauge("journal_trouble", "1 while the journal cannot be written", born=False)
FOLLOWING: Final = _gauge("following", "Orders that are being followed up", born=False)
IN_FLIGHT: Final = _gauge("in_flight", "Placements without an outcome")
WATCHERS: Final = _gauge("watchers", "Streams of changes being served")
DEAD_MAN: Final = _counter("dead_man_refreshes", "Refreshes of the exchanges' dead-man timers", "exchange", "result")
ORDERS_FIGURES: Final = (
    EVENTS, PLACEMENTS, ACK_SECONDS, PROOF_SECONDS, ENDED, DENIED, OPEN, UNKNOWN, UNKNOWN_AGE, HALTED, RETURNED, EXTERNAL,
    RECONCILIATIONS, DIFFERENCES, BLOCKED, KILL_SWITCH, JOURNAL_TROUBLE, FOLLOWING, IN_FLIGHT, WATCHERS, DEAD_MAN,
)  # fmt: skip


class OrdersMetrics(DeskObserver):
    """Counts what a desk tells; `refresh` sets what is measured and not counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.events = EVENTS.counter(registry)
        self.placements = PLACEMENTS.counter(registry)
        self.ack_seconds = ACK_SECONDS.histogram(registry)
        self.proof_seconds = PROOF_SECONDS.histogram(registry)
        self.ended = ENDED.counter(registry)
        self.denials = DENIED.counter(registry)
        self.open = OPEN.gauge(registry)
        self.unknown = UNKNOWN.gauge(registry)
        self.unknown_age = UNKNOWN_AGE.gauge(registry)
        self.halts = HALTED.counter(registry)
        self.returned = RETURNED.counter(registry)
        self.external = EXTERNAL.counter(registry)
        self.reconciliations = RECONCILIATIONS.counter(registry)
        self.differences = DIFFERENCES.counter(registry)
        self.blocked = BLOCKED.gauge(registry)
        self.kill_switch = KILL_SWITCH.measured(registry)
        self.journal_trouble = JOURNAL_TROUBLE.measured(registry)
        self.following = FOLLOWING.measured(registry)
        self.in_flight = IN_FLIGHT.gauge(registry)
        self.watchers = WATCHERS.gauge(registry)
        self.dead_man = DEAD_MAN.counter(registry)
        self._others: set[str] = set()
        for kind in KINDS:
            for cause in Cause:
                self.events.labels(kind, cause.value)
        for operation in DENIABLE:
            for reason in (*Reason, _OTHER):
                self.denials.labels(operation, reason)

    def begin(self, exchange: str) -> None:
        """Let the series of an exchange begin at 0: the first event of a series that is born with it is no increase."""
        for counted in (self.halts, self.returned, self.external, self.ack_seconds, self.proof_seconds):
            counted.labels(exchange)
        for outcome in (_ACCEPTED, *Fate.__members__):
            self.placements.labels(exchange, outcome.lower())
        for state in OrderState:
            if state.terminal:
                self.ended.labels(exchange, state.value)
        for succeeded in (True, False):
            self.reconciliations.labels(exchange, _result(succeeded))
            self.dead_man.labels(exchange, _result(succeeded))
        for kind in (_POSITION, *KINDS):
            self.differences.labels(exchange, kind)

    def refresh(self, desk: Desk, ports: Ports) -> None:
        """Set the gauges."""
        now_ns = ports.wall_ns()
        orders = desk.ledger.open_orders
        open_: Tally[str] = Tally(order.exchange for order in orders)
        unknown = [order for order in orders if _unknown(order)]
        # Orders at an exchange that is not in use (any more) stay open until somebody settles them, and are counted until then.
        self._others.update(set(open_) - set(desk.venues.names))
        for exchange in (*desk.venues.names, *self._others):
            self.begin(exchange)
            lost = [order for order in unknown if order.exchange == exchange]
            self.open.labels(exchange).set(open_[exchange])
            self.unknown.labels(exchange).set(len(lost))
            oldest_ns = min((order.created_ns for order in lost), default=now_ns)
            self.unknown_age.labels(exchange).set((now_ns - oldest_ns) / 1e9)
            if exchange not in self._others:
                self.blocked.labels(exchange).set(bool(desk.gate.blocked(exchange)))
        self.kill_switch.replace({(): float(desk.switch.engaged)})
        self.journal_trouble.replace({(): float(bool(desk.ledger.trouble))})
        self.following.replace({(): desk.follower.following})
        self.in_flight.set(desk.line.length)
        self.watchers.set(desk.feed.watchers)

    def changed(self, change: Change) -> None:
        event, order, before = change.event, change.order, change.before
        self.events.labels(event.kind, event.cause.value).inc()
        # As the gauge counts them: what is still being sent is not unknown yet.
        if before is not None and _unknown(before) and order.state is not OrderState.UNKNOWN:
            self.proof_seconds.labels(order.exchange).observe((event.at_ns - order.created_ns) / 1e9)
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
        self.denials.labels(operation, reason_of(error) or _OTHER).inc()

    def reconciled(self, exchange: str, succeeded: bool) -> None:
        self.reconciliations.labels(exchange, _result(succeeded)).inc()

    def positions_differ(self, exchange: str, differences: list[str]) -> None:
        self.differences.labels(exchange, _POSITION).inc(len(differences))

    def dead_man_refreshed(self, exchange: str, succeeded: bool) -> None:
        self.dead_man.labels(exchange, _result(succeeded)).inc()


def _unknown(order: Order) -> bool:
    return order.state is OrderState.UNKNOWN and not order.sending


def _result(succeeded: bool) -> str:
    return "ok" if succeeded else "failed"
