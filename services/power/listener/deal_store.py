"""Write what the listener hands on: deals once, the cursor in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clients.database import DatabaseUnavailable, outages_as, writing
from clients.power.deals.model import RAW_BYTES_MAX, Deal, Gap, Unusable
from clients.power.store.schema import FILLED, deals, feed_cursor, feed_gaps, unusable_messages
from clients.power.store.tables import prepare_power_database
from services.power.listener.feed_entry import NONE_COMMITTED, FeedEntry, Mark
from services.power.listener.revisions import CONTENT, Arrival, KnownDeals, Revision, is_bare
from services.power.listener.sink import Committed, Cursor

__all__ = ["DealStore"]

LOOKUP_IDS: Final = 500
"""Ids asked for in one statement."""

_VALUES: Final = (*CONTENT, "market")
"""What a revision says, in the order of `Revision.values`."""

_KNOWN: Final = select(
    deals.c.id,
    deals.c.revision,
    deals.c.status,
    deals.c.flags,
    deals.c.position,
    deals.c.received_time_ns,
    deals.c.superseded_by,
    *(deals.c[name] for name in _VALUES),
).where(deals.c.id.in_(bindparam("ids", expanding=True)))

_CHANGE: Final = (
    update(deals)
    .where(deals.c.id == bindparam("its_id"), deals.c.revision == bindparam("its_revision"))
    .values({name: bindparam(f"its_{name}") for name in (*_VALUES, "superseded_by", "superseded_time_ns")})
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
        arrivals = [Arrival(entry.item, entry.moves_cursor) for entry in fresh if isinstance(entry.item, Deal)]
        known = await self._known(connection, [arrival.deal.id for arrival in arrivals])
        sorted_out = known.sort_out(arrivals)
        unusable = [*(entry.item for entry in fresh if isinstance(entry.item, Unusable)), *sorted_out.conflicts]
        gaps = await self._resolve(connection, [entry.item for entry in fresh if isinstance(entry.item, Gap)])
        await self._write_deals(connection, known)
        await self._insert(connection, unusable, gaps)
        fed = [arrival.deal for arrival in arrivals if arrival.by_feed]
        if fed:
            await self._set_cursor(connection, self._feed, fed[-1].key, fed[-1].received_time_ns)
        await self._set_cursor(connection, self._mark_row, fresh[-1].mark.spelt(), _time_of(fresh[-1]))
        return Committed(
            deals=len(sorted_out.new),
            fetched=sum(not arrival.by_feed for arrival in sorted_out.new),
            duplicates=sum(arrival.by_feed for arrival in sorted_out.again),
            unusable=len(unusable),
            gaps=len(gaps),
            repeated=len(entries) - len(fresh),
            revised=sum(arrival.deal.revision > 1 for arrival in sorted_out.new),
        )

    @staticmethod
    async def _known(connection: AsyncConnection, asked: Sequence[str]) -> KnownDeals:
        """Return what is in the database under these ids."""
        known: dict[str, list[Revision]] = {}
        ids = list(dict.fromkeys(asked))
        for start in range(0, len(ids), LOOKUP_IDS):
            for row in await connection.execute(_KNOWN, {"ids": ids[start : start + LOOKUP_IDS]}):
                known.setdefault(row.id, []).append(_revision(row))
        last = (await connection.execute(select(func.coalesce(func.max(deals.c.position), 0)))).scalar_one()
        return KnownDeals(known, int(last))

    async def _write_deals(self, connection: AsyncConnection, known: KnownDeals) -> None:
        added = [_deal_row(found) for found in known.added()]
        if added:
            await connection.execute(deals.insert(), added)
        changed = known.changed()
        if changed:
            await connection.execute(_CHANGE, [_change(deal_id, found) for deal_id, found in changed])
        if any(found.filled for _, found in changed):
            # Whoever adds up only what is behind a position has to begin again: a row before it says something else now.
            await self._set_cursor(connection, self._feed + FILLED, str(added[-1]["position"]), 0)

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
        unusable: Sequence[Unusable],
        gaps: Sequence[dict[str, Any]],
    ) -> None:
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


def _revision(row: Row[*tuple[Any, ...]]) -> Revision:
    return Revision(
        revision=row.revision,
        values=tuple(row[-len(_VALUES) :]),
        status=row.status,
        bare=is_bare(row.flags),
        position=row.position,
        received_ns=row.received_time_ns,
        superseded_by=row.superseded_by,
    )


def _deal_row(found: Revision) -> dict[str, Any]:
    deal = found.deal
    assert deal is not None
    return {
        "id": deal.id,
        "revision": deal.revision,
        **dict(zip(_VALUES, found.values, strict=True)),
        "received_time_ns": deal.received_time_ns,
        "flags": deal.flags,
        "position": found.position,
        "raw_kind": deal.raw_kind,
        "status": found.status,
        "superseded_by": found.superseded_by,
        "superseded_time_ns": found.superseded_ns,
    }


def _change(deal_id: str, found: Revision) -> dict[str, Any]:
    values = dict(zip(_VALUES, found.values, strict=True))
    values |= {"superseded_by": found.superseded_by, "superseded_time_ns": found.superseded_ns}
    return {"its_id": deal_id, "its_revision": found.revision} | {
        f"its_{name}": value for name, value in values.items()
    }


def _time_of(entry: FeedEntry) -> int:
    item = entry.item
    return item.until_ns if isinstance(item, Gap) else item.received_time_ns
