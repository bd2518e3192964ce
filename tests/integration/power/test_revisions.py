"""Corrections and cancellations: the newest revision counts, in whatever order and however often they come."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import migrate, open_database, writing
from clients.power.deals import Deal
from clients.power.deals.model import REVISION_LAST, Flag
from clients.power.store import MIGRATIONS, prepare_power_database
from clients.power.store.schema import VERSION_TABLE
from services.power.listener.deal_store import DealStore
from services.power.listener.sink import Cursor
from services.reporting.engine.deals import DealFilter, DealReader, DealStatus
from services.reporting.engine.report import Selection, build_day
from services.reporting.engine.snapshot import SnapshotReader
from tests.support.power_database import cursor_id, deal_rows, positions, unusable_rows
from tests.support.power_sink import entries_of, made_deal

DAY = "2023-02-21"


def corrected(deal: Deal, revision: int, **values: Any) -> Deal:
    return replace(deal, revision=revision, raw_kind="deal_correction", **values)


def canceled(deal: Deal, revision: int = REVISION_LAST) -> Deal:
    """A cancellation that names nothing but its deal."""
    return Deal(
        deal.id, 0, 0, "buy", "", "", "", 5, 5, Flag.NO_VALUES, "deal_cancellation", revision=revision, canceled=True
    )


def counting(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What counts of each deal."""
    names = ("revision", "status", "price_e4", "quantity_e4", "delivery_hour", "trader_id")
    newest = [row for row in rows if row["superseded_by"] is None]
    assert len({row["id"] for row in newest}) == len(newest)
    return {row["id"]: tuple(row[name] for name in names) for row in newest}


FIRST = made_deal(1)
STORIES = {
    "corrected": ([FIRST, corrected(FIRST, 2, price_e4=7), corrected(FIRST, 3, price_e4=9)], (3, "active", 9)),
    "canceled": ([FIRST, canceled(FIRST)], (REVISION_LAST, "canceled", FIRST.price_e4)),
    "canceled after a correction": (
        [FIRST, corrected(FIRST, 2, price_e4=7), canceled(FIRST, 3)],
        (3, "canceled", 7),
    ),
    "standing again": ([FIRST, canceled(FIRST, 2), corrected(FIRST, 3, price_e4=8)], (3, "active", 8)),
}


@pytest.mark.parametrize("story", STORIES)
async def test_whatever_order_they_come_in_the_newest_counts(power_engine: AsyncEngine, story: str) -> None:
    revisions, expected = STORIES[story]
    store = DealStore(power_engine)
    numbers = range(len(list(permutations(revisions))))

    for number, order in zip(numbers, permutations(revisions), strict=True):
        renamed = [replace(deal, id=f"{story}-{number}".replace(" ", "-")) for deal in order]
        if number % 2:
            await store.commit(entries_of(renamed, run=f"{number}"))
        else:
            for place, deal in enumerate(renamed):
                await store.commit(entries_of([deal], run=f"{number}.{place}"))

    rows = await deal_rows(power_engine)
    assert {found[:3] for found in counting(rows).values()} == {expected}
    assert len(counting(rows)) == len(numbers)
    assert {found[4] for found in counting(rows).values()} == {FIRST.delivery_hour}, (
        "also where only the id was canceled"
    )
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))


