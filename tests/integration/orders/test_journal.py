"""One contract, three journals: SQLite, Postgres, and the list that campaigns use."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import DatabaseUnavailable, SqliteThread, open_database, writing
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Cause, Event, Order, OrderState, TradingMode, apply, fold
from services.orders.domain.events import Body, FillBody, Intended, Stated
from services.orders.journal import (
    ClientIdTaken,
    DatabaseJournal,
    FillFilter,
    FillRow,
    IdempotencyRow,
    JournalEntry,
    JournalStore,
    JournalUnavailable,
    OrderFilter,
    Superseded,
    SwitchRow,
    Traded,
    UnreadableRecord,
    prepare_orders_database,
)
from services.orders.journal.batch import Statement
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.readers import SqliteReader
from services.orders.journal.schema import METADATA, VERSION_TABLE
from services.orders.journal.writers import SqliteWriter
from services.orders.ports import Ports
from tests.support.postgres import PostgresForTests


def intended(number: int, **changes: object) -> Intended:
    body = Intended(
        owner="desk", client_order_id="", venue_client_order_id=f"ms-{number}", exchange="binance", market="spot",
        symbol="BTC/USDT", exchange_symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal("1.50"),
        price=Decimal("99.10"), time_in_force=TimeInForce.GTC, post_only=False, reduce_only=False,
        mode=TradingMode.SIMULATOR, send_until_ns=10**18,
    )  # fmt: skip
    return replace(body, **changes)  # type: ignore[arg-type]


def entry(before: Order | None, body: Body, *, order_id: str = "", at_ns: int = 1) -> JournalEntry:
    revision = 1 if before is None else before.revision + 1
    name = order_id if before is None else before.order_id
    event = Event(name, revision, at_ns, Cause.CALLER, body, "corr", "me", "raw")
    return JournalEntry(event, apply(before, event))


async def kept(journal: JournalStore, number: int, *, at_ns: int = 1, order_id: str = "", **changes: object) -> Order:
    one = entry(None, intended(number, **changes), order_id=order_id or f"{number:032x}", at_ns=at_ns)
    await journal.append(one)
    return one.order


@pytest.mark.quick
async def test_what_was_appended_is_read_back_in_order(journal: JournalStore) -> None:
    order = await kept(journal, 1)
    second = entry(order, Stated(VenueState.PARTIALLY_FILLED, "PARTIALLY_FILLED", "x1", filled=Decimal("0.5")))
    await journal.append(second)

    events = [one async for one in journal.events()]

    assert [one.sequence for one in events] == [1, 2]
    assert await journal.last_sequence() == 2
    assert fold(one.event for one in events) == second.order == await journal.order(order.order_id)
    assert events[0].event.correlation_id == "corr"
    assert [one.sequence async for one in journal.events(after_sequence=1)] == [2]
    assert [one.sequence async for one in journal.events(order_id="nobody")] == []


async def test_concurrent_entries_get_sequences_without_holes(journal: JournalStore) -> None:
    sequences = await asyncio.gather(
        *(journal.append(entry(None, intended(number), order_id=f"{number:032x}")) for number in range(1, 301))
    )

    assert sorted(sequences) == list(range(1, 301))
    assert [one.sequence async for one in journal.events()] == list(range(1, 301))


async def test_orders_are_found_by_everything_that_they_can_be_found_by(journal: JournalStore) -> None:
    first = await kept(journal, 1, at_ns=10, client_order_id="mine")
    second = await kept(journal, 2, at_ns=20, owner="other", symbol="ETH/USDT", exchange="bitmex")
    third = await kept(journal, 3, at_ns=30)
    done = entry(third, Stated(VenueState.FILLED, "FILLED", "x3"))
    await journal.append(done)

    async def ids(**wanted: object) -> list[str]:
        return [order.order_id for order in await journal.find(OrderFilter(**wanted))]  # type: ignore[arg-type]

    everything = [first.order_id, second.order_id, third.order_id]
    assert await ids() == everything
    assert await ids(owner="desk") == [first.order_id, third.order_id]
    assert await ids(client_order_ids=["mine"]) == [first.order_id]
    assert await ids(order_ids=everything[:2]) == everything[:2]
    assert await ids(exchange_order_ids=["x3"], market="spot") == [third.order_id]
    assert await ids(venue_client_order_ids=["ms-2"]) == [second.order_id]
    assert await ids(states=[OrderState.FILLED, OrderState.NEW]) == [third.order_id]
    assert await ids(exchange="bitmex") == await ids(symbol="ETH/USDT") == [second.order_id]
    assert await ids(created_from_ns=20) == everything[1:]
    assert await ids(created_to_ns=20) == everything[:1]
    assert await ids(open_only=True) == everything[:2]
    assert await ids(limit=2) == everything[:2]
    assert await ids(after=(10, first.order_id)) == everything[1:]
    assert await journal.traded() == sorted(
        [Traded("binance", "spot", "BTC/USDT"), Traded("bitmex", "spot", "ETH/USDT")], key=lambda row: row.exchange
    )


async def test_pages_reach_every_order_once_even_at_equal_times(journal: JournalStore) -> None:
    for number in range(1, 24):
        await kept(journal, number, at_ns=number // 10)

    seen: list[str] = []
    after: tuple[int, str] | None = None
    while page := await journal.find(OrderFilter(after=after, limit=5)):
        seen += [order.order_id for order in page]
        after = (page[-1].created_ns, page[-1].order_id)

    assert seen == [f"{number:032x}" for number in range(1, 24)]


async def test_an_execution_is_kept_once(journal: JournalStore) -> None:
    order = await kept(journal, 1)
    row = FillRow(
        "binance", "spot", "BTC/USDT", "t1", order.order_id, "desk", "x1", Side.BUY, Decimal("0.5"), Decimal("99.1"),
        None, "BNB", 77,
    )  # fmt: skip
    for _ in range(2):
        fill = FillBody("t1", Decimal("0.5"), Decimal("99.1"), None, "BNB", 77)
        one = entry(order, Stated(VenueState.PARTIALLY_FILLED, "x", "x1", fill=fill))
        await journal.append(replace(one, fill=row))
        order = one.order

    assert await journal.fills(FillFilter()) == [row]
    assert await journal.fills(FillFilter(owner="other")) == []
    assert await journal.fills(FillFilter(order_id=order.order_id, exchange="binance", symbol="BTC/USDT")) == [row]
    assert await journal.fills(FillFilter(from_ns=78)) == await journal.fills(FillFilter(to_ns=77)) == []
    assert await journal.fills(FillFilter(after=(77, "binance", "spot", "BTC/USDT", "t0"))) == [row]
    assert await journal.fills(FillFilter(after=(77, "binance", "spot", "BTC/USDT", "t1"))) == []


async def test_a_key_comes_with_its_order_and_expires(journal: JournalStore) -> None:
    one = entry(None, intended(1), order_id="a" * 32)
    key = IdempotencyRow("desk", "k", "hash", "a" * 32, 100)
    await journal.append(replace(one, idempotency=key))

    assert await journal.used_key("desk", "k", since_ns=100) == key
    assert await journal.used_key("desk", "k", since_ns=101) is None
    assert await journal.used_key("other", "k", since_ns=0) is None

    again = IdempotencyRow("desk", "k", "other", "b" * 32, 200)
    await journal.append(replace(entry(None, intended(2), order_id="b" * 32), idempotency=again))
    assert await journal.used_key("desk", "k", since_ns=0) == again
    await journal.forget_keys(before_ns=201)
    assert await journal.used_key("desk", "k", since_ns=0) is None


async def test_a_client_order_id_is_taken_per_owner_and_others_of_the_commit_are_kept(journal: JournalStore) -> None:
    await kept(journal, 1, client_order_id="mine")

    results = await asyncio.gather(
        kept(journal, 2, client_order_id="mine"),
        kept(journal, 3, client_order_id="mine", owner="other"),
        kept(journal, 4),
        kept(journal, 5),
        return_exceptions=True,
    )

    assert isinstance(results[0], ClientIdTaken)
    assert all(isinstance(result, Order) for result in results[1:])
    assert len(await journal.find(OrderFilter())) == 4
    assert [one.sequence async for one in journal.events()] == [1, 2, 3, 4]


async def test_the_kill_switch_is_remembered(journal: JournalStore) -> None:
    assert await journal.switch() is None

    await journal.set_switch(SwitchRow(True, "why", "me", 5))
    await journal.set_switch(SwitchRow(False, "fine", "you", 6))

    assert await journal.switch() == SwitchRow(False, "fine", "you", 6)


async def test_a_second_server_takes_over_and_the_first_is_refused(database: AsyncEngine) -> None:
    first, second = DatabaseJournal(database), DatabaseJournal(database)
    await first.open()
    await kept(first, 1)
    await second.open()

    with pytest.raises(Superseded):
        await kept(first, 2)
    await kept(second, 3)

    assert [one.event.order_id for one in [one async for one in second.events()]] == [f"{1:032x}", f"{3:032x}"]
    await first.close()
    await second.close()


def _lose_answers(journal: DatabaseJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    real = journal._insert_all

    async def loses_its_answer(entries: list[JournalEntry], first: int) -> None:
        await real(entries, first)
        raise ConnectionResetError("the answer was lost")

    monkeypatch.setattr(journal, "_insert_all", loses_its_answer)


async def test_a_commit_whose_answer_was_lost_is_not_doubled(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    _lose_answers(journal, monkeypatch)
    one = entry(None, intended(1), order_id="a" * 32)
    with pytest.raises(JournalUnavailable):
        await journal.append(one)
    monkeypatch.undo()

    assert await journal.append(one) == 1
    assert await journal.append(entry(one.order, Stated(VenueState.NEW, "NEW"))) == 2
    assert [kept.event.revision async for kept in journal.events()] == [1, 2]
    await journal.close()


async def test_a_key_of_a_commit_whose_answer_was_lost_is_found(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    _lose_answers(journal, monkeypatch)
    key = IdempotencyRow("desk", "k", "hash", "a" * 32, 100)
    with pytest.raises(JournalUnavailable):
        await journal.append(replace(entry(None, intended(1), order_id="a" * 32), idempotency=key))

    assert await journal.used_key("desk", "k", since_ns=0) == key
    await journal.close()


async def test_a_journal_that_takes_over_knows_the_keys_of_the_one_before(database: AsyncEngine) -> None:
    first, second = DatabaseJournal(database), DatabaseJournal(database)
    await first.open()
    keys = [IdempotencyRow("desk", f"k{number}", "hash", f"{number:032x}", number) for number in range(1, 8)]
    for number, key in enumerate(keys, 1):
        await first.append(replace(entry(None, intended(number), order_id=f"{number:032x}"), idempotency=key))

    await second.open()

    assert [await second.used_key("desk", key.key, since_ns=0) for key in keys] == keys
    assert await second.used_key("desk", "new", since_ns=0) is None
    await first.close()
    await second.close()


async def test_the_newest_keys_are_known_and_the_journal_is_asked_for_the_rest(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = DatabaseJournal(database), DatabaseJournal(database)
    await first.open()
    for number in range(1, 6):
        key = IdempotencyRow("desk", f"k{number}", "hash", f"{number:032x}", number)
        await first.append(replace(entry(None, intended(number), order_id=f"{number:032x}"), idempotency=key))
    monkeypatch.setattr("services.orders.journal.database.KEYS_MAX", 3)

    await second.open()

    assert [bool(await second.used_key("desk", f"k{number}", since_ns=0)) for number in range(7)] == [
        False, True, True, True, True, True, False,
    ]  # fmt: skip
    await first.close()
    await second.close()


async def test_an_order_costs_the_pool_nothing(database: AsyncEngine) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    await kept(journal, 1)
    statements: list[str] = []
    event.listen(database.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))

    for number in range(2, 12):
        assert await journal.used_key("desk", f"k{number}", since_ns=0) is None
        key = IdempotencyRow("desk", f"k{number}", "hash", f"{number:032x}", number)
        one = entry(None, intended(number), order_id=f"{number:032x}")
        await journal.append(replace(one, idempotency=key))
        await journal.append(entry(one.order, Stated(VenueState.NEW, "NEW")))

    assert statements == []
    assert await journal.last_sequence() == 21
    await journal.close()


async def test_an_order_is_found_by_the_names_that_an_exchange_gives_it(journal: JournalStore) -> None:
    first = await kept(journal, 1, at_ns=20, venue_client_order_id="twice")
    older = await kept(journal, 2, at_ns=10, venue_client_order_id="twice")
    third = await kept(journal, 3, venue_client_order_id="")
    await journal.append(entry(third, Stated(VenueState.FILLED, "FILLED", "x3")))

    async def named(client_id: str, exchange_id: str, exchange: str = "binance", market: str = "spot") -> str | None:
        order = await journal.named(exchange, market, client_id=client_id, exchange_id=exchange_id)
        return None if order is None else order.order_id

    assert await named("twice", "x3") == older.order_id
    assert await named("nobody's", "x3") == await named("", "x3") == third.order_id
    assert await named("", "") is None
    assert await named("nobody's", "x4") is None
    assert await named("twice", "x3", market="usdm") == older.order_id
    assert await named("", "x3", market="usdm") is None
    assert await named("twice", "x3", exchange="bitmex") is None
    assert await journal.order(first.order_id) == first
    assert await journal.order("nobody's") is None


async def test_questions_for_single_orders_cost_the_pool_nothing_and_share_a_turn_of_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/orders.db", application="test")
    await prepare_orders_database(engine)
    journal = DatabaseJournal(engine)
    await journal.open()
    order = await kept(journal, 1)
    await journal.append(
        replace(
            entry(None, intended(2), order_id=f"{2:032x}"),
            idempotency=IdempotencyRow("desk", "k", "hash", f"{2:032x}", 7),
        )
    )
    statements: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    turns: list[int] = []
    run = SqliteThread.run

    async def counted(self: SqliteThread, call: Callable[[sqlite3.Connection], Any]) -> Any:
        turns.append(1)
        return await run(self, call)

    monkeypatch.setattr(SqliteThread, "run", counted)

    found = await asyncio.gather(
        *(journal.named("binance", "spot", client_id="ms-1", exchange_id="") for _ in range(50)),
        *(journal.order(order.order_id) for _ in range(50)),
    )
    key = await journal.used_key("desk", "k", since_ns=0)

    assert found == [order] * 100
    assert key == IdempotencyRow("desk", "k", "hash", f"{2:032x}", 7)
    assert statements == []
    assert len(turns) == 2
    await journal.close()
    await engine.dispose()


async def test_a_question_that_fails_is_the_trouble_of_those_who_asked_with_it(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/orders.db", application="test")
    await prepare_orders_database(engine)
    reader = SqliteReader(engine)
    order, gone = reader.questions.order, Statement("SELECT a FROM nowhere", ())

    first = await asyncio.gather(reader.rows(gone), reader.rows(order, its_id="x"), return_exceptions=True)
    left = asyncio.create_task(reader.rows(order, its_id="x"))
    await asyncio.sleep(0)
    left.cancel()
    then = await reader.rows(order, its_id="x")
    await reader.close()
    after = await asyncio.gather(reader.rows(order, its_id="x"), return_exceptions=True)

    assert [type(one) for one in first] == [sqlite3.OperationalError] * 2
    assert then == []
    assert [type(one) for one in after] == [DatabaseUnavailable]
    await engine.dispose()


async def test_a_locked_database_refuses_everybody_who_waits_and_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.database.engine.BUSY_TIMEOUT_MS", 1)
    database = open_database(f"sqlite:///{tmp_path / 'orders.db'}", application="test")
    await prepare_orders_database(database)
    journal = DatabaseJournal(database)
    await journal.open()
    await kept(journal, 1)
    async with writing(database):
        refused = await asyncio.gather(*(kept(journal, number) for number in range(2, 9)), return_exceptions=True)

    assert [type(one) for one in refused] == [JournalUnavailable] * 7
    assert str(refused[0]) == "the database does not answer (OperationalError); try again in a moment"
    await kept(journal, 9)
    assert [one.sequence async for one in journal.events()] == [1, 2]
    await journal.close()
    await database.dispose()


async def test_a_full_disk_refuses_and_what_comes_once_there_is_room_follows_without_a_hole(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'orders.db'}", application="test")
    await prepare_orders_database(database)
    journal = DatabaseJournal(database)
    await journal.open()
    writer = journal._writer
    assert isinstance(writer, SqliteWriter)
    # No fewer pages than it has, which is as good as a disk without room.
    await writer._thread.run(lambda connection: connection.execute("PRAGMA max_page_count=1").close())

    results = await asyncio.gather(*(kept(journal, number) for number in range(1, 600)), return_exceptions=True)
    refused = [one for one in results if not isinstance(one, Order)]
    await writer._thread.run(lambda connection: connection.execute("PRAGMA max_page_count=100000").close())
    await kept(journal, 600)

    assert {str(one) for one in refused} == {"the database does not answer (OperationalError); try again in a moment"}
    assert {type(one) for one in refused} == {JournalUnavailable}
    assert [one.sequence async for one in journal.events()] == list(range(1, 601 - len(refused)))
    await journal.close()
    await database.dispose()


async def test_a_writer_that_ends_answers_everybody_and_says_so(database: AsyncEngine) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    assert journal._task is not None
    waiting = [asyncio.create_task(kept(journal, number)) for number in range(1, 4)]
    await asyncio.sleep(0)
    assert journal.trouble == ""

    journal._task.cancel()
    async with asyncio.timeout(30):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(JournalUnavailable):
            await kept(journal, 5)

        assert [type(one) for one in ended] == [JournalUnavailable] * 3
        assert journal.trouble == OrderLedger(journal, Ports()).trouble == "the journal's writer has ended"
        await journal.close()


async def test_closing_writes_what_waits(database: AsyncEngine) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    waiting = [asyncio.create_task(kept(journal, number)) for number in range(1, 600)]
    await asyncio.sleep(0)

    await journal.close()

    await asyncio.gather(*waiting)
    assert await journal.last_sequence() == 599


async def test_migrations_and_tables_agree(database: AsyncEngine) -> None:
    await prepare_orders_database(database)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found = [
            found for one in compare_metadata(context, METADATA) for found in (one if isinstance(one, list) else [one])
        ]
        # Other parts' tables, and what columns say about themselves.
        return [one for one in found if one[0] not in ("modify_comment", "remove_table", "remove_index")]

    async with database.connect() as connection:
        assert await connection.run_sync(differences) == []
        assert (await connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))).scalar() == "0003"


async def test_a_database_that_goes_away_and_comes_back_loses_nothing(
    shared_postgres: PostgresForTests, database: AsyncEngine
) -> None:
    if database.dialect.name != "postgresql":
        pytest.skip("SQLite does not go away")
    journal = DatabaseJournal(database)
    await journal.open()
    await kept(journal, 1)
    await asyncio.to_thread(shared_postgres.end_sessions)

    order: Order | None = None
    for _ in range(50):
        try:
            order = await kept(journal, 2)
            break
        except JournalUnavailable:
            await asyncio.sleep(0.05)

    assert order is not None
    assert [one.sequence async for one in journal.events()] == [1, 2]
    await journal.close()


async def test_a_connection_that_ended_while_it_was_idle_refuses_nobody(
    shared_postgres: PostgresForTests, orders_postgres: str
) -> None:
    database = open_database(orders_postgres, application="test")
    await prepare_orders_database(database)
    journal = DatabaseJournal(database)
    await journal.open()
    before = await journal.last_sequence()
    for number in range(1, 11):
        await kept(journal, number, order_id=uuid4().hex)
        await asyncio.to_thread(shared_postgres.end_sessions)

    assert await journal.last_sequence() == before + 10
    await journal.close()
    await database.dispose()


BAD_RECORDS = ["", "{", "[]", "null", "{}", '"text"', '{"order_id": 1}', '{"something": "of a newer release"}']


async def damage(engine: AsyncEngine, statement: str, **values: object) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement), values)


@pytest.mark.parametrize("bad", BAD_RECORDS)
async def test_a_kept_order_that_cannot_be_read_is_made_of_its_events(
    database: AsyncEngine, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    order, other = await kept(journal, 1), await kept(journal, 2, at_ns=2)
    second = entry(order, Stated(VenueState.PARTIALLY_FILLED, "PARTIALLY_FILLED", "x1", filled=Decimal("0.5")))
    await journal.append(second)

    await damage(database, "UPDATE orders SET snapshot = :bad WHERE order_id = :id", bad=bad, id=order.order_id)

    assert await journal.find(OrderFilter()) == [second.order, other]
    assert await journal.order(order.order_id) == second.order
    assert "made of its events" in caplog.text
    await journal.close()


@pytest.mark.parametrize(
    ("column", "bad"),
    [*(("body", bad) for bad in BAD_RECORDS), ("kind", "teleported"), ("cause", "magic")],
    ids=lambda value: value or "empty",
)
async def test_an_event_that_cannot_be_read_is_named_and_nothing_goes_on_without_it(
    database: AsyncEngine, column: str, bad: str
) -> None:
    journal = DatabaseJournal(database)
    await journal.open()
    order = await kept(journal, 1)

    await damage(database, f"UPDATE order_events SET {column} = :bad", bad=bad)
    await damage(database, "UPDATE orders SET snapshot = :bad", bad="{")

    with pytest.raises(
        UnreadableRecord, match=f"event 1 of order {order.order_id} cannot be read.*restore the database"
    ):
        [one async for one in journal.events()]
    with pytest.raises(UnreadableRecord, match="event 1 of order"):
        await journal.find(OrderFilter())
    await journal.close()
