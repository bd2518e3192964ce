"""Carry out what the planner decides: ask, store what is answered, publish the status."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

from clients.database import DatabaseUnavailable
from clients.http import TransportError
from clients.power.calendar import DeliveryHour, hours_of_day, local_day, tradable_hours
from clients.power.reference import Observation, ProviderError
from clients.power.reference.errors import ProviderRefused, UnusableAnswer
from clients.resilience.errors import AttemptTimedOut, CallNotPermitted, LimitReached, ResilienceError
from clients.resilience.ports import Sleep, WallNs
from services.power.etl.health import PollingHealth
from services.power.etl.planner import Ask, Planner, Urgency
from services.power.etl.quota_limiter import NoLedger
from services.power.etl.schedule import Schedule
from services.power.etl.store import KnownHour, SavedStatus
from services.runtime.log_fields import fields
from services.runtime.logs import LogLimit

__all__ = ["Poller", "PollerStats", "Prices", "Store"]

logger = logging.getLogger(__name__)

SECOND_NS: Final = 1_000_000_000
UNDER_WAY_MAX: Final = 8
"""Requests at once: enough for thirty-five answers in about a second, few enough not to be a burden."""
UNSTORED_MAX: Final = 256
"""Answers that wait for the database; polling stops above that."""
LEASE_NS: Final = 15 * SECOND_NS
LEASE_RENEW_S: Final = 5.0
REFUSED_NS: Final = SECOND_NS // 4
"""Pause after a refusal that does not say how long it holds."""
REFUSED_NS_MAX: Final = 5 * SECOND_NS
"""Longest pause at a time: replies and other processes free slots earlier than foreseen."""
STATUS_EVERY_S: Final = 15.0
STATUS_PACE_S: Final = 1.0
"""At most this often: a burst of answers is told once."""
COMPLAIN_S: Final = 30.0
LOOK_BACK_DAYS: Final = 7
"""Days before today whose traded hours get their last price, should it be missing."""
LOOK_BACK_S: Final = 600.0
"""How often is looked for closed hours without one: deals of them may come late, too."""


class Prices(Protocol):
    """The source of prices."""

    async def get(self, hour: DeliveryHour) -> Observation: ...


class Store(Protocol):
    """The database for them. Any method may raise DatabaseUnavailable."""

    async def add(self, observed: Sequence[tuple[Observation, bool]]) -> int: ...
    async def known(self, days: Sequence[date]) -> list[KnownHour]: ...
    async def traded(self, days: Sequence[date]) -> list[DeliveryHour]: ...
    async def status(self) -> SavedStatus | None: ...
    async def save_status(self, status: SavedStatus, *, now_ns: int) -> None: ...
    async def hold(self, holder: str, *, now_ns: int, until_ns: int) -> bool: ...
    async def release(self, holder: str) -> None: ...


@dataclass
class PollerStats:
    """Counts since the start."""

    requests: int = 0
    failures: int = 0
    stored: int = 0
    freshness_ns: int = 0
    """From the newest price's stamp to when it was stored."""
    polling: bool = False
    late: bool = False


