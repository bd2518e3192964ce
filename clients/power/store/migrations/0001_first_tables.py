"""Create deals, the feed's cursor and gaps, unusable messages and reference prices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "deals",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("price_e4", sa.BigInteger, nullable=False),
        sa.Column("quantity_e4", sa.BigInteger, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("delivery_day", sa.Text, nullable=False),
        sa.Column("delivery_hour", sa.Text, nullable=False),
        sa.Column("trader_id", sa.Text, nullable=False),
        sa.Column("execution_time_ns", sa.BigInteger, nullable=False),
        sa.Column("received_time_ns", sa.BigInteger, nullable=False),
        sa.Column("flags", sa.Text, nullable=False, server_default=""),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("raw_kind", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deals"),
        sa.UniqueConstraint("position", name="uq_deals_position"),
        sa.CheckConstraint("direction IN ('buy', 'sell')", name="ck_deals_direction"),
    )
    op.create_index(
        "ix_deals_delivery_day_trader_id_delivery_hour", "deals", ["delivery_day", "trader_id", "delivery_hour"]
    )
    op.create_table(
        "feed_cursor",
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("last_deal_id", sa.Text, nullable=False),
        sa.Column("updated_time_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("feed", name="pk_feed_cursor"),
    )
    op.create_table(
        "feed_gaps",
        sa.Column("id", row_id, nullable=False, autoincrement=True),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed_gaps"),
    )
    op.create_index("ix_feed_gaps_until_ns", "feed_gaps", ["until_ns"])
    op.create_table(
        "unusable_messages",
        sa.Column("id", row_id, nullable=False, autoincrement=True),
        sa.Column("received_time_ns", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("raw", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_unusable_messages"),
    )
    op.create_index("ix_unusable_messages_received_time_ns", "unusable_messages", ["received_time_ns"])
    op.create_table(
        "reference_prices",
        sa.Column("id", row_id, nullable=False, autoincrement=True),
        sa.Column("delivery_day", sa.Text, nullable=False),
        sa.Column("delivery_hour", sa.Text, nullable=False),
        sa.Column("value_e4", sa.BigInteger, nullable=True),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("last_update_ns", sa.BigInteger, nullable=True),
        sa.Column("observed_time_ns", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference_prices"),
        sa.UniqueConstraint(
            "delivery_day",
            "delivery_hour",
            "last_update_ns",
            "value_e4",
            name="uq_reference_prices_observation",
        ),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("reference_prices", "unusable_messages", "feed_gaps", "feed_cursor", "deals"):
        op.drop_table(table)
