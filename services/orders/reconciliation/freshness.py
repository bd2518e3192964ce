"""Keep track of how fresh our knowledge of each exchange is."""

from __future__ import annotations

from dataclasses import dataclass

from clients.resilience.ports import MonotonicNs


@dataclass(frozen=True)
class Freshness:
    """Source and age of what is known of one exchange, as ListActiveOrders says it beside the orders."""

    exchange: str
    source: str
    """`stream`, `reconciliation` or `journal`."""
    age_ms: int
    """-1 when the exchange never confirmed anything."""
    reachable: bool
    """Whether the exchange answered the last time, whatever it was asked."""
    problem: str


class FreshnessTracker:
    """Freshness of all exchanges: written by streams, reconciliation and every call, read by whoever lists."""

    def __init__(self, *, monotonic_ns: MonotonicNs) -> None:
        self._monotonic_ns = monotonic_ns
        self._connected: set[str] = set()
        self._heard_ns: dict[str, int] = {}
        self._reconciled_ns: dict[str, int] = {}
        self._problems: dict[str, str] = {}
        self._answered: set[str] = set()
        self._unanswered: dict[str, dict[str, str]] = {}
        """By exchange and kind of call: calls whose last attempt was not answered, and what it was."""

    def called(self, exchange: str, group: str, answered: bool, what: str) -> None:
        """A call was tried: a placement, a cancel, a query, a price. One kind that is answered says nothing of another one."""
        if answered:
            self._answered.add(exchange)
            self._unanswered.get(exchange, {}).pop(group, None)
        else:
            self._unanswered.setdefault(exchange, {})[group] = f"no answer: {what}"

    def gap(self, exchange: str) -> None:
        """The user stream has (re)connected; what it missed is being asked for."""
        self._connected.add(exchange)
        self._heard_ns.pop(exchange, None)

    def heard(self, exchange: str) -> None:
        """The user stream has said something."""
        self._heard_ns[exchange] = self._monotonic_ns()

    def silent(self, exchange: str, problem: str) -> None:
        """The user stream has ended."""
        self._connected.discard(exchange)
        self._problems[exchange] = problem

    def reconciled(self, exchange: str) -> None:
        """The books were compared."""
        self._reconciled_ns[exchange] = self._monotonic_ns()
        self._problems.pop(exchange, None)
        self._unanswered.pop(exchange, None)

    def failed(self, exchange: str, problem: str) -> None:
        """The exchange did not answer."""
        self._problems[exchange] = problem

    def of(self, exchange: str) -> Freshness:
        """Return what is known of one exchange."""
        now_ns = self._monotonic_ns()
        reconciled_ns = self._reconciled_ns.get(exchange)
        newest_ns = max((at for at in (reconciled_ns, self._heard_ns.get(exchange)) if at is not None), default=None)
        unanswered = list(self._unanswered.get(exchange, {}).values())
        problem = unanswered[-1] if unanswered else self._problems.get(exchange, "")
        known = newest_ns is not None or exchange in self._answered
        if not problem and not known:
            problem = "the exchange has not been asked yet"
        if reconciled_ns is None:
            source = "journal"
        elif exchange in self._connected:
            source = "stream"
        else:
            source = "reconciliation"
        age_ms = -1 if newest_ns is None else (now_ns - newest_ns) // 1_000_000
        return Freshness(exchange, source, age_ms, not problem, problem)
