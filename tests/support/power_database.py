"""Read a power database for assertions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.power.deals.model import deal_key
from clients.power.store.schema import deals, feed_cursor, feed_gaps, unusable_messages

__all__ = ["cursor_id", "deal_ids", "deal_keys", "deal_rows", "gap_rows", "positions", "unusable_rows"]


async def deal_rows(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Return all deals in the order of their arrival."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(deals).order_by(deals.c.position))
        return [dict(row._mapping) for row in rows]


async def deal_ids(engine: AsyncEngine) -> list[str]:
    """Return the ids in the order of their arrival."""
    async with engine.connect() as connection:
        return [str(row[0]) for row in await connection.execute(select(deals.c.id).order_by(deals.c.position))]


async def deal_keys(engine: AsyncEngine) -> list[str]:
    """Return the names of all revisions, in the order of their arrival."""
    return [deal_key(row["id"], row["revision"]) for row in await deal_rows(engine)]


async def positions(engine: AsyncEngine) -> list[int]:
    """Return the positions in order."""
    async with engine.connect() as connection:
        return [int(row[0]) for row in await connection.execute(select(deals.c.position).order_by(deals.c.position))]


async def unusable_rows(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Return what could not be used, in order."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(unusable_messages).order_by(unusable_messages.c.id))
        return [dict(row._mapping) for row in rows]


async def gap_rows(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Return the gaps, in order."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(feed_gaps).order_by(feed_gaps.c.id))
        return [dict(row._mapping) for row in rows]


async def cursor_id(engine: AsyncEngine, feed: str = "deals") -> str | None:
    """Return the deal behind which the feed goes on."""
    async with engine.connect() as connection:
        query = select(feed_cursor.c.last_deal_id).where(feed_cursor.c.feed == feed)
        return (await connection.execute(query)).scalar_one_or_none()
