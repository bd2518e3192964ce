"""A power desk's database for tests: made deals and prices, written as the listener and the price process write them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, writing
from clients.power.calendar import BERLIN
from clients.power.store import prepare_power_database
from clients.power.store.reference_tables import reference_standing
from clients.power.store.schema import deals, feed_gaps, listener_standing, reference_prices


@dataclass(frozen=True)
class MadeDeal:
    """A deal as a test writes it down."""

    price: str
    quantity: str
    direction: str
    delivery_day: str
    delivery_hour: str
    trader_id: str = "flex_trader_1"
    id: str = ""
    execution_time_ns: int = 1_760_000_000_000_000_000
    flags: str = ""
    market: str = ""


class Desk:
    """Writes to the database; every method commits."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    async def open(cls, url: str) -> Desk:
        """Open a database and make its tables."""
        engine = open_database(url, application="test")
        await prepare_power_database(engine)
        return cls(engine)

    async def close(self) -> None:
        await self.engine.dispose()

    async def add_deals(self, made: Iterable[MadeDeal]) -> None:
        """Append deals in this order."""
        async with writing(self.engine) as connection:
            last = int((await connection.execute(select(func.coalesce(func.max(deals.c.position), 0)))).scalar_one())
            rows = [
                {
                    "id": deal.id or f"{last + number:032x}",
                    "price_e4": e4(deal.price),
                    "quantity_e4": e4(deal.quantity),
                    "direction": deal.direction,
                    "delivery_day": deal.delivery_day,
                    "delivery_hour": deal.delivery_hour,
                    "trader_id": deal.trader_id,
                    "execution_time_ns": deal.execution_time_ns,
                    "received_time_ns": deal.execution_time_ns + 5_000_000,
                    "flags": deal.flags,
                    "position": last + number,
                    "raw_kind": "deal_confirmation",
                    "market": deal.market,
                }
                for number, deal in enumerate(made, 1)
            ]
            for start in range(0, len(rows), 1_000):
                await connection.execute(insert(deals), rows[start : start + 1_000])

    async def set_reference(
        self,
        day: str,
        hour: str,
        value: str | None,
        *,
        update_ns: int,
        observed_ns: int | None = None,
        final: bool = False,
    ) -> None:
        """Add one observed price; `final` says that it was asked for after its hour had closed."""
        row = {
            "delivery_day": day,
            "delivery_hour": hour,
            "value_e4": None if value is None else e4(value),
            "unit": "euro/mwh",
            "last_update_ns": None if value is None else update_ns,
            "observed_time_ns": update_ns if observed_ns is None else observed_ns,
            "state": "none" if value is None else "final" if final else "value",
        }
        async with writing(self.engine) as connection:
            await connection.execute(insert(reference_prices), [row])

    async def set_status(
        self, *, next_due_ns: int, last_answer_ns: int = 0, trouble: str = "", schedule: str = "{}"
    ) -> None:
        """Replace what the price process says about itself."""
        row = {
            "source": "reference-price",
            "next_due_ns": next_due_ns,
            "last_answer_ns": last_answer_ns,
            "trouble": trouble,
            "schedule": schedule,
            "updated_time_ns": 0,
        }
        async with writing(self.engine) as connection:
            await connection.execute(reference_standing.delete())
            await connection.execute(insert(reference_standing), [row])

    async def confirm_reference(self, day: str, hour: str) -> None:
        """Mark the prices of an hour as the price process does that hears the same again after closure."""
        chosen = (reference_prices.c.delivery_day == day, reference_prices.c.delivery_hour == hour)
        async with writing(self.engine) as connection:
            await connection.execute(update(reference_prices).where(*chosen).values(state="final"))

    async def set_listener(self, *, updated_ns: int, **values: int | str) -> None:
        """Replace what the listener says about itself; it is connected and has nothing to tell unless `values` say otherwise."""
        row: dict[str, int | str] = dict.fromkeys(
            (
                "since_ns",
                "last_message_ns",
                "last_deal_ns",
                "spooled",
                "unusable_today",
                "unusable_total",
                "mostly_unusable",
            ),
            0,
        )
        row = row | {"feed": "deals", "connected": 1, "trouble": "", "updated_time_ns": updated_ns} | values
        async with writing(self.engine) as connection:
            await connection.execute(listener_standing.delete())
            await connection.execute(insert(listener_standing), [row])

    async def add_gap(self, since_ns: int, until_ns: int) -> None:
        """Add a hole in the feed."""
        row = {"feed": "test", "since_ns": since_ns, "until_ns": until_ns, "reason": "test"}
        async with writing(self.engine) as connection:
            await connection.execute(insert(feed_gaps), [row])


def e4(text: str) -> int:
    """The integer that stands for a decimal."""
    return int(Decimal(text).scaleb(4))


def berlin_ns(text: str) -> int:
    """The instant of a local time like `2025-10-09 10:53`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * 1_000_000_000


def sqlite_url(directory: Path) -> str:
    """A database file of this test."""
    return f"sqlite:///{directory}/power.db"


def random_deals(
    rng: random.Random, count: int, *, days: Sequence[str], hours: Sequence[str], traders: int = 5
) -> list[MadeDeal]:
    """Deals of every kind."""
    return [
        MadeDeal(
            price=f"{rng.uniform(-50, 150):.2f}",
            quantity=f"{rng.uniform(0.1, 20):.1f}",
            direction=rng.choice(("buy", "sell")),
            delivery_day=rng.choice(days),
            delivery_hour=rng.choice(hours),
            trader_id=f"flex_trader_{rng.randint(1, traders)}",
        )
        for _ in range(count)
    ]


async def _fill(url: str, made: Sequence[MadeDeal], now_ns: int) -> None:
    desk = await Desk.open(url)
    await desk.add_deals([replace(deal, execution_time_ns=now_ns - 60_000_000_000) for deal in made])
    await desk.close()


def fill(url: str, made: Sequence[MadeDeal], *, now_ns: int) -> None:
    """Make a database with these deals, executed a minute ago."""
    asyncio.run(_fill(url, made, now_ns))
