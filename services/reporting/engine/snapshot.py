"""Read sums and reference prices by delivery day from the database, and keep them up to date by reading only what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clients.database import DatabaseUnavailable, outages_as
from clients.power.calendar import DeliveryHour
from clients.power.store.reference_tables import SOURCE
from services.reporting.engine.figures import Sums
from services.reporting.engine.listener_standing import FEED, ListenerStanding
from services.reporting.engine.queries import (
    Slice,
    change_marks,
    deal_sums,
    latest_references,
    latest_standing,
    newest_times,
    outdated_sums,
    read_deal_sums,
)
from services.reporting.engine.reference_status import ReferenceStatus

__all__ = ["DeliveryDay", "Reference", "Snapshot", "SnapshotReader"]

AUDIT_EVERY_NS: Final = 60_000_000_000
AUDIT_SHARE: Final = 50
"""An audit may take a fiftieth of the time, however many deals a day has."""


@dataclass(frozen=True)
class Reference:
    """The newest reference price of an hour or quarter."""

    value_e4: int
    update_ns: int
    """The provider's stamp."""
    observed_ns: int
    final: bool = False
    """The provider has said it again after the hour had closed: no later one can come."""


@dataclass(frozen=True)
class DeliveryDay:
    """One delivery day. Mappings are never changed, only replaced."""

    sums: Mapping[Slice, Sums] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    """By hour or quarter."""

    def reference_of(self, period: DeliveryHour) -> tuple[str, Reference | None]:
        """Return what a period is compared with, and whose price that is: its own, or for a quarter without one its hour's."""
        own = self.references.get(period.label)
        if own is not None or not period.quarter:
            return period.label, own
        label = period.whole_hour.label
        return label, self.references.get(label)


@dataclass(frozen=True)
class Snapshot:
    """Everything that was read, consistent and immutable."""

    position: int = 0
    """Deals up to this one are in."""
    reference_id: int = 0
    gap_until_ns: int = 0
    finals: int = 0
    """Prices of these days that are known to be final."""
    filled: str = ""
    """Changes when a row that was read already says something else."""
    days: Mapping[str, DeliveryDay] = field(default_factory=dict)
    status: ReferenceStatus = field(default_factory=ReferenceStatus)
    listener: ListenerStanding = field(default_factory=ListenerStanding)
    as_of_ns: int = 0
    """Wall clock of the last successful read."""


@dataclass(frozen=True)
class Arrivals:
    """New deals, and revisions of deals, that a read brought."""

    deals: int
    executed_ns: int
    received_ns: int


