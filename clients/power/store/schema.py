"""Tables of the power desk. Prices and quantities are integers of 1/10,000, times are UTC nanoseconds: nothing here is a float."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    case,
)

__all__ = [
    "ACTIVE",
    "CANCELED",
    "E4",
    "FILLED",
    "FINAL",
    "METADATA",
    "STAMP_AHEAD_NS_MAX",
    "VERSION_TABLE",
    "deals",
    "feed_cursor",
    "feed_gaps",
    "listener_standing",
    "ranking_ns",
    "reference_prices",
    "unusable_messages",
]

E4: Final = 10_000
"""EUR/MWh and MW are stored times this."""

STAMP_AHEAD_NS_MAX: Final = 120 * 1_000_000_000
"""How far a provider's stamp may lie ahead of our clock. What is beyond (local time written as UTC, say) would stay the newest
until that time comes, so it ranks by when it was observed."""

VERSION_TABLE: Final = "alembic_version_power"

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts rows by itself only where the key is called INTEGER.
_ROW_ID: Final = BigInteger().with_variant(Integer, "sqlite")

ACTIVE: Final = "active"
CANCELED: Final = "canceled"
FINAL: Final = "final"

FILLED: Final = ".filled"
"""Behind a feed's name: the row of `feed_cursor` that changes when a cancellation got its values after it had been written."""

deals: Final = Table(
    "deals",
    METADATA,
    Column("id", Text, primary_key=True, comment="the exchange's"),
    Column(
        "revision",
        Integer,
        primary_key=True,
        autoincrement=False,
        server_default="1",
        comment="1 is the confirmation; every correction and cancellation is a row of its own",
    ),
    Column("price_e4", BigInteger, nullable=False),
    Column("quantity_e4", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("delivery_day", Text, nullable=False, comment="ISO date, local"),
    Column("delivery_hour", Text, nullable=False, comment="HH-HH or HH:MM-HH:MM, local"),
    Column("trader_id", Text, nullable=False),
    Column("execution_time_ns", BigInteger, nullable=False),
    Column("received_time_ns", BigInteger, nullable=False),
    Column("flags", Text, nullable=False, server_default="", comment="what is odd about it, separated by commas"),
    Column("position", BigInteger, nullable=False, comment="order of arrival, ours, from 1"),
    Column("raw_kind", Text, nullable=False, comment="deal_confirmation, trade_confirmation, deal_correction, ..."),
    Column("status", Text, nullable=False, server_default=ACTIVE, comment="active, or canceled by this revision"),
    Column("market", Text, nullable=False, server_default="", comment="as the exchange names it"),
    Column("superseded_by", BigInteger, nullable=True, comment="position of the newer revision; null: this one counts"),
    Column("superseded_time_ns", BigInteger, nullable=True),
    UniqueConstraint("position"),
    CheckConstraint("direction IN ('buy', 'sell')", name="direction"),
    Index(None, "delivery_day", "trader_id", "delivery_hour"),
)
Index(
    "ix_deals_superseded_by",
    deals.c.superseded_by,
    sqlite_where=deals.c.superseded_by.is_not(None),
    postgresql_where=deals.c.superseded_by.is_not(None),
)

feed_cursor: Final = Table(
    "feed_cursor",
    METADATA,
    Column("feed", Text, primary_key=True),
    Column("last_deal_id", Text, nullable=False, comment="last one committed"),
    Column("updated_time_ns", BigInteger, nullable=False),
)

feed_gaps: Final = Table(
    "feed_gaps",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("feed", Text, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "until_ns"),
)

listener_standing: Final = Table(
    "listener_standing",
    METADATA,
    Column("feed", Text, primary_key=True),
    Column("connected", Integer, nullable=False, comment="0 or 1"),
    Column("since_ns", BigInteger, nullable=False, comment="when it was connected, or ceased to be; 0: unknown"),
    Column("last_message_ns", BigInteger, nullable=False, comment="0: never"),
    Column("last_deal_ns", BigInteger, nullable=False, comment="0: never"),
    Column("spooled", BigInteger, nullable=False, comment="received, not in the database yet"),
    Column("unusable_today", BigInteger, nullable=False),
    Column("unusable_total", BigInteger, nullable=False),
    Column("mostly_unusable", Integer, nullable=False, comment="1: most of the latest messages could not be used"),
    Column("trouble", Text, nullable=False, comment="why deals do not come, for people; empty when they do"),
    Column("updated_time_ns", BigInteger, nullable=False),
)

unusable_messages: Final = Table(
    "unusable_messages",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("received_time_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False, comment="at most 1 kB"),
    Index(None, "received_time_ns"),
)

reference_prices: Final = Table(
    "reference_prices",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("delivery_day", Text, nullable=False),
    Column("delivery_hour", Text, nullable=False),
    Column("value_e4", BigInteger, nullable=True, comment="null: the provider has none yet"),
    Column("unit", Text, nullable=False),
    Column("last_update_ns", BigInteger, nullable=True, comment="the provider's stamp"),
    Column("observed_time_ns", BigInteger, nullable=False),
    Column("state", Text, nullable=False, comment="none, value, rounded, or final: no later one can come"),
    UniqueConstraint(
        "delivery_day", "delivery_hour", "last_update_ns", "value_e4", name="uq_reference_prices_observation"
    ),
)
Index(
    "ix_reference_prices_final",
    reference_prices.c.delivery_day,
    sqlite_where=reference_prices.c.state == FINAL,
    postgresql_where=reference_prices.c.state == FINAL,
)


def ranking_ns() -> ColumnElement[int]:
    """Return what a price of `reference_prices` is ranked by, as SQL; see STAMP_AHEAD_NS_MAX."""
    stamp, observed = reference_prices.c.last_update_ns, reference_prices.c.observed_time_ns
    return case((stamp.is_(None) | (stamp > observed + STAMP_AHEAD_NS_MAX), observed), else_=stamp)
