"""The SQL of the figures, on real databases, against a computation that shares nothing with it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from clients.database import DatabaseUnavailable, open_database, writing
from clients.power.store import prepare_power_database
from clients.power.store.schema import deals
from services.reporting.engine.figures import Figures, from_e4
from services.reporting.engine.report import Selection, build_day
from services.reporting.engine.snapshot import Snapshot, SnapshotReader
from tests.support.reporting_desk import Desk, MadeDeal, random_deals, sqlite_url

DAYS = ("2025-10-09", "2025-10-10")
HOURS = tuple(f"{hour:02d}-{hour + 1:02d}" for hour in range(8, 14))
NOW_NS = 1_760_000_000_000_000_000


def brute_force(
    made: Sequence[MadeDeal], references: dict[tuple[str, str], Decimal], trader: str
) -> dict[tuple[str, str], tuple[Decimal, ...]]:
    """Bought, sold, value, euro by day and hour, one deal at a time, in decimals."""
    found: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    for deal in made:
        if trader and deal.trader_id != trader:
            continue
        key = (deal.delivery_day, deal.delivery_hour)
        quantity, price = Decimal(deal.quantity), Decimal(deal.price)
        sign = 1 if deal.direction == "sell" else -1
        row = found[key]
        row[0] += quantity if sign < 0 else 0
        row[1] += quantity if sign > 0 else 0
        row[2] += quantity * price
        row[3] += sign * quantity * (price - references[key]) if key in references else 0
    return {key: tuple(row) for key, row in found.items()}


def figures_of(snapshot: Snapshot, trader: str) -> dict[tuple[str, str], Figures]:
    return {
        (day, row.hour.label): row.figures
        for day in DAYS
        for row in build_day(day, snapshot.days[day], Selection(trader=trader), {}).rows
    }


def assert_equal(figures: dict[tuple[str, str], Figures], expected: dict[tuple[str, str], tuple[Decimal, ...]]) -> None:
    assert figures.keys() == expected.keys()
    for key, (bought, sold, value, euro) in expected.items():
        found = figures[key]
        assert found.sums.bought.energy == bought
        assert found.sums.sold.energy == sold
        assert found.average is not None
        assert abs(found.average - value / (bought + sold)) < Decimal("1e-8")
        assert (found.performance or Decimal(0)) == euro


@pytest.mark.parametrize("seed", [1, 2])
async def test_figures_equal_brute_force_whatever_arrives_between_reads(desk: Desk, seed: int) -> None:
    rng = random.Random(seed)
    made = random_deals(rng, 400, days=DAYS, hours=HOURS)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)
    references: dict[tuple[str, str], Decimal] = {}
    done = 0

    while done < len(made):
        step = rng.randint(1, 60)
        await desk.add_deals(made[done : done + step])
        done += step
        day, hour, value = rng.choice(DAYS), rng.choice(HOURS), f"{rng.uniform(-20, 90):.4f}"
        if (day, hour) not in references:
            await desk.set_reference(day, hour, value, update_ns=NOW_NS + done)
            references[day, hour] = Decimal(value)
        await reader.refresh(DAYS)

    for trader in ("", "flex_trader_1", "flex_trader_5"):
        assert_equal(figures_of(reader.snapshot, trader), brute_force(made, references, trader))
    assert reader.corrections == 0


async def test_the_largest_legal_deals_are_summed_exactly(desk: Desk) -> None:
    made = [
        MadeDeal("999999.9999", "999999.9999", "sell", DAYS[0], HOURS[0]),
        MadeDeal("-999999.9999", "999999.9999", "buy", DAYS[0], HOURS[0]),
        MadeDeal("-0.0001", "0.0001", "sell", DAYS[0], HOURS[0]),
    ] * 50
    await desk.add_deals(made)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)

    await reader.refresh(DAYS)

    sums = reader.snapshot.days[DAYS[0]].sums[HOURS[0], "flex_trader_1"]
    assert from_e4(sums.sold.quantity_e4) == 50 * (Decimal("999999.9999") + Decimal("0.0001"))
    assert sums.sold.value_e8 == 50 * (9_999_999_999**2 - 1)
    assert sums.bought.value_e8 == -50 * 9_999_999_999**2


async def test_a_late_stamp_does_not_replace_a_newer_price(desk: Desk) -> None:
    await desk.set_reference(DAYS[0], HOURS[0], "10", update_ns=200, observed_ns=210)
    await desk.set_reference(DAYS[0], HOURS[0], "9", update_ns=100, observed_ns=220)
    await desk.set_reference(DAYS[0], HOURS[0], None, update_ns=0, observed_ns=230)
    await desk.set_reference(DAYS[0], HOURS[1], None, update_ns=0, observed_ns=230)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)

    await reader.refresh(DAYS)

    references = reader.snapshot.days[DAYS[0]].references
    assert {hour: reference.value_e4 for hour, reference in references.items()} == {HOURS[0]: 100_000}


async def test_a_stamp_from_the_future_ranks_by_when_it_was_seen(desk: Desk) -> None:
    second_ns = 1_000_000_000
    for number, ahead_s in enumerate((3_600, -10, -10)):
        seen_ns = NOW_NS + number * 600 * second_ns
        await desk.set_reference(
            DAYS[0], HOURS[0], str(77 - number), update_ns=seen_ns + ahead_s * second_ns, observed_ns=seen_ns
        )
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)

    await reader.refresh(DAYS)

    reference = reader.snapshot.days[DAYS[0]].references[HOURS[0]]
    assert (reference.value_e4, reference.update_ns) == (750_000, NOW_NS + 1_190 * second_ns)


async def test_a_read_without_news_is_one_statement_and_changes_nothing(sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(random_deals(random.Random(1), 20, days=DAYS, hours=HOURS))
    reader = SnapshotReader(sqlite_desk.engine, wall_ns=lambda: NOW_NS)
    await reader.refresh(DAYS)
    before = reader.snapshot

    arrivals = await reader.refresh(DAYS)

    assert arrivals is not None
    assert arrivals.deals == 0
    assert all(reader.snapshot.days[day] is before.days[day] for day in DAYS)


async def test_an_audit_finds_what_reading_on_cannot_see(sqlite_desk: Desk) -> None:
    clock = [0]
    await sqlite_desk.add_deals(random_deals(random.Random(1), 20, days=DAYS, hours=HOURS))
    reader = SnapshotReader(sqlite_desk.engine, wall_ns=lambda: NOW_NS, monotonic_ns=lambda: clock[0])
    await reader.refresh(DAYS)
    async with writing(sqlite_desk.engine) as connection:
        await connection.execute(update(deals).where(deals.c.position == 3).values(price_e4=1))

    clock[0] += 120_000_000_000
    await reader.refresh(DAYS)

    fresh = SnapshotReader(sqlite_desk.engine, wall_ns=lambda: NOW_NS)
    await fresh.refresh(DAYS)
    assert reader.corrections == 1
    assert reader.snapshot.days == fresh.snapshot.days


async def test_a_database_without_tables_counts_as_away_until_they_are_made(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path), application="test")
    reader = SnapshotReader(engine, wall_ns=lambda: NOW_NS)

    with pytest.raises(DatabaseUnavailable, match="no such table"):
        await reader.refresh(DAYS)
    await prepare_power_database(engine)
    await reader.refresh(DAYS)

    assert reader.snapshot.as_of_ns == NOW_NS
    await engine.dispose()


async def test_a_mistake_in_a_statement_does_not_count_as_an_outage(sqlite_desk: Desk) -> None:
    reader = SnapshotReader(sqlite_desk.engine, wall_ns=lambda: NOW_NS)
    async with writing(sqlite_desk.engine) as connection:
        await connection.execute(text("ALTER TABLE deals RENAME COLUMN price_e4 TO price"))

    with pytest.raises(OperationalError, match="no such column"):
        await reader.refresh(DAYS)


async def test_a_database_that_was_replaced_is_read_from_its_beginning(sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(random_deals(random.Random(1), 20, days=DAYS, hours=HOURS))
    reader = SnapshotReader(sqlite_desk.engine, wall_ns=lambda: NOW_NS)
    await reader.refresh(DAYS)
    async with writing(sqlite_desk.engine) as connection:
        await connection.execute(deals.delete().where(deals.c.position > 5))

    await reader.refresh(DAYS)

    assert sum(sums.deals for delivery in reader.snapshot.days.values() for sums in delivery.sums.values()) == 5