async def test_revisions_that_come_again_change_nothing_and_other_values_are_told(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    revisions = [FIRST, corrected(FIRST, 2, price_e4=7), canceled(FIRST, 3)]
    committed = await store.commit(entries_of(revisions))
    before = await deal_rows(power_engine)

    again = await store.commit(entries_of([*revisions, corrected(FIRST, 2, price_e4=8)], run="later"))

    assert (committed.deals, committed.revised) == (3, 2)
    assert (again.deals, again.duplicates, again.unusable) == (0, 3, 1)
    assert await deal_rows(power_engine) == before
    assert f"{FIRST.id}#2 was confirmed before" in (await unusable_rows(power_engine))[0]["reason"]
    assert await store.cursor() == Cursor(f"{FIRST.id}#2", FIRST.received_time_ns)
    assert await cursor_id(power_engine) == f"{FIRST.id}#2"


async def test_a_cancellation_of_a_deal_nobody_has_seen_counts_for_nothing_and_shows_once_it_comes(
    power_engine: AsyncEngine,
) -> None:
    store, reader = DealStore(power_engine), DealReader(power_engine)
    await store.commit(entries_of([canceled(FIRST)]))
    before = await reader.page(DealFilter(), before=None, limit=10)

    await store.commit(entries_of([FIRST], run="later"))

    assert before == []
    (shown,) = await reader.page(DealFilter(day=DAY), before=None, limit=10)
    assert (shown.status, shown.price_e4, shown.counts) == (DealStatus.CANCELED, FIRST.price_e4, False)
    every = await reader.page(DealFilter(day=DAY, superseded=True), before=None, limit=10)
    assert [(row.status, row.revision) for row in every] == [
        (DealStatus.SUPERSEDED, 1),
        (DealStatus.CANCELED, REVISION_LAST),
    ]
    assert every[0].superseded_ns


@pytest.mark.cases(3)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_figures_equal_brute_force_over_the_newest_revisions(power_engine: AsyncEngine, seed: int) -> None:
    rng = random.Random(seed)
    hours = ("15-16", "15:15-15:30", "16-17")
    messages: list[Deal] = []
    for number in range(60):
        first = replace(made_deal(number), delivery_hour=rng.choice(hours), price_e4=rng.randint(-500_000, 900_000))
        messages.append(first)
        for revision in range(2, 2 + rng.choice((0, 0, 1, 3))):
            values = {
                "price_e4": rng.randint(-500_000, 900_000),
                "delivery_hour": rng.choice(hours),
                "direction": rng.choice(("buy", "sell")),
                "trader_id": f"flex_trader_{rng.randint(1, 3)}",
            }
            messages.append(canceled(first, revision) if rng.random() < 0.3 else corrected(first, revision, **values))
    rng.shuffle(messages)
    store, reader = DealStore(power_engine), SnapshotReader(power_engine, wall_ns=lambda: 1)
    await reader.refresh((DAY,))

    seen: list[Deal] = []
    while messages:
        batch = [messages.pop() for _ in range(min(len(messages), rng.randint(1, 15)))]
        seen += batch
        await store.commit(entries_of(batch, run=f"{len(messages)}"))
        await reader.refresh((DAY,))
        report = build_day(DAY, reader.snapshot.days[DAY], Selection(), {})
        found = {row.hour.label: (row.figures.sums, row.figures) for row in report.rows}

        newest: dict[str, Deal] = {}
        for deal in seen:
            if deal.id not in newest or newest[deal.id].revision < deal.revision:
                newest[deal.id] = deal
        expected: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
        for deal in newest.values():
            if not deal.canceled:
                energy = Decimal(deal.quantity_e4).scaleb(-4) / (4 if ":" in deal.delivery_hour else 1)
                sums = expected[deal.delivery_hour]
                sums[0 if deal.direction == "buy" else 1] += energy
                sums[2] += energy * Decimal(deal.price_e4).scaleb(-4)
        assert {
            label: [
                sums.bought.energy,
                sums.sold.energy,
                Decimal(sums.bought.value_e10 + sums.sold.value_e10).scaleb(-10),
            ]
            for label, (sums, _) in found.items()
            if sums.deals
        } == expected
        assert sum(sums.corrected for sums, _ in found.values()) == sum(
            deal.revision > 1 and not deal.canceled for deal in newest.values()
        )
        known = {deal.id for deal in seen if deal.complete}
        assert sum(sums.canceled for sums, _ in found.values()) == sum(
            deal.canceled and deal.id in known for deal in newest.values()
        )
    assert reader.corrections == 0
    assert await positions(power_engine) == list(range(1, len(seen) + 1))


async def test_a_database_from_before_revisions_is_read_as_it_was(tmp_path: Path) -> None:
    old = tmp_path / "migrations"
    old.mkdir()
    for file in MIGRATIONS.glob("000[12]_*.py"):
        (old / file.name).write_text(file.read_text())
    engine = open_database(f"sqlite:///{tmp_path}/power.db", application="test")
    await migrate(engine, old, VERSION_TABLE)
    async with writing(engine) as connection:
        await connection.execute(
            text(
                "INSERT INTO deals (id, price_e4, quantity_e4, direction, delivery_day, delivery_hour, trader_id, "
                "execution_time_ns, received_time_ns, flags, position, raw_kind) VALUES "
                "('a', 1, 2, 'buy', '2023-02-21', '15-16', 't', 3, 4, '', 1, 'deal_confirmation')"
            )
        )

    await prepare_power_database(engine)

    (row,) = await deal_rows(engine)
    assert {row[name] for name in ("id", "price_e4", "position")} == {"a", 1}
    assert (row["revision"], row["status"], row["superseded_by"], row["market"]) == (1, "active", None, "")
    await DealStore(engine).commit(entries_of([replace(made_deal(1), id="a", revision=2)]))
    assert counting(await deal_rows(engine))["a"][:2] == (2, "active")
    await engine.dispose()