class SnapshotReader:
    """Reads the database. One task refreshes; others look at `snapshot` and may load days with `day()`."""

    def __init__(
        self, engine: AsyncEngine, *, wall_ns: Callable[[], int], monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._engine = engine
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._audit_after_ns = 0
        self.snapshot = Snapshot()
        self.reads = 0
        self.corrections = 0

    async def refresh(self, days: Iterable[str]) -> Arrivals | None:
        """Bring the snapshot up to date for `days`; other days leave it. Returns what deals arrived, None at the first read.

        One small statement when nothing has changed. Raises DatabaseUnavailable; the snapshot then stays as it was.
        """
        with outages_as(DatabaseUnavailable, besides=_tables_are_missing):
            return await self._refresh(days)

    async def _refresh(self, days: Iterable[str]) -> Arrivals | None:
        wanted = frozenset(days)
        before = self.snapshot
        first = not before.as_of_ns
        async with self._engine.connect() as connection:
            self.reads += 1
            marks = (await connection.execute(change_marks(SOURCE, wanted))).one()
            position, reference_id, gap_until_ns, finals = (int(mark) for mark in marks[:4])
            filled = str(marks[4])
            standing = (await connection.execute(latest_standing(FEED))).first()
            if position < before.position or reference_id < before.reference_id:
                # Another database stands where ours was (a file deleted, a restore): begin again.
                before = Snapshot()
            if filled != before.filled and not first:
                before = replace(before, days={})
            known = {day: delivery for day, delivery in before.days.items() if day in wanted}
            arrivals = None if first else Arrivals(0, 0, 0)
            if position > before.position and known:
                known = await self._with_new_deals(connection, known, before.position, position)
            if position > before.position and not first:
                arrivals = await self._arrivals(connection, before.position, position)
            missing = wanted - known.keys()
            if missing:
                known |= await self._deals_of(connection, missing, position)
            if reference_id > before.reference_id or finals != before.finals or missing:
                known = await self._with_references(connection, known)
            if self._audit_is_due():
                known = await self._audited(connection, known, position)
        self.snapshot = Snapshot(
            position,
            reference_id,
            gap_until_ns,
            finals,
            filled,
            known,
            ReferenceStatus.read(*marks[5:]),
            ListenerStanding.read(standing),
            self._wall_ns(),
        )
        return arrivals

    async def day(self, day: str) -> DeliveryDay:
        """Read one day from the beginning, for pages about the past. Raises DatabaseUnavailable."""
        with outages_as(DatabaseUnavailable, besides=_tables_are_missing):
            async with self._engine.connect() as connection:
                self.reads += 1
                marks = (await connection.execute(change_marks(SOURCE, (day,)))).one()
                deliveries = await self._deals_of(connection, {day}, int(marks[0]))
                return (await self._with_references(connection, deliveries))[day]

    async def _with_new_deals(
        self, connection: AsyncConnection, deliveries: Mapping[str, DeliveryDay], after: int, upto: int
    ) -> dict[str, DeliveryDay]:
        sums = {day: dict(delivery.sums) for day, delivery in deliveries.items()}
        touched = set()
        for statement, sign in ((deal_sums, 1), (outdated_sums, -1)):
            for row in await connection.execute(statement(after=after, upto=upto, days=deliveries)):
                found = read_deal_sums(row)
                of_day = sums[found.delivery_day]
                before = of_day.get(found.slice, Sums())
                of_day[found.slice] = before + found.sums if sign > 0 else before - found.sums
                if of_day[found.slice] == Sums():
                    # A deal that was moved elsewhere leaves no row without deals behind.
                    del of_day[found.slice]
                touched.add(found.delivery_day)
        return {
            day: replace(delivery, sums=sums[day]) if day in touched else delivery
            for day, delivery in deliveries.items()
        }

    async def _deals_of(self, connection: AsyncConnection, days: Iterable[str], upto: int) -> dict[str, DeliveryDay]:
        sums: dict[str, dict[Slice, Sums]] = {day: {} for day in days}
        for row in await connection.execute(deal_sums(upto=upto, days=sums)):
            found = read_deal_sums(row)
            sums[found.delivery_day][found.slice] = found.sums
        return {day: DeliveryDay(sums=of_day) for day, of_day in sums.items()}

    async def _with_references(
        self, connection: AsyncConnection, deliveries: Mapping[str, DeliveryDay]
    ) -> dict[str, DeliveryDay]:
        references: dict[str, dict[str, Reference]] = {day: {} for day in deliveries}
        for day, hour, value_e4, update_ns, seen_ns, final in await connection.execute(latest_references(deliveries)):
            references[day][hour] = Reference(int(value_e4), int(update_ns), int(seen_ns), bool(final))
        return {
            day: delivery if delivery.references == references[day] else replace(delivery, references=references[day])
            for day, delivery in deliveries.items()
        }

    async def _arrivals(self, connection: AsyncConnection, after: int, upto: int) -> Arrivals:
        executed_ns, received_ns, count = (await connection.execute(newest_times(after=after, upto=upto))).one()
        return Arrivals(int(count), int(executed_ns or 0), int(received_ns or 0))

    def _audit_is_due(self) -> bool:
        return self._monotonic_ns() >= self._audit_after_ns

    async def _audited(
        self, connection: AsyncConnection, deliveries: Mapping[str, DeliveryDay], upto: int
    ) -> dict[str, DeliveryDay]:
        """Read everything again now and then: two writers on one database may commit positions out of order."""
        began_ns = self._monotonic_ns()
        true = await self._deals_of(connection, deliveries, upto)
        took_ns = self._monotonic_ns() - began_ns
        self._audit_after_ns = self._monotonic_ns() + max(AUDIT_EVERY_NS, AUDIT_SHARE * took_ns)
        wrong = [day for day, delivery in deliveries.items() if delivery.sums != true[day].sums]
        self.corrections += len(wrong)
        return {
            day: replace(delivery, sums=true[day].sums) if day in wrong else delivery
            for day, delivery in deliveries.items()
        }


def _tables_are_missing(exc: Exception) -> bool:
    """Whether another process is about to make them, in a new database or one that is being restored."""
    text = str(exc).lower()
    return "no such table" in text or "does not exist" in text
