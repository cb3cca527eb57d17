"""The schema in its three forms: tables, migrations, and the texts that SQLite is given."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec.structs import replace
from sqlalchemy import NullPool, create_engine, inspect

from offhook.errors import StoreError
from offhook.store import schema, statements
from offhook.store.base import CallRecord, CallTold, Intent, Spoken, StoredCall, TurnKept, TurnRecord
from offhook.store.migrate import config, downgrade, sqlite_url, upgrade
from offhook.store.sql import SqlStore
from offhook.store.sqlite import Database
from offhook.store.sqlite_open import REVISIONS
from tests.store.samples import FULL_CALL, FULL_TURN, NOW, kept, turn

if TYPE_CHECKING:
    from pathlib import Path


TABLES = ["alembic_version", "calls", "events", "intents", "spoken", "turns"]


def made(file: Path) -> list[tuple[str, str]]:
    """Give all that is in a database by name, with the text that made it."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        return [(name, "".join(text.split())) for name, text in rows]


def tables(file: Path) -> list[str]:
    engine = create_engine(sqlite_url(file), poolclass=NullPool)
    return sorted(inspect(engine).get_table_names())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give where a database may be made, with what is special in URLs and in Alembic's settings."""
    return tmp_path / "50% of ?a#b.db"


def test_the_migrations_lead_to_the_schema(file: Path) -> None:
    """An empty database that is brought up to date has the tables of schema.py and no other."""
    upgrade(sqlite_url(file))
    engine = create_engine(sqlite_url(file), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    assert tables(file) == TABLES


def test_a_new_file_is_made_as_the_migrations_make_it(file: Path, tmp_path: Path) -> None:
    """What the store makes at once is to the letter what Alembic makes step by step."""
    upgrade(sqlite_url(file))
    database = Database(tmp_path / "new.db")
    database.open()
    database.close()
    assert made(tmp_path / "new.db") == made(file)


def test_the_way_back(file: Path) -> None:
    """A database can be taken back to nothing, and be brought up to date again."""
    upgrade(sqlite_url(file))
    downgrade(sqlite_url(file), "base")
    assert tables(file) == ["alembic_version"]
    upgrade(sqlite_url(file))
    assert tables(file) == TABLES


def test_a_database_that_is_up_to_date_stays_as_it_is(file: Path) -> None:
    """Bringing up to date what is up to date changes nothing."""
    upgrade(sqlite_url(file))
    before = made(file)
    upgrade(str(sqlite_url(file)))
    assert made(file) == before


def test_the_store_brings_an_older_file_up_to_date(file: Path) -> None:
    """A store that opens a database of an older version migrates it first."""
    upgrade(sqlite_url(file))
    downgrade(sqlite_url(file), "base")
    database = Database(file)
    database.open()
    assert database.commit([kept()]) == [None]
    database.close()
    assert tables(file) == TABLES


async def test_a_file_of_the_first_version_keeps_its_calls(file: Path, tmp_path: Path) -> None:
    """A database of version 0001 with calls in it has them still when it is up to date, and takes what is new."""
    await asyncio.to_thread(upgrade, sqlite_url(file), "0001")
    newest = SqlStore(tmp_path / "new.db", now=lambda: NOW)
    await newest.start()
    await newest.write(TurnKept(call=FULL_CALL, turn=replace(FULL_TURN, cost=None)))
    await newest.close()
    with closing(sqlite3.connect(file)) as old:
        old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("calls", "turns", "events"):
            columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        old.commit()
        assert old.execute("SELECT version_num FROM main.alembic_version").fetchall() == [("0001",)]
    store = SqlStore(file, now=lambda: NOW)
    await store.start()
    assert await store.find(FULL_CALL.id) == StoredCall(call=FULL_CALL, turns=(replace(FULL_TURN, cost=None),))
    assert await store.claim(Intent(key="k", call_id=FULL_CALL.id, turn="1", tool="t", at=NOW)) is None
    await store.write(TurnKept(call=FULL_CALL, turn=turn("new", FULL_CALL.id, cost=0.5)))
    assert [each.cost for each in (await store.find(FULL_CALL.id) or StoredCall(call=FULL_CALL)).turns] == [None, 0.5]
    await store.close()
    assert made(file) == made(tmp_path / "new.db")


async def test_a_file_of_the_second_version_keeps_its_calls(file: Path, tmp_path: Path) -> None:
    """A database of version 0002 with a call and an intent in it has both still, and takes what a platform reports."""
    await asyncio.to_thread(upgrade, sqlite_url(file), "0002")
    newest = SqlStore(tmp_path / "new.db", now=lambda: NOW)
    await newest.start()
    await newest.write(TurnKept(call=FULL_CALL, turn=FULL_TURN))
    intent = Intent(key="k", call_id=FULL_CALL.id, turn="1", tool="t", at=NOW)
    await newest.claim(intent)
    await newest.close()
    with closing(sqlite3.connect(file)) as old:
        old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("calls", "turns", "events", "intents"):
            columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        old.commit()
    store = SqlStore(file, now=lambda: NOW)
    await store.start()
    assert await store.find(FULL_CALL.id) == StoredCall(call=FULL_CALL, turns=(FULL_TURN,))
    assert await store.claim(intent) == intent
    words = Spoken(key="1", role="agent", text="Good day.", at=NOW, turn_id="17")
    await store.write(CallTold(call_id=FULL_CALL.id, hung_up_by="caller", duration=9.5, spoken=(words,)))
    told = replace(FULL_CALL, hung_up_by="caller", duration=9.5)
    assert await store.find(FULL_CALL.id) == StoredCall(call=told, turns=(FULL_TURN,), spoken=(words,))
    await store.close()
    assert made(file) == made(tmp_path / "new.db")


def test_the_first_version_can_be_gone_back_to(file: Path) -> None:
    """Going back one version leaves a file as version 0001 made it, and the way up again is open."""
    upgrade(sqlite_url(file), "0001")
    first = made(file)
    upgrade(sqlite_url(file))
    newest = made(file)
    downgrade(sqlite_url(file), "0001")
    assert made(file) == first
    upgrade(sqlite_url(file))
    assert made(file) == newest


def test_a_failed_migration_is_a_store_error(file: Path) -> None:
    """What cannot be migrated gives StoreError with the database's name."""
    file.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match="cannot be brought up to date: file is not a database"):
        upgrade(sqlite_url(file))
    with pytest.raises(StoreError, match="cannot be brought up to date"):
        downgrade(sqlite_url(file), "base")


