"""What Alembic runs: all migrations in one transaction, which no other process can come between."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine, event

from offhook.store.schema import metadata


def run() -> None:
    """Run the migrations that were asked for on the database that was named."""
    url = context.config.attributes["url"]
    # Python's driver begins transactions late and ends them early unless it is told to leave them alone.
    is_sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"isolation_level": None} if is_sqlite else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    if is_sqlite:
        event.listen(engine, "begin", _begin)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            # SQLite can alter little of a table, so it is made anew and filled.
            render_as_batch=True,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


run()
