"""Write what the listener hands on: deals once, the cursor in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clients.database import DatabaseUnavailable, outages_as, writing
from clients.power.deals.model import RAW_BYTES_MAX, Deal, Gap, Unusable, capped
from clients.power.store.schema import deals, feed_cursor, feed_gaps, unusable_messages
from clients.power.store.tables import prepare_power_database
from services.power.listener.feed_entry import NONE_COMMITTED, FeedEntry, Mark
from services.power.listener.sink import Committed, Cursor

__all__ = ["DealStore"]

LOOKUP_IDS: Final = 500
"""Ids asked for in one statement."""

_CONTENT: Final = (
    "price_e4",
    "quantity_e4",
    "direction",
    "delivery_day",
    "delivery_hour",
    "trader_id",
    "execution_time_ns",
)
"""What two confirmations of one deal have to agree on."""

_KNOWN: Final = select(deals.c.id, *(deals.c[name] for name in _CONTENT)).where(
    deals.c.id.in_(bindparam("ids", expanding=True))
)


class DealStore:
    """The sink of one feed (`DealSink`) in SQLite or Postgres."""

    def __init__(self, engine: AsyncEngine, *, feed: str = "deals") -> None:
        self._engine = engine
        self._feed = feed
        self._mark_row = f"{feed}.mark"
        self._prepared = False

    async def prepare(self) -> None:
        """Create or upgrade the tables, once."""
        if not self._prepared:
            await prepare_power_database(self._engine)
            self._prepared = True

    async def cursor(self) -> Cursor | None:
        """Return where the feed was left; None before the first deal."""
        await self.prepare()
        with outages_as(DatabaseUnavailable):
            async with self._engine.connect() as connection:
                return await self._read_cursor(connection)

    async def commit(self, entries: Sequence[FeedEntry]) -> Committed:
        """Write a batch, all of it or nothing. Repeating a batch, or parts of it, changes nothing."""
        await self.prepare()
        with outages_as(DatabaseUnavailable):
            async with writing(self._engine) as connection:
                return await self._write(connection, entries)

    async def _write(self, connection: AsyncConnection, entries: Sequence[FeedEntry]) -> Committed:
        if connection.dialect.name == "postgresql":
            # Positions have no holes and no twins: one writer at a time. Readers are not held up.
            await connection.execute(text("LOCK TABLE deals IN SHARE ROW EXCLUSIVE MODE"))
        mark = await self._read_mark(connection)
        fresh = [entry for entry in entries if not mark.covers(entry.mark)]
        if not fresh:
            return Committed(repeated=len(entries))
        arrivals = [_Arrival(entry.item, entry.moves_cursor) for entry in fresh if isinstance(entry.item, Deal)]
        known = await self._known(connection, [arrival.deal.id for arrival in arrivals])
        sorted_out = _sort_out(arrivals, known)
        unusable = [*(entry.item for entry in fresh if isinstance(entry.item, Unusable)), *sorted_out.conflicts]
        gaps = await self._resolve(connection, [entry.item for entry in fresh if isinstance(entry.item, Gap)])
        await self._insert(connection, [arrival.deal for arrival in sorted_out.new], unusable, gaps)
        fed = [arrival.deal for arrival in arrivals if arrival.by_feed]
        if fed:
            await self._set_cursor(connection, self._feed, fed[-1].id, fed[-1].received_time_ns)
        await self._set_cursor(connection, self._mark_row, fresh[-1].mark.spelt(), _time_of(fresh[-1]))
        return Committed(
            deals=len(sorted_out.new),
            fetched=sum(not arrival.by_feed for arrival in sorted_out.new),
            duplicates=sum(arrival.by_feed for arrival in sorted_out.again),
            unusable=len(unusable),
            gaps=len(gaps),
            repeated=len(entries) - len(fresh),
        )

    @staticmethod
    async def _known(connection: AsyncConnection, asked: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """Return what is in the database under these ids."""
        known: dict[str, tuple[Any, ...]] = {}
        ids = list(dict.fromkeys(asked))
        for start in range(0, len(ids), LOOKUP_IDS):
            rows = await connection.execute(_KNOWN, {"ids": ids[start : start + LOOKUP_IDS]})
            known.update((row[0], tuple(row[1:])) for row in rows)
        return known

    async def _resolve(self, connection: AsyncConnection, gaps: Sequence[Gap]) -> list[dict[str, Any]]:
        """Give a gap its beginning. One before the first deal ever is none: nothing was promised before."""
        rows: list[dict[str, Any]] = []
        for gap in gaps:
            since_ns = gap.since_ns
            if since_ns is None:
                cursor = await self._read_cursor(connection)
                since_ns = None if cursor is None else cursor.updated_time_ns
            if since_ns is not None:
                until_ns = max(gap.until_ns, since_ns)
                rows.append({"feed": self._feed, "since_ns": since_ns, "until_ns": until_ns, "reason": gap.reason})
        return rows

    async def _insert(
        self,
        connection: AsyncConnection,
        new: Sequence[Deal],
        unusable: Sequence[Unusable],
        gaps: Sequence[dict[str, Any]],
    ) -> None:
        if new:
            last = (await connection.execute(select(func.coalesce(func.max(deals.c.position), 0)))).scalar_one()
            await connection.execute(deals.insert(), list(_deal_rows(new, int(last))))
        if unusable:
            rows = [
                {"received_time_ns": each.received_time_ns, "reason": each.reason, "raw": each.raw[:RAW_BYTES_MAX]}
                for each in unusable
            ]
            await connection.execute(unusable_messages.insert(), rows)
        if gaps:
            await connection.execute(feed_gaps.insert(), list(gaps))

    async def _read_cursor(self, connection: AsyncConnection) -> Cursor | None:
        row = await self._cursor_row(connection, self._feed)
        return None if row is None else Cursor(row[0], row[1])

    async def _read_mark(self, connection: AsyncConnection) -> Mark:
        row = await self._cursor_row(connection, self._mark_row)
        return NONE_COMMITTED if row is None else Mark.parse(row[0])

    @staticmethod
    async def _cursor_row(connection: AsyncConnection, feed: str) -> tuple[str, int] | None:
        table = feed_cursor.c
        query = select(table.last_deal_id, table.updated_time_ns).where(table.feed == feed)
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else (str(row[0]), int(row[1]))

    @staticmethod
    async def _set_cursor(connection: AsyncConnection, feed: str, last_deal_id: str, time_ns: int) -> None:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(feed_cursor)
        values = {"last_deal_id": last_deal_id, "updated_time_ns": time_ns}
        statement = insert.values(feed=feed, **values).on_conflict_do_update(index_elements=["feed"], set_=values)
        await connection.execute(statement)


@dataclass(frozen=True)
class _Arrival:
    """A deal and whether the feed delivered it, as opposed to a look at the exchange's list."""

    deal: Deal
    by_feed: bool


