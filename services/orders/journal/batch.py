"""What one commit writes: statements made of the tables, once per database, and rows in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Dialect, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import Executable

from services.orders.domain import Event, Order
from services.orders.journal import schema
from services.orders.journal.codec import encode
from services.orders.journal.rows import fill_row, order_row
from services.orders.journal.store import JournalEntry

__all__ = ["Batch", "Statement", "Statements"]

_KEYS: Final = ("owner", "key")
_FILL_KEYS: Final = ("exchange", "market", "symbol", "trade_id")


@dataclass(frozen=True)
class Statement:
    """SQL as a driver takes it, and the names of its values in their order."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, built: Executable, dialect: Dialect) -> Statement:
        """Return what the library has built, as the driver of one kind of database takes it."""
        compiled = built.compile(dialect=dialect)  # type: ignore[attr-defined]
        return cls(str(compiled), tuple(compiled.positiontup or ()))

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values of a row as the driver takes them."""
        return tuple([row[name] for name in self.names])


@dataclass(frozen=True)
class Statements:
    """Everything that a commit consists of, in the order in which it is run."""

    fence: Statement
    """Changes one row exactly as long as the journal is ours. An update and no select: on Postgres it locks the row, so a new
    writer waits for this commit."""
    event: Statement
    created: Statement
    changed: Statement
    key: Statement
    fill: Statement

    @classmethod
    def of(cls, dialect: Dialect) -> Statements:
        """Make the statements of one kind of database."""
        upsert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        orders, writer = schema.orders, schema.writer
        others = [column.name for column in orders.columns if column.name != "order_id"]
        # A key that has expired makes room for its successor.
        key = upsert(schema.idempotency)
        newer = {
            column.name: key.excluded[column.name] for column in schema.idempotency.columns if column.name not in _KEYS
        }
        return cls(
            fence=Statement.of(
                update(writer)
                .where(writer.c.id == bindparam("its_id"), writer.c.epoch == bindparam("its_epoch"))
                .values(epoch=bindparam("its_epoch")),
                dialect,
            ),
            event=Statement.of(insert(schema.events), dialect),
            created=Statement.of(insert(orders), dialect),
            changed=Statement.of(
                update(orders)
                .where(orders.c.order_id == bindparam("its_order_id"))
                .values({name: bindparam(f"its_{name}") for name in others}),
                dialect,
            ),
            key=Statement.of(key.on_conflict_do_update(index_elements=_KEYS, set_=newer), dialect),
            fill=Statement.of(upsert(schema.fills).on_conflict_do_nothing(index_elements=_FILL_KEYS), dialect),
        )

    def fenced(self, epoch: int) -> tuple[Any, ...]:
        """Return the values of `fence`."""
        return self.fence.values({"its_id": 1, "its_epoch": epoch})


@dataclass(frozen=True)
class Batch:
    """The rows of one commit, each list for the statement of its name."""

    events: Sequence[tuple[Any, ...]]
    created: Sequence[tuple[Any, ...]]
    changed: Sequence[tuple[Any, ...]]
    keys: Sequence[tuple[Any, ...]]
    fills: Sequence[tuple[Any, ...]]

    @classmethod
    def of(cls, entries: Sequence[JournalEntry], first: int, statements: Statements) -> Batch:
        """Number the entries from `first` on; of an order that changes more than once only the newest is written."""
        newest: dict[str, Order] = {entry.order.order_id: entry.order for entry in entries}
        new = {entry.order.order_id for entry in entries if entry.event.revision == 1}
        return cls(
            [statements.event.values(_event_row(entry.event, first + index)) for index, entry in enumerate(entries)],
            [statements.created.values(order_row(order)) for order in newest.values() if order.order_id in new],
            [
                statements.changed.values({f"its_{name}": value for name, value in order_row(order).items()})
                for order in newest.values()
                if order.order_id not in new
            ],
            [statements.key.values(vars(entry.idempotency)) for entry in entries if entry.idempotency is not None],
            [statements.fill.values(fill_row(entry.fill)) for entry in entries if entry.fill is not None],
        )


def _event_row(event: Event, sequence: int) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "order_id": event.order_id,
        "revision": event.revision,
        "at_ns": event.at_ns,
        "kind": event.kind,
        "cause": event.cause.value,
        "correlation_id": event.correlation_id,
        "actor": event.actor,
        "body": encode(event.body),
        "raw": event.raw,
    }
