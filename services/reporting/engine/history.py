"""How one delivery period came about: its reference price over time, and its deals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import outage_in_words, outages_as
from clients.power.calendar import DeliveryHour
from services.reporting.engine.deals import DealRow, deal_of
from services.reporting.engine.queries import executed_deals, reference_points
from services.runtime.errors import Unavailable

__all__ = ["History", "HistoryReader", "PricePoint"]

DEALS_MAX: Final = 5_000
"""More than a chart can show."""


@dataclass(frozen=True)
class PricePoint:
    """A reference price; it holds until the next."""

    since_ns: int
    value_e4: int
    observed_ns: int


@dataclass(frozen=True)
class History:
    """Everything oldest first."""

    period: DeliveryHour
    prices: tuple[PricePoint, ...]
    reference_of_hour: bool
    """The prices are the whole hour's: there are none of this quarter."""
    deals: tuple[DealRow, ...]
    """By execution; the newest, where there are more than can be shown."""
    more_deals: bool


class HistoryReader:
    """Reads from the database what no snapshot keeps."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, period: DeliveryHour, *, trader: str = "", market: str = "") -> History:
        """Return the history of a period. Raises Unavailable when the database is away."""
        labels = {period.label, period.whole_hour.label}
        chosen = executed_deals(
            day=period.day_text, hour=period.label, trader=trader, market=market, limit=DEALS_MAX + 1
        )
        with outages_as(lambda exc: Unavailable(outage_in_words(exc))):
            async with self._engine.connect() as connection:
                points: dict[str, list[PricePoint]] = {}
                for label, value_e4, since_ns, seen_ns in await connection.execute(
                    reference_points(period.day_text, labels)
                ):
                    points.setdefault(label, []).append(PricePoint(int(since_ns), int(value_e4), int(seen_ns)))
                rows = [deal_of(row) for row in await connection.execute(chosen)]
        own = period.label in points
        prices = points.get(period.label if own else period.whole_hour.label, [])
        return History(
            period,
            tuple(prices),
            reference_of_hour=bool(period.quarter) and not own and bool(prices),
            deals=tuple(reversed(rows[:DEALS_MAX])),
            more_deals=len(rows) > DEALS_MAX,
        )
