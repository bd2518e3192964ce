"""What the figures rest on, in sentences: whether deals come, whether prices come, whether the database answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clients.power.calendar import local_day
from services.reporting.engine.alerts import AlertKind, Severity
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.read_model import View
from services.reporting.web.format import clock

__all__ = ["FEEDS", "Live", "Notice", "Sign", "live_of", "notices_of", "signs_of"]

MS: Final = 1_000_000


@dataclass(frozen=True)
class Sign:
    """Something with a time that the browser counts on from; `clock` says how."""

    text: str
    time_ms: int = 0
    time: str = ""
    clock: str = "age"


@dataclass(frozen=True)
class Notice:
    """One sentence that people should see."""

    kind: str
    """`bad` or `warn`."""
    key: str
    """What makes it the same notice when its numbers change: it is announced once."""
    sign: Sign


@dataclass(frozen=True)
class Live:
    """Whether the figures are what they should be now, as far as the server knows; the stream to the page is the page's own matter."""

    yes: bool
    text: str = "live"


def live_of(view: View) -> Live:
    """Return what the sign in the corner may say."""
    if view.away:
        return Live(False, "database does not answer")
    if view.listener is not ListenerState.RECEIVING:
        return Live(False, FEEDS[view.listener])
    return Live(True)


FEEDS: Final = {
    ListenerState.NEVER: "no deals listener",
    ListenerState.AWAY: "listener away",
    ListenerState.DISCONNECTED: "exchange not connected",
    ListenerState.SILENT: "no deals coming",
    ListenerState.RECEIVING: "receiving",
}


def notices_of(view: View) -> list[Notice]:
    """Return what is wrong, the worst first."""
    notices = []
    snapshot = view.snapshot
    if view.away:
        notices.append(
            Notice(
                "bad",
                "database",
                _timed("The database does not answer. Everything here is as it was at", snapshot.as_of_ns),
            )
        )
    for alert in view.alerts:
        kind = "bad" if alert.severity is Severity.CRITICAL else "warn"
        # Since when a loss is above its limit is known since this server runs only, which is no news.
        timed = alert.since_ns and alert.kind in (AlertKind.SILENT_FEED, AlertKind.LATE_PRICE)
        sign = _timed(f"{alert.text} Since", alert.since_ns) if timed else Sign(alert.text)
        notices.append(Notice(kind, " ".join(alert.key), sign))
    if snapshot.gap_until_ns and local_day(snapshot.gap_until_ns).isoformat() == view.today:
        ended = clock(snapshot.gap_until_ns)
        text = f"The feed of deals was interrupted today, until {ended}: deals of that time may be missing."
        notices.append(Notice("warn", "gap", Sign(text)))
    return notices


def signs_of(view: View) -> list[Sign]:
    """Return how deals and prices come, in a few words each."""
    status, listener = view.snapshot.status, view.snapshot.listener
    signs = []
    if view.listener is not ListenerState.NEVER:
        parts = [f"Deals: {FEEDS[view.listener]}"]
        if listener.spooled:
            parts.append(f"{listener.spooled:,} waiting")
        if listener.unusable_today:
            parts.append(f"{listener.unusable_today:,} unusable today")
        heard = listener.last_deal_ns
        signs.append(_timed(", ".join([*parts, "last deal"]), heard) if heard else Sign(", ".join(parts)))
        if listener.since_ns and view.listener in (ListenerState.RECEIVING, ListenerState.SILENT):
            signs.append(Sign("connected since", listener.since_ns // MS, clock(listener.since_ns), "fixed"))
    if status.next_due_ns and not view.late:
        signs.append(_timed("Next reference prices due by", status.next_due_ns, "due"))
    elif not status.last_answer_ns and not status.trouble:
        signs.append(Sign("Nobody asks for reference prices yet: start power-etl"))
    return signs


def _timed(text: str, time_ns: int, kind_of_clock: str = "age") -> Sign:
    return Sign(text, time_ns // MS, clock(time_ns), kind_of_clock)
