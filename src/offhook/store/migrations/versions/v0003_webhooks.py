"""What platforms report of a call: when it was connected, who hung up, how long it was, and what was spoken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make room for it in calls, and the table of what was spoken."""
    op.add_column("calls", sa.Column("connected_at", sa.Double))
    op.add_column("calls", sa.Column("hung_up_by", sa.Text))
    op.add_column("calls", sa.Column("duration", sa.Double))
    op.create_table(
        "spoken",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.Double),
        sa.Column("turn_id", sa.Text),
        sa.PrimaryKeyConstraint("call_id", "key", name="pk_spoken"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_spoken_call_id_calls", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop both with all that is in them."""
    op.drop_table("spoken")
    for name in ("duration", "hung_up_by", "connected_at"):
        op.drop_column("calls", name)
