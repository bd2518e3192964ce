"""Create the journal, what is derived from it, idempotency keys, the kill switch and API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "order_events",
        sa.Column("sequence", sa.BigInteger, autoincrement=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("raw", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_order_events"),
        sa.UniqueConstraint("order_id", "revision", name="uq_order_events_order_id_revision"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("client_order_id", sa.Text, nullable=True),
        sa.Column("venue_client_order_id", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("exchange_order_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        sa.UniqueConstraint("owner", "client_order_id", name="uq_orders_owner_client_order_id"),
    )
    op.create_index("ix_orders_created_ns_order_id", "orders", ["created_ns", "order_id"])
    op.create_index("ix_orders_open", "orders", ["open"])
    op.create_index("ix_orders_exchange_venue_client_order_id", "orders", ["exchange", "venue_client_order_id"])
    op.create_index(
        "ix_orders_exchange_market_exchange_order_id", "orders", ["exchange", "market", "exchange_order_id"]
    )
    op.create_table(
        "order_fills",
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("trade_id", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("exchange_order_id", sa.Text, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("quantity", sa.Text, nullable=False),
        sa.Column("price", sa.Text, nullable=False),
        sa.Column("fee", sa.Text, nullable=True),
        sa.Column("fee_currency", sa.Text, nullable=False),
        sa.Column("trade_time_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("exchange", "market", "symbol", "trade_id", name="pk_order_fills"),
    )
    op.create_index("ix_order_fills_order_id", "order_fills", ["order_id"])
    op.create_index("ix_order_fills_trade_time_ns", "order_fills", ["trade_time_ns"])
    op.create_table(
        "order_idempotency",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_order_idempotency"),
    )
    op.create_index("ix_order_idempotency_created_ns", "order_idempotency", ["created_ns"])
    op.create_table(
        "kill_switch_events",
        sa.Column("id", ROW_ID, autoincrement=True),
        sa.Column("engaged", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_kill_switch_events"),
    )
    op.create_table(
        "order_journal_writer",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_journal_writer"),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("signed_only", sa.Boolean, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("revoked_ns", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in (
        "api_keys",
        "order_journal_writer",
        "kill_switch_events",
        "order_idempotency",
        "order_fills",
        "orders",
        "order_events",
    ):
        op.drop_table(table)
