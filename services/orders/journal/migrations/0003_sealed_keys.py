"""Keep API keys under a secret outside of the database, and how far the stamps of signed requests have come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; rows that are there are sealed by the server, which has the secret."""
    op.add_column("api_keys", sa.Column("pepper", sa.Text, nullable=True))
    op.add_column("api_keys", sa.Column("signing", sa.Text, nullable=True))
    op.create_table(
        "api_key_floors",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("floor_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_key_floors"),
    )


def downgrade() -> None:
    """Drop them. Sealed rows are of no use without them: their keys have to be made again."""
    op.drop_table("api_key_floors")
    op.drop_column("api_keys", "signing")
    op.drop_column("api_keys", "pepper")
