"""The first schema: calls, their turns, and the events of those that matter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.Column("named", sa.Boolean, nullable=False),
        sa.Column("room", sa.Text),
        sa.Column("caller", sa.Text),
        sa.Column("callee", sa.Text),
        sa.Column("caller_mark", sa.Text),
        sa.Column("callee_mark", sa.Text),
        sa.Column("user_data", sa.Text),
        sa.Column("state", sa.Text),
        sa.Column("ended_at", sa.Double),
        sa.Column("ended_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index("ix_calls_callee_mark", "calls", ["callee_mark"])
    op.create_index("ix_calls_caller_mark", "calls", ["caller_mark"])
    op.create_index("ix_calls_last_at", "calls", ["last_at"])
    _make_turns()
    op.create_table(
        "events",
        sa.Column("turn_uid", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("turn_uid", "position", name="pk_events"),
        sa.ForeignKeyConstraint(["turn_uid"], ["turns.uid"], name="fk_events_turn_uid_turns", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )


def _make_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("turn_id", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("which", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("spoken", sa.LargeBinary, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("generated", sa.Text, nullable=False),
        sa.Column("sent", sa.Text, nullable=False),
        sa.Column("map", sa.Text, nullable=False),
        sa.Column("heard", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("first_useful", sa.Double),
        sa.Column("first_byte", sa.Double),
        sa.Column("cancelled", sa.Double),
        sa.Column("ended", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.UniqueConstraint("uid", name="uq_turns_uid"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_turns_call_id_calls", ondelete="CASCADE"),
    )
    op.create_index("ix_turns_call_id_received_at", "turns", ["call_id", "received_at"])


def downgrade() -> None:
    """Drop the tables with all that is in them."""
    for table in ("events", "turns", "calls"):
        op.drop_table(table)
