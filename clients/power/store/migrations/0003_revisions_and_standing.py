"""Make room for revisions of deals and their market, keep the listener's standing, and find final prices quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables; every deal there is becomes its own first revision."""
    with op.batch_alter_table("deals") as deals:
        deals.add_column(sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
        deals.add_column(sa.Column("status", sa.Text, nullable=False, server_default="active"))
        deals.add_column(sa.Column("market", sa.Text, nullable=False, server_default=""))
        deals.add_column(sa.Column("superseded_by", sa.BigInteger, nullable=True))
        deals.add_column(sa.Column("superseded_time_ns", sa.BigInteger, nullable=True))
        deals.drop_constraint("pk_deals", type_="primary")
        deals.create_primary_key("pk_deals", ["id", "revision"])
    superseded = sa.text("superseded_by IS NOT NULL")
    op.create_index(
        "ix_deals_superseded_by", "deals", ["superseded_by"], sqlite_where=superseded, postgresql_where=superseded
    )
    final = sa.text("state = 'final'")
    op.create_index(
        "ix_reference_prices_final", "reference_prices", ["delivery_day"], sqlite_where=final, postgresql_where=final
    )
    op.create_table(
        "listener_standing",
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("connected", sa.Integer, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("last_message_ns", sa.BigInteger, nullable=False),
        sa.Column("last_deal_ns", sa.BigInteger, nullable=False),
        sa.Column("spooled", sa.BigInteger, nullable=False),
        sa.Column("unusable_today", sa.BigInteger, nullable=False),
        sa.Column("unusable_total", sa.BigInteger, nullable=False),
        sa.Column("mostly_unusable", sa.Integer, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("updated_time_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("feed", name="pk_listener_standing"),
    )


def downgrade() -> None:
    """Drop them again; of a deal with revisions the one that counts stays, unless it was canceled."""
    op.drop_table("listener_standing")
    op.drop_index("ix_reference_prices_final", "reference_prices")
    op.drop_index("ix_deals_superseded_by", "deals")
    op.execute(sa.text("DELETE FROM deals WHERE superseded_by IS NOT NULL OR status = 'canceled'"))
    with op.batch_alter_table("deals") as deals:
        deals.drop_constraint("pk_deals", type_="primary")
        deals.create_primary_key("pk_deals", ["id"])
        for name in ("superseded_time_ns", "superseded_by", "market", "status", "revision"):
            deals.drop_column(name)
