"""Single deals, for lists and drill-downs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import outages_as
from services.reporting.engine.queries import DEALS_PAGE_MAX, deals_page
from services.runtime.errors import Unavailable

__all__ = ["DealFilter", "DealReader", "DealRow"]


@dataclass(frozen=True)
class DealFilter:
    """A choice of deals; empty means any."""

    day: str = ""
    hour: str = ""
    trader: str = ""


@dataclass(frozen=True)
class DealRow:
    """One deal as it is stored."""

    id: str
    price_e4: int
    quantity_e4: int
    sells: bool
    delivery_day: str
    delivery_hour: str
    trader_id: str
    execution_time_ns: int
    received_time_ns: int
    flags: tuple[str, ...]
    position: int


class DealReader:
    """Reads deals, newest first."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, chosen: DealFilter, *, before: int | None, limit: int) -> list[DealRow]:
        """Return at most `limit` deals below position `before`. Raises Unavailable when the database is away."""
        statement = deals_page(day=chosen.day, hour=chosen.hour, trader=chosen.trader, before=before, limit=limit)
        with outages_as(lambda _: Unavailable("the database does not answer; try again in a moment")):
            async with self._engine.connect() as connection:
                return [_deal(row) for row in await connection.execute(statement)]

    async def export(self, chosen: DealFilter) -> AsyncIterator[list[DealRow]]:
        """Yield everything, page by page: whoever takes the pages holds one at a time, so there is no bound."""
        before: int | None = None
        while True:
            rows = await self.page(chosen, before=before, limit=DEALS_PAGE_MAX)
            if rows:
                yield rows
            if len(rows) < DEALS_PAGE_MAX:
                return
            before = rows[-1].position


def _deal(row: Row[*tuple[Any, ...]]) -> DealRow:
    return DealRow(
        id=row.id,
        price_e4=int(row.price_e4),
        quantity_e4=int(row.quantity_e4),
        sells=row.direction == "sell",
        delivery_day=row.delivery_day,
        delivery_hour=row.delivery_hour,
        trader_id=row.trader_id,
        execution_time_ns=int(row.execution_time_ns),
        received_time_ns=int(row.received_time_ns),
        flags=tuple(flag for flag in row.flags.split(",") if flag),
        position=int(row.position),
    )
