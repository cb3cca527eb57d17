"""The tables, for SQLite and PostgreSQL: the one place that says what they are.

``migrations/`` leads an older database here; ``statements.py`` says what is asked of them. Their columns stand in the
order of the fields of the records in ``base.py``, which ``rows.py`` relies on.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("named", Boolean, nullable=False),
    Column("room", Text),
    Column("caller", Text),
    Column("callee", Text),
    Column("caller_mark", Text),
    Column("callee_mark", Text),
    Column("user_data", Text),
    Column("state", Text),
    Column("ended_at", Double),
    Column("ended_by", Text),
    Column("connected_at", Double),
    Column("hung_up_by", Text),
    Column("duration", Double),
    Index(None, "last_at"),
    Index(None, "caller_mark"),
    Index(None, "callee_mark"),
)

turns = Table(
    "turns",
    metadata,
    # SQLite numbers rows by itself only where the type is INTEGER.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("call_id", Text, ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("turn_id", Text),
    Column("request_id", Text, nullable=False),
    Column("which", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("spoken", LargeBinary, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("memory", Text, nullable=False),
    Column("prompt", Text),
    Column("generated", Text, nullable=False),
    Column("sent", Text, nullable=False),
    Column("map", Text, nullable=False),
    Column("heard", BigInteger),
    Column("reason", Text, nullable=False),
    Column("error", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("received_at", Double, nullable=False),
    Column("started", Double),
    Column("first_useful", Double),
    Column("first_byte", Double),
    Column("cancelled", Double),
    Column("ended", Double),
    Column("cost", Double),
    Index(None, "call_id", "received_at"),
)

events = Table(
    "events",
    metadata,
    Column("turn_uid", Text, ForeignKey("turns.uid", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("data", Text, nullable=False),
    # The rows lie in their key itself: one tree to write instead of two.
    sqlite_with_rowid=False,
)

spoken = Table(
    "spoken",
    metadata,
    Column("call_id", Text, ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Double),
    Column("turn_id", Text),
    sqlite_with_rowid=False,
)

# Without a foreign key: the first turn of a call has intents before the call is written.
intents = Table(
    "intents",
    metadata,
    Column("key", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("turn", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("outcome", Text),
    Column("code", Text),
    Column("result", Text),
    Column("ended_at", Double),
    Index(None, "call_id"),
    Index(None, "at"),
)
