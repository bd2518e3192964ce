"""Keep the newest figures ready for any number of readers, at the price of one small read per interval."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, Protocol

from clients.database import DatabaseUnavailable
from clients.power.calendar import delivery_hour, local_day, quarters_of_day
from clients.resilience.ports import MonotonicNs, Sleep, WallNs
from services.reporting.engine.alerts import Alert, AlertKind, AlertLimits, DayResults, alerts_of, timed
from services.reporting.engine.listener_standing import ListenerStanding, ListenerState
from services.reporting.engine.past import PastDays
from services.reporting.engine.positions import Matrix, matrix_of
from services.reporting.engine.report import ReferenceState, Report, Selection, build_day, markets_of, traders_of
from services.reporting.engine.snapshot import Arrivals, DeliveryDay, Reference, Snapshot
from services.runtime.errors import Unavailable
from services.runtime.stalls import Stalls

__all__ = ["ReadModel", "View"]

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
"""Between two looks at the database; also what this adds to the way from a deal to the page."""
AWAY_NS: Final = 3_000_000_000
"""Without a successful read for this long the figures are called stale and health says so."""
UNAVAILABLE_NS: Final = 900_000_000_000
"""After this long they are not shown any more: nobody should trade on a page that stopped a quarter of an hour ago."""

Key = tuple[str, str]


class Source(Protocol):
    """The source of snapshots; `SnapshotReader` outside of tests. Raises DatabaseUnavailable."""

    snapshot: Snapshot

    async def refresh(self, days: tuple[str, ...]) -> Arrivals | None: ...

    async def day(self, day: str) -> DeliveryDay: ...


@dataclass(frozen=True)
class View:
    """Everything to be seen at one moment; a page is a function of this and of nothing else."""

    revision: int
    version: str
    """The revision with what makes it unique over restarts."""
    snapshot: Snapshot
    today: str
    tomorrow: str
    states: dict[Key, ReferenceState]
    """By day and hour, for the hours that have a price and are kept."""
    late: bool
    away: bool
    """The database does not answer: this is what was last known."""
    listener: ListenerState = ListenerState.NEVER
    """Whether deals arrive; `snapshot.listener` has the times."""
    alerts: tuple[Alert, ...] = ()
    """The worst first."""
    passed: int = 0
    """How many hours and quarters of today have closed or ended: pages draw the present between them."""


class ReadModel:
    """Follows a source. `view` is always there after `start`; `changed` waits for the next."""

    def __init__(
        self,
        source: Source,
        *,
        wall_ns: WallNs,
        monotonic_ns: MonotonicNs,
        sleep: Sleep,
        lead_ns: int = 0,
        limits: AlertLimits | None = None,
        on_arrivals: Callable[[Arrivals], None] | None = None,
        on_health: Callable[[bool, str], None] | None = None,
    ) -> None:
        self._source = source
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._lead_ns = lead_ns
        self._limits = limits or AlertLimits()
        self._results = DayResults()
        self._alerting_since_ns: dict[tuple[AlertKind, str, str], int] = {}
        self._on_arrivals = on_arrivals
        self._on_health = on_health
        self._boot = secrets.token_hex(4)
        self._changed = asyncio.Event()
        self._answered_ns = monotonic_ns()
        self._closed = False
        self._stalls = Stalls(monotonic_s=lambda: monotonic_ns() / 1e9)
        self._past = PastDays(source.day, monotonic_ns=monotonic_ns)
        self.view = self._viewed(Snapshot(), away=True)

    async def run(self) -> None:
        """Look at the database for ever. Only what means that the database is away is lived with."""
        while True:
            await self.look()
            await self._sleep(POLL_S)

    async def look(self) -> None:
        """Read once, and tell everybody when there is something to tell."""
        try:
            with self._stalls.during("the database"):
                arrivals = await self._source.refresh(self._kept_days())
        except DatabaseUnavailable as exc:
            self._note_failure(exc)
        else:
            self._answered_ns = self._monotonic_ns()
            if self._on_health is not None:
                self._on_health(True, "")
            self._publish(self._viewed(self._source.snapshot, away=False))
            if arrivals is not None and arrivals.deals and self._on_arrivals is not None:
                self._on_arrivals(arrivals)

    def stalled(self) -> str:
        """Return that the database has not answered for too long; the next answer goes to `on_health`. Empty while it does."""
        return self._stalls.trouble()

    def close(self) -> None:
        """End every wait in `changed`."""
        self._closed = True
        self._changed.set()

    @property
    def closed(self) -> bool:
        return self._closed

    async def changed(self, revision: int) -> View | None:
        """Return a view newer than `revision`, at once where there is one; None when the server ends."""
        while self.view.revision <= revision and not self._closed:
            await self._changed.wait()
        return None if self._closed else self.view

    def require(self) -> View:
        """Return the view; raise Unavailable when it is too old to be shown, or there never was one."""
        view = self.view
        if not view.snapshot.as_of_ns:
            raise Unavailable("the database has not answered yet; try again in a moment")
        if view.away and self._monotonic_ns() - self._answered_ns > UNAVAILABLE_NS:
            raise Unavailable(
                "the database has not answered for a quarter of an hour; what was known is too old to show"
            )
        return view

    async def report(self, selection: Selection) -> tuple[View, Report]:
        """Return what a selection shows. Days that are not kept are read once for everybody who asks."""
        view = self.require()
        deliveries = await self._deliveries(view, selection.day)
        built = tuple(
            build_day(day, delivery, selection, view.states, lead_ns=self._lead_ns)
            for day, delivery in deliveries.items()
        )
        seen = [*view.snapshot.days.values(), *deliveries.values()]
        return view, Report(selection, built, traders_of(seen), markets_of(seen))

    async def positions(self, day: str = "", market: str = "") -> tuple[View, Matrix]:
        """Return the net positions of a day, or of today and tomorrow."""
        view = self.require()
        return view, matrix_of(await self._deliveries(view, day), market=market)

    @property
    def lead_ns(self) -> int:
        """How long before delivery trading ends."""
        return self._lead_ns

    async def _deliveries(self, view: View, day: str) -> dict[str, DeliveryDay]:
        days = (day,) if day else (view.today, view.tomorrow)
        return {day: view.snapshot.days.get(day) or await self._past.get(day) for day in days}

    def _kept_days(self) -> tuple[str, ...]:
        today = local_day(self._wall_ns())
        return tuple((today + timedelta(days=shift)).isoformat() for shift in (-1, 0, 1))

    def _note_failure(self, exc: DatabaseUnavailable) -> None:
        away = self._monotonic_ns() - self._answered_ns > AWAY_NS
        if away and self._on_health is not None:
            self._on_health(False, f"the database does not answer: {exc.kind}")
        if away and self.view.snapshot.as_of_ns:
            self._publish(self._viewed(self.view.snapshot, away=True))

    def _viewed(self, snapshot: Snapshot, *, away: bool) -> View:
        now_ns = self._wall_ns()
        today = local_day(now_ns)
        tomorrow = (today + timedelta(days=1)).isoformat()
        states = {
            (day, label): self._state(day, label, reference, snapshot, now_ns)
            for day, delivery in snapshot.days.items()
            for label, reference in delivery.references.items()
        }
        late = snapshot.status.late(now_ns)
        alerts = alerts_of(snapshot, now_ns, self._limits, days=(today.isoformat(), tomorrow), results=self._results)
        alerts = timed(alerts, self._alerting_since_ns, now_ns)
        self._alerting_since_ns = {alert.key: alert.since_ns for alert in alerts}
        listener = snapshot.listener.state(now_ns, self._limits.silent_after_ns)
        passed = self._passed(today, now_ns)
        return View(0, "", snapshot, today.isoformat(), tomorrow, states, late, away, listener, alerts, passed)

    def _passed(self, today: date, now_ns: int) -> int:
        periods = quarters_of_day(today)
        closed = sum(not period.tradable(now_ns, self._lead_ns) for period in periods)
        return closed + sum(period.end_ns <= now_ns for period in periods)

    def _state(self, day: str, label: str, reference: Reference, snapshot: Snapshot, now_ns: int) -> ReferenceState:
        if reference.final:
            return ReferenceState.FINAL
        if not delivery_hour(day, label).tradable(now_ns, self._lead_ns):
            return ReferenceState.CLOSED
        stale = snapshot.status.stale(reference.update_ns, now_ns)
        return ReferenceState.STALE if stale else ReferenceState.CURRENT

    def _publish(self, new: View) -> None:
        old = self.view
        if old.revision and _same(old, new):
            # What is never shown (when we last looked) may move on in silence.
            self.view = replace(new, revision=old.revision, version=old.version)
            return
        revision = old.revision + 1
        self.view = replace(new, revision=revision, version=f"{self._boot}-{revision}")
        self._changed.set()
        self._changed = asyncio.Event()


def _same(old: View, new: View) -> bool:
    one, other = old.snapshot, new.snapshot
    return (
        one.position == other.position
        and one.reference_id == other.reference_id
        and one.gap_until_ns == other.gap_until_ns
        and one.finals == other.finals
        and _told(one.listener) == _told(other.listener)
        and old.listener is new.listener
        and old.alerts == new.alerts
        and old.passed == new.passed
        and one.days == other.days
        and one.status.next_due_ns == other.status.next_due_ns
        and one.status.trouble == other.status.trouble
        and old.today == new.today
        and old.states == new.states
        and old.late == new.late
        and old.away == new.away
    )


def _told(standing: ListenerStanding) -> tuple[object, ...]:
    """What of it is news: not that it has said the same again, nor messages that bring no deal."""
    return (
        standing.connected,
        standing.since_ns,
        standing.spooled,
        standing.unusable_today,
        standing.unusable_total,
        standing.trouble,
    )
