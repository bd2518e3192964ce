"""Let API keys expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; keys that are there do not expire."""
    op.add_column("api_keys", sa.Column("expires_ns", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("api_keys", "expires_ns")
