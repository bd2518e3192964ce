"""Create what the reference-price process remembers: its quota's slots, its standing, and which process polls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "quota_slots",
        sa.Column("quota", sa.Text, nullable=False),
        sa.Column("slot_id", sa.Text, nullable=False),
        sa.Column("reserved_ns", sa.BigInteger, nullable=False),
        sa.Column("counted_by_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("quota", "slot_id", name="pk_quota_slots"),
    )
    op.create_table(
        "quota_blocks",
        sa.Column("quota", sa.Text, nullable=False),
        sa.Column("blocked_until_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("quota", name="pk_quota_blocks"),
    )
    op.create_table(
        "reference_standing",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("next_due_ns", sa.BigInteger, nullable=False),
        sa.Column("last_answer_ns", sa.BigInteger, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("updated_time_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_reference_standing"),
    )
    op.create_table(
        "reference_lease",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_until_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_reference_lease"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("reference_lease", "reference_standing", "quota_blocks", "quota_slots"):
        op.drop_table(table)
