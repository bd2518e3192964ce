"""The journal in SQLite or Postgres: one writer, many entries per commit, nothing acknowledged before it is durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Select, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import migrate, outage_in_words, outages_as, writing
from services.orders.domain import BrokenJournal, Cause, Event, Order, fold
from services.orders.domain.events import KINDS
from services.orders.journal import schema
from services.orders.journal.batch import Batch
from services.orders.journal.codec import UnreadableRecord, decode
from services.orders.journal.known_keys import KEYS_MAX, KnownKeys
from services.orders.journal.readers import reader_of
from services.orders.journal.rows import filled_rows
from services.orders.journal.store import (
    ClientIdTaken,
    FillFilter,
    FillRow,
    IdempotencyRow,
    JournalEntry,
    JournalUnavailable,
    Kept,
    OrderFilter,
    Superseded,
    SwitchRow,
    Traded,
)
from services.orders.journal.writers import writer_of
from services.runtime.log_fields import fields

__all__ = ["MIGRATIONS", "DatabaseJournal", "prepare_orders_database"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

MIGRATIONS: Final = Path(__file__).resolve().parent / "migrations"
BATCH_MAX: Final = 256
"""Entries per commit: enough for any burst, small enough that one commit stays short."""
QUEUE_MAX: Final = 10_000
"""Entries that wait for a commit; more are refused as unavailable."""
PAGE: Final = 500
_MEND: Final = "start the Midstream that wrote it, or restore the database from a backup"


async def prepare_orders_database(engine: AsyncEngine) -> None:
    """Create or upgrade the tables of the orders server; safe when several processes start at once."""
    await migrate(engine, MIGRATIONS, schema.VERSION_TABLE)


class DatabaseJournal:
    """A `JournalStore`. `open` takes the journal over: whoever wrote to it before is refused from then on."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._epoch = 0
        self._sequence = 0
        self._unsure = False
        """Whether the last commit may have happened although it failed."""
        self._writer = writer_of(engine)
        self._reader = reader_of(engine)
        self._keys = KnownKeys()
        self._waiting: asyncio.Queue[tuple[JournalEntry, asyncio.Future[int]]] = asyncio.Queue(QUEUE_MAX)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Claim the journal and start the writer."""
        self._epoch = await self._guarded(self._claim)
        self._sequence = await self.last_sequence()
        await self._guarded(self._load_keys)
        self._task = asyncio.create_task(self._write_on(), name="order-journal")

    async def close(self) -> None:
        """Write what waits and stop."""
        if self._task is not None:
            await self._waiting.join()
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        await self._writer.close()
        await self._reader.close()

    @property
    def trouble(self) -> str:
        """Why nothing can be written until the process is started anew; empty while that is not so."""
        if self._task is not None and self._task.done():
            return "the journal's writer has ended"
        return self._writer.trouble

    async def append(self, entry: JournalEntry) -> int:
        if self._task is None or self._task.done():
            raise JournalUnavailable("the journal is closed")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if (key := entry.idempotency) is not None:
            # Before it is written: a commit that fails may have happened all the same.
            self._keys.add(key.owner, key.key, key.created_ns)
        try:
            self._waiting.put_nowait((entry, done))
        except asyncio.QueueFull:
            raise JournalUnavailable(f"{QUEUE_MAX} journal entries are waiting already") from None
        return await done

    async def _write_on(self) -> None:
        batch: list[tuple[JournalEntry, asyncio.Future[int]]] = []
        try:
            while True:
                batch = [await self._waiting.get()]
                while len(batch) < BATCH_MAX and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                await self._commit(batch)
                self._done(batch)
                batch = []
        finally:
            # Whatever ended this: nobody waits for ever, and `close` does not either.
            waiting = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            self._done([*batch, *waiting])

    def _done(self, batch: Sequence[tuple[JournalEntry, asyncio.Future[int]]]) -> None:
        """Take a batch off the queue; whoever has no answer yet gets one."""
        for _, done in batch:
            _fail(done, JournalUnavailable("the journal stopped before the entry was durable"))
            self._waiting.task_done()

    async def _commit(self, batch: Sequence[tuple[JournalEntry, asyncio.Future[int]]]) -> None:
        """Commit all entries at once, or, when one of them is refused, each by itself."""
        try:
            sequences = await self._guarded(lambda: self._insert([entry for entry, _ in batch]))
        except ClientIdTaken as exc:
            if len(batch) == 1:
                _fail(batch[0][1], exc)
                return
            for one in batch:
                await self._commit([one])
        except (JournalUnavailable, Superseded) as exc:
            for _, done in batch:
                _fail(done, exc)
        except Exception as exc:  # everything: a bug in one entry must not end the writer of all others
            logger.exception("journal entry could not be written", extra=fields(entries=len(batch)))
            if len(batch) == 1:
                _fail(batch[0][1], exc)
                return
            for one in batch:
                await self._commit([one])
        else:
            for (_, done), sequence in zip(batch, sequences, strict=True):
                if not done.done():
                    done.set_result(sequence)

    async def _insert(self, entries: Sequence[JournalEntry]) -> list[int]:
        present: dict[tuple[str, int], int] = {}
        if self._unsure:
            present = await self._present(entries)
            self._sequence = await self.last_sequence()
        missing = [entry for entry in entries if (entry.event.order_id, entry.event.revision) not in present]
        first = self._sequence + 1
        if missing:
            self._unsure = True
            await self._insert_all(missing, first)
            self._sequence = first + len(missing) - 1
        self._unsure = False
        for sequence, entry in enumerate(missing, first):
            present[entry.event.order_id, entry.event.revision] = sequence
        return [present[entry.event.order_id, entry.event.revision] for entry in entries]

    async def _present(self, entries: Sequence[JournalEntry]) -> dict[tuple[str, int], int]:
        """Return what is in the journal already, because a commit succeeded whose answer was lost."""
        table = schema.events
        wanted = [entry.event.order_id for entry in entries]
        rows = await self._rows(
            select(table.c.sequence, table.c.order_id, table.c.revision).where(table.c.order_id.in_(wanted))
        )
        return {(row.order_id, row.revision): row.sequence for row in rows}

    async def _insert_all(self, entries: Sequence[JournalEntry], first: int) -> None:
        await self._writer.commit(self._epoch, Batch.of(entries, first, self._writer.statements))

    async def _claim(self) -> int:
        async with writing(self._engine) as connection:
            table = schema.writer
            epoch = (await connection.execute(select(table.c.epoch).where(table.c.id == 1))).scalar()
            if epoch is None:
                await connection.execute(insert(table).values(id=1, epoch=1))
                return 1
            await connection.execute(update(table).where(table.c.id == 1).values(epoch=epoch + 1))
            return int(epoch) + 1

    async def order(self, order_id: str) -> Order | None:
        rows = await self._guarded(lambda: self._reader.rows(self._reader.questions.order, its_id=order_id))
        return await self._order_of(*rows[0]) if rows else None

    async def named(self, exchange: str, market: str, *, client_id: str, exchange_id: str) -> Order | None:
        reader = self._reader
        rows = await self._guarded(
            lambda: reader.rows(
                reader.questions.named,
                its_exchange=exchange,
                its_market=market,
                its_client_id=client_id or None,
                its_exchange_id=exchange_id or None,
            )
        )
        return await self._order_of(*rows[0]) if rows else None

    async def find(self, wanted: OrderFilter) -> list[Order]:
        table = schema.orders
        columns = (table.c.order_id, table.c.snapshot)
        query = select(*columns).order_by(table.c.created_ns, table.c.order_id).limit(wanted.limit)
        for column, values in (
            (table.c.order_id, wanted.order_ids),
            (table.c.client_order_id, wanted.client_order_ids),
            (table.c.exchange_order_id, wanted.exchange_order_ids),
            (table.c.venue_client_order_id, wanted.venue_client_order_ids),
            (table.c.state, wanted.states),
        ):
            if values:
                query = query.where(column.in_([str(value) for value in values]))
        for name in ("exchange", "market", "symbol"):
            if value := getattr(wanted, name):
                query = query.where(table.c[name] == value)
        if wanted.owner is not None:
            query = query.where(table.c.owner == wanted.owner)
        if wanted.open_only:
            query = query.where(table.c.open.is_(True))
        if wanted.created_from_ns is not None:
            query = query.where(table.c.created_ns >= wanted.created_from_ns)
        if wanted.created_to_ns is not None:
            query = query.where(table.c.created_ns < wanted.created_to_ns)
        if wanted.after is not None:
            query = query.where(tuple_(table.c.created_ns, table.c.order_id) > tuple_(*wanted.after))
        return [await self._order_of(*row) for row in await self._rows(query)]

    async def _order_of(self, order_id: str, snapshot: str) -> Order:
        """Read an order as it was kept last, or make it of its events where that cannot be read. Raises UnreadableRecord."""
        try:
            return decode(Order, snapshot)
        except UnreadableRecord as exc:
            # Not its text: that is the order.
            logger.warning(
                "kept order cannot be read, made of its events",
                extra=fields(order=order_id, error=repr(exc.__cause__)),
            )
        events = [kept.event async for kept in self.events(order_id=order_id)]
        try:
            order = fold(events)
        except BrokenJournal as exc:
            raise UnreadableRecord(f"order {order_id} cannot be read ({exc}); {_MEND}") from exc
        if order is None:
            raise UnreadableRecord(f"order {order_id} cannot be read and has no events; {_MEND}")
        return order

    async def fills(self, wanted: FillFilter) -> list[FillRow]:
        table = schema.fills
        keys = (table.c.trade_time_ns, table.c.exchange, table.c.market, table.c.symbol, table.c.trade_id)
        query = select(table).order_by(*keys).limit(wanted.limit)
        for name in ("order_id", "exchange", "symbol"):
            if value := getattr(wanted, name):
                query = query.where(table.c[name] == value)
        if wanted.owner is not None:
            query = query.where(table.c.owner == wanted.owner)
        if wanted.from_ns is not None:
            query = query.where(table.c.trade_time_ns >= wanted.from_ns)
        if wanted.to_ns is not None:
            query = query.where(table.c.trade_time_ns < wanted.to_ns)
        if wanted.after is not None:
            query = query.where(tuple_(*keys) > tuple_(*wanted.after))
        return filled_rows(await self._rows(query))

    async def used_key(self, owner: str, key: str, *, since_ns: int) -> IdempotencyRow | None:
        if not self._keys.may_hold(owner, key, since_ns=since_ns):
            return None
        reader = self._reader
        rows = await self._guarded(
            lambda: reader.rows(reader.questions.key, its_owner=owner, its_key=key, its_since_ns=since_ns)
        )
        return IdempotencyRow(*rows[0]) if rows else None

    async def events(self, *, after_sequence: int = 0, order_id: str = "") -> AsyncIterator[Kept]:
        table = schema.events
        while True:
            query = select(table).where(table.c.sequence > after_sequence).order_by(table.c.sequence).limit(PAGE)
            if order_id:
                query = query.where(table.c.order_id == order_id)
            rows = await self._rows(query)
            for row in rows:
                yield _kept(row)
            if len(rows) < PAGE:
                return
            after_sequence = rows[-1].sequence

    async def last_sequence(self) -> int:
        rows = await self._rows(select(func.max(schema.events.c.sequence).label("newest")))
        return int(rows[0].newest or 0)

    async def switch(self) -> SwitchRow | None:
        table = schema.switch
        rows = await self._rows(select(table).order_by(table.c.id.desc()).limit(1))
        return SwitchRow(bool(rows[0].engaged), rows[0].reason, rows[0].actor, rows[0].at_ns) if rows else None

    async def set_switch(self, row: SwitchRow) -> None:
        async def write() -> None:
            async with writing(self._engine) as connection:
                await connection.execute(insert(schema.switch).values(**vars(row)))

        await self._guarded(write)

    async def traded(self) -> list[Traded]:
        table = schema.orders
        rows = await self._rows(select(table.c.exchange, table.c.market, table.c.symbol).distinct())
        return [Traded(row.exchange, row.market, row.symbol) for row in rows]

    async def forget_keys(self, *, before_ns: int) -> None:
        async def write() -> None:
            async with writing(self._engine) as connection:
                table = schema.idempotency
                await connection.execute(delete(table).where(table.c.created_ns < before_ns))

        await self._guarded(write)
        self._keys.forget(before_ns=before_ns)

    async def _load_keys(self) -> None:
        """Learn which keys are in the journal; called once it is ours, so that nobody else adds any."""
        table = schema.idempotency.c
        newest = select(table.owner, table.key, table.created_ns).order_by(table.created_ns.desc()).limit(KEYS_MAX)
        found = newest.subquery()
        read = 0
        async with self._engine.connect() as connection:
            rows = await connection.stream(select(found).order_by(found.c.created_ns))
            async for page in rows.partitions(PAGE):
                for row in page:
                    self._keys.add(row.owner, row.key, row.created_ns)
                read += len(page)
        if read == KEYS_MAX:
            self._keys.let_go_oldest()

    async def _rows(self, query: Select[Any]) -> Sequence[Any]:
        async def read() -> Sequence[Any]:
            async with self._engine.connect() as connection:
                rows: Sequence[Any] = (await connection.execute(query)).all()
                return rows

        return await self._guarded(read)

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        with outages_as(lambda exc: JournalUnavailable(outage_in_words(exc))):
            return await call()


def _fail(done: asyncio.Future[int], exc: Exception) -> None:
    if not done.done():
        done.set_exception(exc)


def _kept(row: Any) -> Kept:
    try:
        body, cause = decode(KINDS[row.kind], row.body), Cause(row.cause)
    except (UnreadableRecord, KeyError, ValueError) as exc:
        raise UnreadableRecord(
            f"event {row.sequence} of order {row.order_id} cannot be read (kind {row.kind}, cause {row.cause}); {_MEND}"
        ) from exc
    event = Event(row.order_id, row.revision, row.at_ns, cause, body, row.correlation_id, row.actor, row.raw)
    return Kept(row.sequence, event)
