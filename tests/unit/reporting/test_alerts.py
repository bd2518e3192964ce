"""Alerts: what a desk is told, how bad it is, and since when."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from services.reporting.engine.alerts import Alert, AlertKind, AlertLimits, DayResults, Severity, alerts_of, timed
from services.reporting.engine.figures import Side, Sums, from_e10
from services.reporting.engine.listener_standing import AWAY_NS, ListenerStanding, ListenerState
from services.reporting.engine.queries import Slice
from services.reporting.engine.reference_status import ReferenceStatus
from services.reporting.engine.snapshot import DeliveryDay, Reference, Snapshot

SECOND_NS = 10**9
NOW_NS = 1_760_000_000 * SECOND_NS
DAY = "2025-10-09"
GOOD = ListenerStanding(
    connected=True, since_ns=NOW_NS - 600 * SECOND_NS, last_message_ns=NOW_NS - 5 * SECOND_NS, updated_ns=NOW_NS - 1
)
LIMITS = AlertLimits(silent_after_ns=60 * SECOND_NS)


def alerts(snapshot: Snapshot, limits: AlertLimits = LIMITS) -> list[Alert]:
    return list(alerts_of(snapshot, NOW_NS, limits, days=(DAY,), results=DayResults()))


def lost(euro: int, trader: str = "anna", hour: str = "10-11") -> tuple[Slice, Sums]:
    """A sale of 1 MWh that far below a reference of 100."""
    return Slice(hour, trader), Sums(sold=Side.of(1, 10_000, 10_000 * (100 - euro) * 10_000, 60))


def desk(*parts: tuple[Slice, Sums]) -> Snapshot:
    delivery = DeliveryDay(dict(parts), {"10-11": Reference(1_000_000, 1, 1)})
    return Snapshot(listener=GOOD, days={DAY: delivery})


def test_nothing_is_told_while_all_is_well() -> None:
    assert alerts(Snapshot(listener=GOOD)) == []


@pytest.mark.parametrize(
    ("standing", "state", "severity", "since_s", "words"),
    [
        (ListenerStanding(), ListenerState.NEVER, Severity.WARNING, 0, "start power-listener"),
        (
            replace(GOOD, updated_ns=NOW_NS - AWAY_NS - 1),
            ListenerState.AWAY,
            Severity.CRITICAL,
            10,
            "No sign of life from the deals listener",
        ),
        (
            replace(GOOD, connected=False, since_ns=NOW_NS - 3 * SECOND_NS, trouble="feed: refused"),
            ListenerState.DISCONNECTED,
            Severity.CRITICAL,
            3,
            "not connected to the exchange (feed: refused)",
        ),
        (
            replace(GOOD, last_message_ns=NOW_NS - 61 * SECOND_NS),
            ListenerState.SILENT,
            Severity.CRITICAL,
            61,
            "No deals received for more than 60 s",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, ListenerState) else "",
)
def test_a_feed_that_does_not_bring_deals_is_told(
    standing: ListenerStanding, state: ListenerState, severity: Severity, since_s: int, words: str
) -> None:
    (alert,) = alerts(Snapshot(listener=standing))

    assert standing.state(NOW_NS, LIMITS.silent_after_ns) is state
    assert (alert.kind, alert.severity) == (AlertKind.SILENT_FEED, severity)
    assert words in alert.text
    assert not since_s or (NOW_NS - alert.since_ns) // SECOND_NS == since_s


def test_a_connection_that_is_new_is_given_a_moment_however_old_the_last_message_is() -> None:
    standing = replace(
        GOOD, since_ns=NOW_NS, last_message_ns=NOW_NS - 3_600 * SECOND_NS, updated_ns=NOW_NS + 8 * SECOND_NS
    )

    states = [standing.state(NOW_NS + second * SECOND_NS, LIMITS.silent_after_ns) for second in (14, 15, 16)]

    assert states == [ListenerState.RECEIVING, ListenerState.RECEIVING, ListenerState.SILENT]


def test_a_day_is_added_up_once_and_again_when_it_has_changed() -> None:
    results = DayResults()
    delivery = desk(lost(10), lost(-2, "bert")).days[DAY]

    first = results.of(DAY, delivery)
    assert results.of(DAY, delivery) is first
    assert {trader: from_e10(result) for trader, result in first.items()} == {"anna": -10, "bert": 2}
    assert results.of(DAY, replace(delivery, references={})) == {}


@pytest.mark.parametrize(
    ("values", "kind", "severity"),
    [
        ({"spooled": 200}, AlertKind.SPOOLED_DEALS, Severity.CRITICAL),
        ({"unusable_today": 13}, AlertKind.UNUSABLE_MESSAGES, Severity.WARNING),
        ({"unusable_today": 13, "mostly_unusable": True}, AlertKind.UNUSABLE_MESSAGES, Severity.CRITICAL),
    ],
)
def test_deals_that_the_figures_lack_are_told(values: dict[str, int], kind: AlertKind, severity: Severity) -> None:
    (alert,) = alerts(Snapshot(listener=replace(GOOD, **values)))  # type: ignore[arg-type]

    assert (alert.kind, alert.severity) == (kind, severity)
    assert "figures lack their deals" in alert.text


def test_prices_that_are_late_are_told_since_they_were_due() -> None:
    due_ns = NOW_NS - 30 * SECOND_NS

    (alert,) = alerts(Snapshot(listener=GOOD, status=ReferenceStatus(next_due_ns=due_ns)))

    assert (alert.kind, alert.since_ns) == (AlertKind.LATE_PRICE, due_ns)


@pytest.mark.parametrize(("limit", "told"), [("0", False), ("29.99", True), ("30", False)], ids=["off", "over", "at"])
def test_a_loss_beyond_the_limit_of_the_desk_is_told(limit: str, told: bool) -> None:
    limits = replace(LIMITS, desk_loss=Decimal(limit))

    found = alerts(desk(lost(50), lost(-20, "bert")), limits)

    assert [(alert.kind, alert.trader, alert.day) for alert in found] == (
        [(AlertKind.LOSS_LIMIT, "", DAY)] if told else []
    )


def test_the_limit_of_traders_is_each_ones_and_a_quarter_is_a_quarter() -> None:
    limits = replace(LIMITS, trader_loss=Decimal("10"))
    quarter = Slice("10:00-10:15", "carl"), Sums(sold=Side.of(1, 10_000, 10_000 * 61 * 10_000, 15))

    found = alerts(desk(lost(11), lost(10, "bert"), quarter), limits)

    assert [alert.trader for alert in found] == ["anna"]
    assert "The result of anna" in found[0].text
    assert "11.00 EUR" in found[0].text


def test_what_is_worst_comes_first() -> None:
    standing = replace(GOOD, unusable_today=1, connected=False)

    assert [alert.severity for alert in alerts(Snapshot(listener=standing))] == [Severity.CRITICAL, Severity.WARNING]


def test_an_alert_keeps_the_moment_at_which_it_was_first_seen() -> None:
    (first,) = timed(tuple(alerts(desk(lost(50)), replace(LIMITS, desk_loss=Decimal(1)))), {}, NOW_NS)
    worse = alerts(desk(lost(60)), replace(LIMITS, desk_loss=Decimal(1)))

    (later,) = timed(tuple(worse), {first.key: first.since_ns}, NOW_NS + SECOND_NS)

    assert first.since_ns == NOW_NS
    assert later.since_ns == NOW_NS
    assert later.text != first.text
