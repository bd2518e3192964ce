"""Single deals, for lists and drill-downs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import outage_in_words, outages_as
from clients.power.calendar import DeliveryHour, delivery_hour
from clients.power.store.schema import CANCELED
from services.reporting.engine.figures import Side
from services.reporting.engine.queries import DEALS_PAGE_MAX, deals_page
from services.runtime.errors import Unavailable

__all__ = ["DealFilter", "DealReader", "DealRow", "DealStatus", "deal_of"]


@unique
class DealStatus(StrEnum):
    """What became of a deal, or of a revision of it."""

    ACTIVE = "active"
    CORRECTED = "corrected"
    """The exchange has corrected it: these are the corrected values."""
    CANCELED = "canceled"
    SUPERSEDED = "superseded"
    """An earlier revision: it counts for nothing any more."""


@dataclass(frozen=True)
class DealFilter:
    """A choice of deals; empty means any."""

    day: str = ""
    hour: str = ""
    trader: str = ""
    market: str = ""
    superseded: bool = False
    """Also earlier revisions of deals that were corrected or canceled since."""


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
    status: DealStatus = DealStatus.ACTIVE
    revision: int = 1
    market: str = ""
    superseded_ns: int = 0
    """When the revision that replaced this one came; 0: none did."""

    @property
    def period(self) -> DeliveryHour:
        """What it delivers."""
        return delivery_hour(self.delivery_day, self.delivery_hour)

    @property
    def energy(self) -> Decimal:
        """MWh."""
        return Side.of(1, self.quantity_e4, 0, self.period.minutes).energy

    @property
    def counts(self) -> bool:
        """Whether figures contain it."""
        return self.status in (DealStatus.ACTIVE, DealStatus.CORRECTED)


class DealReader:
    """Reads deals, newest first."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, chosen: DealFilter, *, before: int | None, limit: int) -> list[DealRow]:
        """Return at most `limit` deals below position `before`. Raises Unavailable when the database is away."""
        statement = deals_page(
            day=chosen.day,
            hour=chosen.hour,
            trader=chosen.trader,
            market=chosen.market,
            superseded=chosen.superseded,
            before=before,
            limit=limit,
        )
        with outages_as(lambda exc: Unavailable(outage_in_words(exc))):
            async with self._engine.connect() as connection:
                return [deal_of(row) for row in await connection.execute(statement)]

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


def deal_of(row: Row[*tuple[Any, ...]]) -> DealRow:
    """Return the deal in a row of the table."""
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
        status=_status(row),
        revision=int(row.revision),
        market=row.market,
        superseded_ns=int(row.superseded_time_ns or 0),
    )


def _status(row: Row[*tuple[Any, ...]]) -> DealStatus:
    if row.superseded_by is not None:
        return DealStatus.SUPERSEDED
    if row.status == CANCELED:
        return DealStatus.CANCELED
    return DealStatus.CORRECTED if row.revision > 1 else DealStatus.ACTIVE
