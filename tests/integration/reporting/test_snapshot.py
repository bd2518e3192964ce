"""The SQL of the figures, on real databases, against a computation that shares nothing with it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from clients.database import DatabaseUnavailable, open_database, writing
from clients.power.calendar import delivery_hour
from clients.power.store import prepare_power_database
from clients.power.store.schema import deals
from services.reporting.engine.figures import Figures, from_e6
from services.reporting.engine.history import HistoryReader
from services.reporting.engine.positions import matrix_of
from services.reporting.engine.queries import Slice
from services.reporting.engine.report import Selection, build_day, markets_of
from services.reporting.engine.snapshot import Snapshot, SnapshotReader
from tests.support.reporting_desk import Desk, MadeDeal, random_deals, sqlite_url

DAYS = ("2025-10-09", "2025-10-10")
HOURS = tuple(f"{hour:02d}-{hour + 1:02d}" for hour in range(8, 14))
QUARTERS = ("08:00-08:15", "08:45-09:00", "12:15-12:30", "23:45-24:00")
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
        if ":" in deal.delivery_hour:
            quantity *= Decimal("0.25")
        sign = 1 if deal.direction == "sell" else -1
        row = found[key]
        row[0] += quantity if sign < 0 else 0
        row[1] += quantity if sign > 0 else 0
        row[2] += quantity * price
        reference = references.get(key, references.get((key[0], hour_around(key[1]))))
        row[3] += 0 if reference is None else sign * quantity * (price - reference)
    return {key: tuple(row) for key, row in found.items()}


def hour_around(label: str) -> str:
    """The hour of a quarter, from its name alone."""
    return f"{label[:2]}-{int(label[:2]) + 1:02d}"


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


@pytest.mark.cases(2)
@pytest.mark.parametrize("seed", [1, 2])
async def test_figures_equal_brute_force_whatever_arrives_between_reads(desk: Desk, seed: int) -> None:
    rng = random.Random(seed)
    made = random_deals(rng, 400, days=DAYS, hours=HOURS + QUARTERS)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)
    references: dict[tuple[str, str], Decimal] = {}
    done = 0

    while done < len(made):
        step = rng.randint(1, 60)
        await desk.add_deals(made[done : done + step])
        done += step
        day, hour, value = rng.choice(DAYS), rng.choice(HOURS + QUARTERS[:2]), f"{rng.uniform(-20, 90):.4f}"
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

    sums = reader.snapshot.days[DAYS[0]].sums[Slice(HOURS[0], "flex_trader_1")]
    assert from_e6(sums.sold.energy_e6) == 50 * (Decimal("999999.9999") + Decimal("0.0001"))
    assert sums.sold.value_e10 == 50 * 100 * (9_999_999_999**2 - 1)
    assert sums.bought.value_e10 == -50 * 100 * 9_999_999_999**2


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


async def test_a_price_that_is_confirmed_without_being_new_becomes_final(desk: Desk) -> None:
    await desk.set_reference(DAYS[0], HOURS[0], "5", update_ns=NOW_NS)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)
    await reader.refresh(DAYS)
    before = reader.snapshot.days[DAYS[0]].references[HOURS[0]]

    await desk.confirm_reference(DAYS[0], HOURS[0])
    await reader.refresh(DAYS)

    assert not before.final
    assert reader.snapshot.days[DAYS[0]].references[HOURS[0]] == replace(before, final=True)


async def test_sums_are_kept_by_market(desk: Desk) -> None:
    await desk.add_deals([MadeDeal("5", "1", "buy", DAYS[0], HOURS[0], market=market) for market in ("DE", "AT", "")])
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)

    await reader.refresh(DAYS)

    delivery = reader.snapshot.days[DAYS[0]]
    assert markets_of([delivery]) == ("AT", "DE")
    assert build_day(DAYS[0], delivery, Selection(market="DE"), {}).total.sums.deals == 1
    (row,) = build_day(DAYS[0], delivery, Selection(), {}).rows
    assert (row.figures.sums.deals, row.markets) == (3, ("AT", "DE"))


@pytest.mark.parametrize("seed", [5, 6])
async def test_positions_equal_brute_force(desk: Desk, seed: int) -> None:
    made = random_deals(random.Random(seed), 300, days=DAYS, hours=HOURS + QUARTERS)
    await desk.add_deals(made)
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)
    await reader.refresh(DAYS)

    matrix = matrix_of(reader.snapshot.days)

    expected: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for deal in made:
        power = Decimal(deal.quantity) * (1 if deal.direction == "buy" else -1)
        expected[deal.delivery_day, deal.delivery_hour, deal.trader_id] += power
    found = {
        (day.day, row.period.label, trader): row.power(net_e6)
        for day in matrix.days
        for row in day.rows
        for trader, net_e6 in zip(matrix.traders, row.net_e6, strict=True)
    }
    assert {key: power for key, power in found.items() if key in expected or power} == expected
    for day in matrix.days:
        energies = [
            power * (Decimal("0.25") if ":" in label else 1)
            for (of_day, label, _), power in expected.items()
            if of_day == day.day
        ]
        assert from_e6(day.team_e6) == sum(energies)


async def test_the_net_position_of_a_quarter_counts_its_hour_where_it_says_so(desk: Desk) -> None:
    await desk.add_deals(
        [MadeDeal("5", "2", "buy", DAYS[0], "08-09"), MadeDeal("5", "3", "sell", DAYS[0], "08:15-08:30")]
    )
    reader = SnapshotReader(desk.engine, wall_ns=lambda: NOW_NS)
    await reader.refresh(DAYS)

    hour, quarter = build_day(DAYS[0], reader.snapshot.days[DAYS[0]], Selection(), {}).rows

    assert (hour.net_energy, hour.net_power, hour.net_power_with_hour) == (2, 2, 2)
    assert (quarter.net_energy, quarter.net_power) == (Decimal("-0.75"), -3)
    assert quarter.net_power_with_hour == -1


@pytest.mark.parametrize("own", [False, True], ids=["the hour's", "its own"])
async def test_the_history_of_a_quarter_has_its_own_prices_or_its_hours(desk: Desk, own: bool) -> None:
    made = [
        MadeDeal("5", "1", "buy", DAYS[0], "08:15-08:30", execution_time_ns=NOW_NS + moment) for moment in (3, 1, 2)
    ]
    await desk.add_deals([*made, MadeDeal("6", "1", "buy", DAYS[0], "08-09")])
    await desk.set_reference(DAYS[0], "08-09", "8", update_ns=NOW_NS)
    await desk.set_reference(DAYS[0], "08-09", "9", update_ns=NOW_NS + 600)
    await desk.set_reference(DAYS[0], "08-09", None, update_ns=NOW_NS)
    if own:
        await desk.set_reference(DAYS[0], "08:15-08:30", "7", update_ns=NOW_NS)

    history = await HistoryReader(desk.engine).read(delivery_hour(DAYS[0], "08:15-08:30"))

    assert [point.value_e4 for point in history.prices] == ([70_000] if own else [80_000, 90_000])
    assert history.reference_of_hour is not own
    assert [deal.execution_time_ns - NOW_NS for deal in history.deals] == [1, 2, 3]