@dataclass
class _SortedOut:
    """Arrivals by what becomes of them."""

    new: list[_Arrival] = field(default_factory=list)
    again: list[_Arrival] = field(default_factory=list)
    conflicts: list[Unusable] = field(default_factory=list)


def _sort_out(arrivals: Iterable[_Arrival], known: dict[str, tuple[Any, ...]]) -> _SortedOut:
    """Tell what is new from what comes again, and from an id that comes again for something else."""
    found = _SortedOut()
    for arrival in arrivals:
        deal = arrival.deal
        content = tuple(getattr(deal, name) for name in _CONTENT)
        before = known.setdefault(deal.id, content)
        if before is content:
            found.new.append(arrival)
        elif before == content:
            found.again.append(arrival)
        elif arrival.by_feed:
            # Once, when the feed says it; the list says it again after every start.
            reason = f"deal {capped(deal.id)[:64]} was confirmed before with other values; the first is kept"
            found.conflicts.append(Unusable(deal.received_time_ns, reason, capped(str(deal))))
    return found


def _deal_rows(new: Iterable[Deal], last_position: int) -> Iterable[dict[str, Any]]:
    for position, deal in enumerate(new, last_position + 1):
        yield {
            "id": deal.id,
            "price_e4": deal.price_e4,
            "quantity_e4": deal.quantity_e4,
            "direction": deal.direction,
            "delivery_day": deal.delivery_day,
            "delivery_hour": deal.delivery_hour,
            "trader_id": deal.trader_id,
            "execution_time_ns": deal.execution_time_ns,
            "received_time_ns": deal.received_time_ns,
            "flags": deal.flags,
            "position": position,
            "raw_kind": deal.raw_kind,
        }


def _time_of(entry: FeedEntry) -> int:
    item = entry.item
    return item.until_ns if isinstance(item, Gap) else item.received_time_ns
