"""Tables of the orders server. Money is text, times are UTC nanoseconds."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint

from services.runtime.access.keys.schema import keys as api_keys

VERSION_TABLE: Final = "alembic_version_orders"

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite counts rows by itself only where the key is called INTEGER.
_ROW_ID: Final = BigInteger().with_variant(Integer, "sqlite")

events: Final = Table(
    "order_events",
    METADATA,
    Column(
        "sequence", BigInteger, primary_key=True, autoincrement=False, comment="without holes, given by the one writer"
    ),
    Column("order_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("body", Text, nullable=False, comment="JSON"),
    Column("raw", Text, nullable=False, comment="the exchange's answer, cleaned, at most 4 KiB"),
    UniqueConstraint("order_id", "revision"),
)

orders: Final = Table(
    "orders",
    METADATA,
    Column("order_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("client_order_id", Text, nullable=True, comment="null: none; unique per owner for ever"),
    Column("venue_client_order_id", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("exchange_order_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("snapshot", Text, nullable=False, comment="JSON of the fold; can be made again from order_events"),
    UniqueConstraint("owner", "client_order_id"),
    Index(None, "created_ns", "order_id"),
    Index(None, "open"),
    Index(None, "exchange", "venue_client_order_id"),
    Index(None, "exchange", "market", "exchange_order_id"),
)

fills: Final = Table(
    "order_fills",
    METADATA,
    Column("exchange", Text, primary_key=True),
    Column("market", Text, primary_key=True),
    Column("symbol", Text, primary_key=True),
    Column("trade_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("exchange_order_id", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("fee", Text, nullable=True),
    Column("fee_currency", Text, nullable=False),
    Column("trade_time_ns", BigInteger, nullable=False),
    Index(None, "order_id"),
    Index(None, "trade_time_ns"),
)

idempotency: Final = Table(
    "order_idempotency",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Index(None, "created_ns"),
)

switch: Final = Table(
    "kill_switch_events",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("engaged", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

writer: Final = Table(
    "order_journal_writer",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, comment="rises with every start; an older writer is refused"),
)

floors: Final = Table(
    "api_key_floors",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("floor_ms", BigInteger, nullable=False, comment="no signed request with a later stamp was accepted"),
)

keys: Final = api_keys.to_metadata(METADATA)
"""Defined where every server finds it; made by the migrations here."""