class Poller:
    """One per process. Polls while it holds the lease; otherwise it stands by and looks every few seconds."""

    def __init__(
        self, prices: Prices, store: Store, *, wall_ns: WallNs, sleep: Sleep, lead_ns: int = 0, holder: str = ""
    ) -> None:
        self._prices = prices
        self._store = store
        self._wall_ns = wall_ns
        self._sleep = sleep
        self._lead_ns = lead_ns
        self._holder = holder or secrets.token_hex(16)
        self._planner = Planner(Schedule(), lead_ns=lead_ns)
        self._health = PollingHealth()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._unstored: asyncio.Queue[tuple[Observation, bool]] = asyncio.Queue(maxsize=UNSTORED_MAX)
        self._complaint = LogLimit(COMPLAIN_S)
        self._offered: tuple[int, tuple[DeliveryHour, ...]] = (0, ())
        self._held_until_ns = 0
        self.stats = PollerStats()

    @property
    def planner(self) -> Planner:
        """The planner that it goes by, for tests and figures."""
        return self._planner

    @property
    def trouble(self) -> str:
        """Why prices do not come; empty when they do."""
        return self._health.trouble(self._wall_ns())

    async def run(self) -> None:
        """Run for ever; only bugs end it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_answers(), name="store-prices")
            group.create_task(self._say_status(), name="say-status")
            group.create_task(self._keep_lease(), name="keep-lease")
            group.create_task(self._poll(), name="poll-prices")
            group.create_task(self._keep_looking_back(), name="look-back")

    async def stop(self) -> None:
        """Give the lease back and end what is under way; call it after `run` was cancelled."""
        for task in tuple(self._under_way):
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._held_until_ns:
            # Without a database the lease runs out by itself.
            with suppress(DatabaseUnavailable):
                await self._store.release(self._holder)

    # polling

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            now_ns = self._wall_ns()
            wait_ns = SECOND_NS
            if now_ns < self._held_until_ns and len(self._under_way) < UNDER_WAY_MAX and not self._unstored.full():
                step = self._planner.next(now_ns, self._tradable(now_ns))
                if isinstance(step, Ask):
                    self._ask(step, now_ns)
                    continue
                wait_ns = min(max(step.until_ns - now_ns, 1), 30 * SECOND_NS)
            await self._nap(wait_ns / 1e9, self._wake)

    async def _nap(self, seconds: float, event: asyncio.Event) -> None:
        """Sleep until it is time, or something happens; the caller clears the event."""
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        woken = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((sleeping, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, woken):
                task.cancel()

    def _tradable(self, now_ns: int) -> tuple[DeliveryHour, ...]:
        # Whole seconds are enough, and the calendar is not cheap.
        second = now_ns // SECOND_NS
        if self._offered[0] != second:
            self._offered = (second, tradable_hours(now_ns, self._lead_ns))
        return self._offered[1]

    def _ask(self, step: Ask, now_ns: int) -> None:
        task = asyncio.create_task(self._get(step, now_ns))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._wake.set()
        self._news.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("asking for a price failed", exc_info=error, extra=fields(error=type(error).__name__))

    async def _get(self, step: Ask, asked_ns: int) -> None:
        try:
            seen = await self._prices.get(step.hour)
        except AttemptTimedOut as exc:
            self._failed(step.hour, exc)
        except ResilienceError as exc:
            self._refused(step.hour, exc)
        except (ProviderError, TransportError) as exc:
            self._failed(step.hour, exc, own_fault=isinstance(exc, (ProviderRefused, UnusableAnswer)))
        except BaseException:
            self._planner.failed(step.hour, self._wall_ns(), sent=True)
            raise
        else:
            self.stats.requests += 1
            self._health.answered(self._wall_ns())
            self._planner.answered(seen, asked_ns=asked_ns)
            await self._unstored.put((seen, step.urgency in (Urgency.FINAL, Urgency.PAST)))

    def _refused(self, hour: DeliveryHour, exc: ResilienceError) -> None:
        """Nothing was sent (any more): the quota, the breaker or the deadline said no."""
        now_ns = self._wall_ns()
        sent = not isinstance(exc, (LimitReached, CallNotPermitted))
        self._planner.failed(hour, now_ns, sent=sent)
        pause_ns = REFUSED_NS if exc.retry_after_s is None else round(exc.retry_after_s * 1e9)
        self._planner.pause(now_ns + min(max(pause_ns, SECOND_NS // 100), REFUSED_NS_MAX))
        if isinstance(exc, NoLedger):
            self._health.failed(now_ns, exc.message)
            return
        if isinstance(exc, LimitReached):
            self._health.waited(now_ns)
            return
        self.stats.failures += sent
        self._health.failed(now_ns, "the provider does not answer")

    def _failed(self, hour: DeliveryHour, exc: Exception, *, own_fault: bool = False) -> None:
        now_ns = self._wall_ns()
        self.stats.requests += 1
        self.stats.failures += 1
        self._planner.failed(hour, now_ns, sent=True, own_fault=own_fault)
        self._health.failed(now_ns, str(exc))
        if self._complaint.passes() is not None:
            logger.warning("no price", extra=fields(day=hour.day_text, hour=hour.label, reason=exc))

    # keeping

    async def _store_answers(self) -> None:
        while True:
            batch = [await self._unstored.get()]
            while not self._unstored.empty():
                batch.append(self._unstored.get_nowait())
            await self._keep(batch)
            self._wake.set()

    async def _keep(self, batch: list[tuple[Observation, bool]]) -> None:
        """Store a batch, however long the database is away; polling goes on only as far as the queue has room."""
        while True:
            try:
                self.stats.stored += await self._store.add(batch)
            except DatabaseUnavailable:
                self._health.unstored(self._wall_ns())
                await self._sleep(0.5)
            else:
                break
        self._health.stored()
        newest_ns = max((seen.update_ns or 0 for seen, _ in batch), default=0)
        if newest_ns:
            self.stats.freshness_ns = self._wall_ns() - newest_ns

    async def _say_status(self) -> None:
        saved: SavedStatus | None = None
        while True:
            await self._nap(STATUS_EVERY_S, self._news)
            await self._sleep(STATUS_PACE_S)
            self._news.clear()
            now_ns = self._wall_ns()
            if now_ns >= self._held_until_ns:
                continue
            due_ns = self._planner.next_due_ns(now_ns)
            self.stats.late = bool(due_ns) and now_ns > due_ns
            schedule = self._planner.schedule.to_json()
            new = SavedStatus(due_ns, self._health.answered_ns, self.trouble, schedule)
            if new == saved:
                continue
            # Said again next time.
            with suppress(DatabaseUnavailable):
                await self._store.save_status(new, now_ns=now_ns)
                saved = new

    # who polls

    async def _keep_lease(self) -> None:
        while True:
            now_ns = self._wall_ns()
            try:
                held = await self._store.hold(self._holder, now_ns=now_ns, until_ns=now_ns + LEASE_NS)
                if held and not self.stats.polling:
                    await self._recall(now_ns)
            except DatabaseUnavailable:
                # Without a database there is no ledger either: nothing goes out until it is back.
                held = False
                self._health.unstored(now_ns)
            self._held_until_ns = now_ns + LEASE_NS if held else 0
            if held != self.stats.polling:
                if held:
                    logger.info("polling begins")
                else:
                    logger.info("polling rests: another process has the lease, or the database is away")
            self.stats.polling = held
            self._wake.set()
            await self._sleep(LEASE_RENEW_S)

    async def _recall(self, now_ns: int) -> None:
        """Begin where the process before this one ended."""
        today = local_day(now_ns)
        days = (today, today + timedelta(days=1))
        saved = await self._store.status()
        planner = Planner(Schedule.from_json("" if saved is None else saved.schedule), lead_ns=self._lead_ns)
        known = {found.hour: found.stamp_ns for found in await self._store.known(days)}
        for hour in tradable_hours(now_ns, self._lead_ns):
            planner.restore(hour, known.get(hour))
        await self._look_back(planner, now_ns)
        self._planner = planner

    async def _keep_looking_back(self) -> None:
        while True:
            await self._sleep(LOOK_BACK_S)
            if self.stats.polling:
                # Looked for again next time.
                with suppress(DatabaseUnavailable):
                    await self._look_back(self._planner, self._wall_ns())
                    self._wake.set()

    async def _look_back(self, planner: Planner, now_ns: int) -> None:
        """Have the last price fetched of hours that closed while nobody asked: all of today's, and of the days before those with deals."""
        today = local_day(now_ns)
        days = [today - timedelta(days=number) for number in range(LOOK_BACK_DAYS + 1)]
        known = {found.hour: found for found in await self._store.known(days)}
        for hour in {*hours_of_day(today), *await self._store.traded(days[1:]), *known}:
            found = known.get(hour)
            if hour.gate_closure_ns(self._lead_ns) <= now_ns and (found is None or not found.final):
                planner.look_back(hour, None if found is None else found.stamp_ns, now_ns)
