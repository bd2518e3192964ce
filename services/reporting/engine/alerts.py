"""What a desk should be told without having to look for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum, unique
from typing import Final

from clients.power.calendar import delivery_hour
from services.reporting.engine.figures import from_e10, plain
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.report import natural_key
from services.reporting.engine.snapshot import DeliveryDay, Snapshot

__all__ = ["Alert", "AlertKind", "AlertLimits", "DayResults", "Severity", "alerts_of", "timed"]

SECOND_NS: Final = 1_000_000_000


@unique
class AlertKind(StrEnum):
    """What an alert is about."""

    SILENT_FEED = "silent_feed"
    LATE_PRICE = "late_price"
    LOSS_LIMIT = "loss_limit"
    UNUSABLE_MESSAGES = "unusable_messages"
    SPOOLED_DEALS = "spooled_deals"


@unique
class Severity(StrEnum):
    """How much it matters."""

    CRITICAL = "critical"
    """Figures may be incomplete, or a limit is broken."""
    WARNING = "warning"


@dataclass(frozen=True)
class Alert:
    """One sentence, and since when it is so."""

    kind: AlertKind
    severity: Severity
    text: str
    since_ns: int = 0
    """0 until `timed` has filled it in."""
    trader: str = ""
    """Empty: the desk."""
    day: str = ""

    @property
    def key(self) -> tuple[AlertKind, str, str]:
        """What makes it the same alert when it is looked at again."""
        return self.kind, self.trader, self.day


@dataclass(frozen=True)
class AlertLimits:
    """What is tolerated."""

    silent_after_ns: int = 60 * SECOND_NS
    desk_loss: Decimal = Decimal(0)
    """EUR a delivery day; 0 is no limit."""
    trader_loss: Decimal = Decimal(0)
    """The same of each trader."""


class DayResults:
    """Results of traders by delivery day, in EUR times 10^10; a day is added up once, however often it is asked for."""

    def __init__(self) -> None:
        self._days: dict[str, tuple[DeliveryDay, dict[str, int]]] = {}

    def of(self, day: str, delivery: DeliveryDay) -> Mapping[str, int]:
        """Return the result of each trader over the periods that have a reference price."""
        kept = self._days.get(day)
        # Days are replaced, never changed.
        if kept is None or kept[0] is not delivery:
            kept = self._days[day] = (delivery, _results(day, delivery))
        return kept[1]

    def keep(self, days: tuple[str, ...]) -> None:
        """Forget all other days."""
        self._days = {day: self._days[day] for day in days if day in self._days}


def alerts_of(
    snapshot: Snapshot, now_ns: int, limits: AlertLimits, *, days: tuple[str, ...], results: DayResults
) -> tuple[Alert, ...]:
    """Return what is wrong now, the worst first; `days` are the ones whose losses are watched."""
    losses = _losses(snapshot, limits, days, results)
    found = [*_feed(snapshot, now_ns, limits), *_prices(snapshot, now_ns), *losses]
    return tuple(sorted(found, key=lambda alert: alert.severity is not Severity.CRITICAL))


def timed(
    alerts: tuple[Alert, ...], since_ns: Mapping[tuple[AlertKind, str, str], int], now_ns: int
) -> tuple[Alert, ...]:
    """Fill in since when alerts are so: when they were seen first, where they do not know it themselves."""
    return tuple(
        alert if alert.since_ns else replace(alert, since_ns=since_ns.get(alert.key, now_ns)) for alert in alerts
    )


def _feed(snapshot: Snapshot, now_ns: int, limits: AlertLimits) -> Iterator[Alert]:
    standing = snapshot.listener
    state = standing.state(now_ns, limits.silent_after_ns)
    text, severity, since_ns = "", Severity.CRITICAL, standing.quiet_since_ns
    if state is ListenerState.NEVER:
        text, severity = "No deals listener has run on this database yet: start power-listener.", Severity.WARNING
    elif state is ListenerState.AWAY:
        text = (
            "No sign of life from the deals listener: it does not run, or cannot write to the database. "
            "Figures may be incomplete."
        )
        since_ns = standing.updated_ns
    elif state is ListenerState.DISCONNECTED:
        reason = f" ({standing.trouble})" if standing.trouble else ""
        text = f"No deals received: the listener is not connected to the exchange{reason}. Figures may be incomplete."
    elif state is ListenerState.SILENT:
        text = (
            f"No deals received for more than {limits.silent_after_ns // SECOND_NS} s, although the listener is connected. "
            "Figures may be incomplete."
        )
    if text:
        yield Alert(AlertKind.SILENT_FEED, severity, text, since_ns)
    if standing.spooled:
        text = f"{standing.spooled:,} messages of the exchange wait for the database: figures lack their deals."
        yield Alert(AlertKind.SPOOLED_DEALS, Severity.CRITICAL, text)
    if standing.mostly_unusable:
        text = "Most of the latest messages of the exchange cannot be used: figures lack their deals."
        yield Alert(AlertKind.UNUSABLE_MESSAGES, Severity.CRITICAL, text)
    elif standing.unusable_today:
        text = (
            f"{standing.unusable_today:,} messages of the exchange could not be used today: figures lack their deals."
        )
        yield Alert(AlertKind.UNUSABLE_MESSAGES, Severity.WARNING, text)


def _prices(snapshot: Snapshot, now_ns: int) -> Iterator[Alert]:
    status = snapshot.status
    if status.trouble:
        text = f"Reference prices do not come: {status.trouble}."
        yield Alert(AlertKind.LATE_PRICE, Severity.WARNING, text)
    elif status.late(now_ns):
        text = "The next reference prices are late: figures are against older ones."
        yield Alert(AlertKind.LATE_PRICE, Severity.WARNING, text, status.next_due_ns)


def _losses(snapshot: Snapshot, limits: AlertLimits, days: tuple[str, ...], results: DayResults) -> Iterator[Alert]:
    results.keep(days)
    for day in days if limits.desk_loss or limits.trader_loss else ():
        delivery = snapshot.days.get(day)
        if delivery is None:
            continue
        of_traders = results.of(day, delivery)
        if limits.desk_loss:
            yield from _loss("", day, sum(of_traders.values()), limits.desk_loss)
        for trader in sorted(of_traders, key=natural_key) if limits.trader_loss else ():
            yield from _loss(trader, day, of_traders[trader], limits.trader_loss)


def _results(day: str, delivery: DeliveryDay) -> dict[str, int]:
    found: dict[str, int] = {}
    for part, sums in delivery.sums.items():
        _, reference = delivery.reference_of(delivery_hour(day, part.hour))
        if reference is not None:
            found[part.trader] = found.get(part.trader, 0) + sums.performance_e10(reference.value_e4)
    return found


def _loss(trader: str, day: str, result_e10: int, limit: Decimal) -> Iterator[Alert]:
    loss = -from_e10(result_e10)
    if loss > limit:
        whose = f"The result of {trader}" if trader else "The result of the desk"
        text = f"{whose} for {day} is {loss:.2f} EUR below zero; the limit is {plain(limit)} EUR."
        yield Alert(AlertKind.LOSS_LIMIT, Severity.CRITICAL, text, trader=trader, day=day)
