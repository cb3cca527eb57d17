"""Side effects of tools that were begun, and what a turn cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of intents, and room for the cost of a turn."""
    op.add_column("turns", sa.Column("cost", sa.Double))
    op.create_table(
        "intents",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("turn", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("ended_at", sa.Double),
        sa.PrimaryKeyConstraint("key", name="pk_intents"),
    )
    op.create_index("ix_intents_at", "intents", ["at"])
    op.create_index("ix_intents_call_id", "intents", ["call_id"])


def downgrade() -> None:
    """Drop both with all that is in them."""
    op.drop_table("intents")
    op.drop_column("turns", "cost")