def test_the_versions_are_known() -> None:
    """The store knows the migrations that there are, in their order."""
    script = ScriptDirectory.from_config(config("sqlite://"))
    assert [revision.revision for revision in script.walk_revisions()][::-1] == list(REVISIONS[1:])


def test_the_texts_are_up_to_date() -> None:
    """The file of statements is what the statements give: if not, run python -m offhook.store.statements."""
    assert statements.FILE.read_text("utf-8") == statements.sqlite_texts()


def test_the_columns_are_the_fields() -> None:
    """The columns of a table stand in the order of the fields of its record."""
    assert tuple(schema.calls.c.keys()) == CallRecord.__struct_fields__
    assert tuple(schema.intents.c.keys()) == Intent.__struct_fields__
    assert tuple(schema.spoken.c.keys()) == ("call_id", *Spoken.__struct_fields__)
    # As they are written: the id of the call stands first here and last in the statement.
    told = [column.name for column in schema.calls.c if column.name in CallTold.__struct_fields__]
    assert ("call_id", *told, "spoken") == CallTold.__struct_fields__
    assert ("id", *TurnRecord.__struct_fields__) == (*schema.turns.c.keys(), "events")


async def test_every_list_is_found_by_an_index(sqlite: SqlStore) -> None:
    """No question goes through all calls or turns."""
    names = ["CALL", "TURNS", "EVENTS", "CALLS", "RECENT", "OLD", "OF_NUMBER", "SET_HEARD", "DELETE_CALL"]
    names += ["TELL_CALL", "SPOKEN", "INTENT", "END_INTENT", "UNCLAIM", "DELETE_INTENTS", "DELETE_OLD_INTENTS"]

    def plans(connection: sqlite3.Connection) -> dict[str, list[str]]:
        found = {}
        for name in names:
            text = getattr(statements_of_sqlite(), name)
            rows = connection.execute("EXPLAIN QUERY PLAN " + text, (1,) * text.count("?")).fetchall()
            found[name] = [row[-1] for row in rows]
        return found

    for name, plan in (await sqlite._read(plans)).items():
        assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], name


def statements_of_sqlite() -> object:
    """Give the module of texts."""
    from offhook.store import sqlite_texts

    return sqlite_texts
