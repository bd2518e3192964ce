"""The store of deals in SQLite and Postgres: once, in order, the cursor in the same transaction."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import DatabaseUnavailable, open_database, writing
from clients.database.migrate import NewerDatabase
from clients.power.deals import Gap, Unusable
from clients.power.store import prepare_power_database, reference_tables, wait_for_power_database
from clients.power.store.schema import METADATA, VERSION_TABLE
from services.power.etl.store import ReferenceStore
from services.power.listener.deal_store import LOOKUP_IDS, DealStore
from services.power.listener.feed_entry import FeedEntry, Mark
from services.power.listener.sink import Cursor
from tests.support.postgres import PostgresForTests
from tests.support.power_database import cursor_id, deal_ids, deal_rows, gap_rows, positions, unusable_rows
from tests.support.power_sink import entries_of, made_deal


def ids(first: int, last: int) -> list[str]:
    return [made_deal(number).id for number in range(first, last + 1)]


async def test_the_migrations_make_the_tables_of_the_schema(power_engine: AsyncEngine) -> None:
    assert reference_tables.quota_slots.metadata is METADATA

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": False}
        )
        found = list(compare_metadata(context, METADATA))
        # Comments are for who reads the schema; the database does without them.
        return [each for each in found if not (isinstance(each, list) and each[0][0] == "modify_comment")]

    async with power_engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_processes_may_prepare_the_database_at_once(power_database_url: str) -> None:
    engines = [open_database(power_database_url, application=f"test-{number}") for number in range(5)]

    await asyncio.gather(*(prepare_power_database(engine) for engine in engines))

    assert await deal_ids(engines[0]) == []
    for engine in engines:
        await engine.dispose()


async def test_a_database_of_a_newer_version_is_refused(power_database_url: str) -> None:
    engine = open_database(power_database_url, application="test")
    await prepare_power_database(engine)
    async with writing(engine) as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(NewerDatabase, match="9999"):
        await DealStore(engine).cursor()
    await engine.dispose()


@pytest.mark.quick
async def test_a_batch_is_written_in_order_with_the_cursor(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    assert await store.cursor() is None

    committed = await store.commit(entries_of([made_deal(3), made_deal(1), made_deal(2)]))

    rows = await deal_rows(power_engine)
    assert committed.deals == 3
    assert [row["id"] for row in rows] == [made_deal(number).id for number in (3, 1, 2)]
    assert [row["position"] for row in rows] == [1, 2, 3]
    values = {name: getattr(made_deal(3), name) for name in made_deal(3).__slots__ if name != "canceled"}
    assert rows[0] == values | {
        "position": 1,
        "status": "active",
        "superseded_by": None,
        "superseded_time_ns": None,
    }
    assert await store.cursor() == Cursor(made_deal(2).id, made_deal(2).received_time_ns)


@pytest.mark.quick
async def test_deals_that_come_again_add_nothing(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    await store.commit(entries_of([made_deal(1), made_deal(2)]))

    again = [replace(made_deal(2), received_time_ns=9), made_deal(1), made_deal(3), made_deal(3)]
    committed = await store.commit(entries_of(again, run="later"))

    assert (committed.deals, committed.duplicates) == (1, 3)
    assert await deal_ids(power_engine) == ids(1, 3)
    assert await positions(power_engine) == [1, 2, 3]


async def test_an_id_that_comes_with_other_values_is_told(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    await store.commit(entries_of([made_deal(1)]))

    committed = await store.commit(entries_of([replace(made_deal(1), price_e4=7)], run="later"))

    assert (committed.deals, committed.duplicates, committed.unusable) == (0, 0, 1)
    (row,) = await unusable_rows(power_engine)
    assert "was confirmed before with other values" in row["reason"]
    assert "price_e4=7" in row["raw"]
    assert (await deal_rows(power_engine))[0]["price_e4"] == made_deal(1).price_e4


async def test_repeating_a_commit_changes_nothing(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    entries = entries_of([made_deal(1), Unusable(5, "no JSON", "x"), made_deal(2), Gap(3, 9, "away")])
    await store.commit(entries)

    whole = await store.commit(entries)
    part = await store.commit([*entries[2:], *entries_of([Unusable(6, "no JSON", "y")], first=5)])

    assert whole.repeated == 4
    assert (part.repeated, part.unusable) == (2, 1)
    assert [row["raw"] for row in await unusable_rows(power_engine)] == ["x", "y"]
    assert [(row["since_ns"], row["until_ns"]) for row in await gap_rows(power_engine)] == [(3, 9)]
    assert await deal_ids(power_engine) == ids(1, 2)


async def test_a_gap_without_a_beginning_begins_at_the_last_deal(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    await store.commit(entries_of([Gap(None, 5, "first start ever")]))
    await store.commit(entries_of([made_deal(1, received_ns=100_000_000_000)], run="b"))

    await store.commit(entries_of([Gap(None, 200_000_000_000, "away")], run="c"))

    (row,) = await gap_rows(power_engine)
    assert (row["since_ns"], row["until_ns"], row["reason"]) == (100_000_000_000, 200_000_000_000, "away")


async def test_what_was_fetched_beside_the_feed_does_not_move_the_cursor(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)

    committed = await store.commit(
        [
            FeedEntry(Mark("a", 1), made_deal(1)),
            FeedEntry(Mark("a", 2), made_deal(7), moves_cursor=False),
            FeedEntry(Mark("a", 3), made_deal(1), moves_cursor=False),
            FeedEntry(Mark("a", 4), replace(made_deal(7), price_e4=1), moves_cursor=False),
        ]
    )

    assert (committed.deals, committed.fetched, committed.duplicates, committed.unusable) == (2, 1, 0, 0)
    assert await cursor_id(power_engine) == made_deal(1).id
    assert await deal_ids(power_engine) == [made_deal(1).id, made_deal(7).id]


@pytest.mark.parametrize("table", ["deals", "unusable_messages", "feed_gaps", "feed_cursor"])
async def test_a_batch_is_written_completely_or_not_at_all(power_engine: AsyncEngine, table: str) -> None:
    store = DealStore(power_engine)
    await store.commit(entries_of([made_deal(1)]))
    before = (await deal_ids(power_engine), await cursor_id(power_engine))

    def fail(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(f"INSERT INTO {table}"):
            raise ConnectionResetError("cut in the middle")

    event.listen(power_engine.sync_engine, "before_cursor_execute", fail)
    entries = entries_of([made_deal(2), Unusable(5, "no JSON", "x"), Gap(3, 9, "away")], run="b")
    with pytest.raises(DatabaseUnavailable, match="ConnectionResetError: cut in the middle"):
        await store.commit(entries)
    event.remove(power_engine.sync_engine, "before_cursor_execute", fail)

    assert (await deal_ids(power_engine), await cursor_id(power_engine)) == before
    assert await unusable_rows(power_engine) == []
    assert await gap_rows(power_engine) == []
    assert (await store.commit(entries)).deals == 1


async def test_a_batch_larger_than_a_lookup_is_written_once(power_engine: AsyncEngine) -> None:
    store = DealStore(power_engine)
    count = LOOKUP_IDS * 3 + 7
    numbers = list(range(1, count + 1))
    await store.commit(entries_of([made_deal(number) for number in numbers[::3]]))

    committed = await store.commit(entries_of([made_deal(number) for number in numbers], run="b"))

    assert committed.deals == count - len(numbers[::3])
    assert sorted(await deal_ids(power_engine)) == ids(1, count)
    assert await positions(power_engine) == numbers


async def test_two_writers_at_once_give_every_deal_one_position(power_database_url: str) -> None:
    engines = [open_database(power_database_url, application=f"test-{number}") for number in range(2)]
    stores = [DealStore(engine) for engine in engines]
    await stores[0].prepare()

    async def write(run: str, store: DealStore) -> None:
        for number in range(1, 21):
            await store.commit(entries_of([made_deal(number)], run=run, first=number))

    await asyncio.gather(*(write(f"run-{number}", store) for number, store in enumerate(stores)))

    assert sorted(await deal_ids(engines[0])) == ids(1, 20)
    assert await positions(engines[0]) == list(range(1, 21))
    for engine in engines:
        await engine.dispose()


async def test_strange_text_is_stored_as_it_is(power_engine: AsyncEngine) -> None:
    deal = replace(made_deal(1), trader_id="'; DROP TABLE deals; -- <b>Jörg</b> 東京 %s :x")

    await DealStore(power_engine).commit(entries_of([deal]))

    assert (await deal_rows(power_engine))[0]["trader_id"] == deal.trader_id


async def test_the_database_itself_refuses_a_second_deal_of_an_id(power_engine: AsyncEngine) -> None:
    await DealStore(power_engine).commit(entries_of([made_deal(1)]))

    with pytest.raises(IntegrityError):
        async with writing(power_engine) as connection:
            await connection.execute(
                text(
                    "INSERT INTO deals (id, price_e4, quantity_e4, direction, delivery_day, delivery_hour, trader_id,"
                    " execution_time_ns, received_time_ns, flags, position, raw_kind)"
                    " SELECT id, price_e4, quantity_e4, direction, delivery_day, delivery_hour, trader_id,"
                    " execution_time_ns, received_time_ns, flags, position + 1, raw_kind FROM deals"
                )
            )


async def test_a_sqlite_file_that_somebody_else_writes_counts_as_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.database.engine.BUSY_TIMEOUT_MS", 50)
    url = f"sqlite:///{tmp_path}/power.db"
    engine, other = open_database(url, application="test"), open_database(url, application="other")
    store = DealStore(engine)
    await store.prepare()

    async with writing(other) as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await store.commit(entries_of([made_deal(1)]))

    assert (await store.commit(entries_of([made_deal(1)]))).deals == 1
    await engine.dispose()
    await other.dispose()


async def test_waiting_for_the_tables_tells_every_failure_and_ends_when_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.database.engine.BUSY_TIMEOUT_MS", 50)
    url = f"sqlite:///{tmp_path}/power.db"
    engine, other = open_database(url, application="test"), open_database(url, application="other")
    reasons: list[str] = []

    async with AsyncExitStack() as held:
        await held.enter_async_context(writing(other))

        async def sleep(_: float) -> None:
            if len(reasons) == 2:
                await held.aclose()

        await wait_for_power_database(engine, sleep=sleep, on_away=reasons.append)

    assert reasons == ["the database does not answer: OperationalError"] * 2
    assert await deal_ids(engine) == []
    await engine.dispose()
    await other.dispose()


@pytest.mark.needs("postgres")
async def test_a_postgres_that_goes_away_is_an_outage_and_comes_back() -> None:
    server = await asyncio.to_thread(PostgresForTests)
    engine = open_database(server.url, application="test")
    store = DealStore(engine)
    await store.commit(entries_of([made_deal(1)]))

    for number, end in enumerate((server.stop, server.kill), 2):
        await asyncio.to_thread(end)
        with pytest.raises(DatabaseUnavailable):
            await store.commit(entries_of([made_deal(number)], first=number))
        await asyncio.to_thread(server.start)
        await store.commit(entries_of([made_deal(number)], first=number))
    # Connections that were cut in the pool are noticed before they are used.
    await asyncio.to_thread(server.end_sessions)
    await store.commit(entries_of([made_deal(4)], first=4))

    assert await deal_ids(engine) == ids(1, 4)
    await engine.dispose()
    await asyncio.to_thread(server.close)


async def test_hours_whose_quarters_are_traded_are_asked_for_and_quarters_are_not(power_engine: AsyncEngine) -> None:
    quarters = [replace(made_deal(number), delivery_hour="15:15-15:30") for number in (1, 2)]
    await DealStore(power_engine).commit(entries_of([*quarters, replace(made_deal(3), delivery_hour="08-09")]))

    traded = await ReferenceStore(power_engine).traded([date(2023, 2, 21)])

    assert [hour.label for hour in traded] == ["08-09", "15-16"]
