"""What is asked of the tables, in SQLAlchemy, and the same as SQLite's texts.

Loading SQLAlchemy takes half a second and 25 MB, which every start of a server and every command would pay, and
its way to SQLite costs a turn more time than SQLite itself. So the texts are made beforehand: ``python -m
offhook.store.statements`` writes ``sqlite_texts.py``, and a test tells when it has to.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from offhook.store.base import CallRecord, CallTold
from offhook.store.schema import calls, events, intents, metadata, spoken, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.sql.elements import BindParameter, ClauseElement, ColumnClause, ColumnElement

FILE = Path(__file__).with_name("sqlite_texts.py")

HEAD = '''"""The statements of ``statements.py`` and the tables of ``schema.py`` as SQLite reads them.

Written by ``python -m offhook.store.statements``; not by hand.
"""

'''

WIDTH = 116

# As Alembic makes it: where it keeps the version of the schema.
version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


# ``insert`` is that of a dialect: SQLite and PostgreSQL have the same clauses for a row that is there already.


def upsert_call(insert: Callable[..., Any]) -> Any:
    """Give the statement that takes a call's row: merged with the one that is there, or added where it may be.

    The newer of two changes wins, by ``last_at``; one that comes late only fills in what is not known. After the
    columns come whether it may be added, and the id once more. One statement does both, so that a batch of them stays
    in its order.
    """
    row = select(*(bindparam(column.name, type_=column.type) for column in calls.c))
    allowed = or_(bindparam("adds", type_=Boolean), exists().where(calls.c.id == bindparam("of")))
    statement = insert(calls).from_select([column.name for column in calls.c], row.where(allowed))
    new, old = statement.excluded, calls.c
    newer = new.last_at >= old.last_at

    def chosen(name: str) -> ColumnElement[Any]:
        if name == "begun_at":
            return case((new[name] < old[name], new[name]), else_=old[name])
        if name in {"ended_at", "ended_by"} or not old[name].nullable:
            # None means something where a call goes on again: it has not ended.
            return case((newer, new[name]), else_=old[name])
        if name in {"hung_up_by", "duration"}:
            # Of an end, and nothing of a call that goes on.
            return case(
                (newer & new.ended_by.is_(None), new[name]),
                (newer, func.coalesce(new[name], old[name])),
                (old.ended_by.is_(None), old[name]),
                else_=func.coalesce(old[name], new[name]),
            )
        return case((newer, func.coalesce(new[name], old[name])), else_=func.coalesce(old[name], new[name]))

    return statement.on_conflict_do_update(
        index_elements=[calls.c.id], set_={name: chosen(name) for name in CallRecord.__struct_fields__ if name != "id"}
    )


def add(table: Table, insert: Callable[..., Any]) -> Any:
    """Give the statement that takes a row of ``table`` unless it is there already."""
    names = [column.name for column in table.c if column.name != "id"]
    return insert(table).values({name: bindparam(name) for name in names}).on_conflict_do_nothing()


def statements(insert: Callable[..., Any]) -> dict[str, ClauseElement]:
    """Give every statement by name."""
    of_call = turns.c.call_id == calls.c.id
    count = select(func.count()).select_from(turns).where(of_call)
    failed = count.where(turns.c.reason == literal_column("'failed'"))
    turn_columns = [column for column in turns.c if column.name != "id"]
    some: BindParameter[int] = bindparam("limit")
    # SQLite's dialect writes an offset in any case, by default as a parameter.
    none: ColumnClause[int] = literal_column("0")
    return {
        "PUT_CALL": upsert_call(insert),
        "ADD_TURN": add(turns, insert),
        "ADD_EVENT": add(events, insert),
        "SET_HEARD": update(turns).values(heard=bindparam("heard")).where(turns.c.uid == bindparam("of")),
        "CALL": select(calls).where(calls.c.id == bindparam("id")),
        "TURNS": (
            # Not by the time: a wall clock may be stepped back.
            select(*turn_columns).where(turns.c.call_id == bindparam("id")).order_by(turns.c.id)
        ),
        "EVENTS": (
            select(events)
            .join(turns)
            .where(turns.c.call_id == bindparam("id"))
            .order_by(events.c.turn_uid, events.c.position)
        ),
        "CALLS": (
            select(calls, count.scalar_subquery().label("turns"), failed.scalar_subquery().label("failed"))
            .where(calls.c.last_at > bindparam("since"))
            .order_by(calls.c.last_at.desc(), calls.c.id.desc())
            .limit(some)
            .offset(none)
        ),
        "RECENT": select(calls.c.id, calls.c.last_at).where(calls.c.last_at >= bindparam("since"), calls.c.named),
        "OLD": (
            select(calls.c.id)
            .where(calls.c.last_at < bindparam("before"))
            .order_by(calls.c.last_at)
            .limit(some)
            .offset(none)
        ),
        "OF_NUMBER": (
            select(calls.c.id)
            .where(or_(calls.c.caller_mark == bindparam("mark"), calls.c.callee_mark == bindparam("mark")))
            .limit(some)
            .offset(none)
        ),
        "VERSION": select(version),
        "ADD_VERSION": insert(version).values(version_num=bindparam("version_num")),
        "TELL_CALL": tell_call(),
        "PUT_SPOKEN": put_spoken(insert),
        "SPOKEN": select(spoken).where(spoken.c.call_id == bindparam("id")),
        "DELETE_CALL": delete(calls).where(calls.c.id == bindparam("id")),
        **of_intents(insert),
    }


def tell_call() -> Any:
    """Give the statement that takes what the platform reported of a call that is there, by its id.

    A call ends once, by whom it ended first; a later report of anything else that is a report's own wins.
    """
    old = calls.c
    going_on = old.ended_by.is_(None)

    def chosen(name: str) -> ColumnElement[Any]:
        told = bindparam(name, type_=old[name].type)
        if name in {"ended_at", "ended_by"}:
            return case((going_on, told), else_=old[name])
        if name in {"hung_up_by", "duration"}:
            return func.coalesce(told, old[name])
        return func.coalesce(old[name], told)

    names = [column.name for column in calls.c if column.name in CallTold.__struct_fields__]
    return update(calls).values({name: chosen(name) for name in names}).where(old.id == bindparam("of"))


def put_spoken(insert: Callable[..., Any]) -> Any:
    """Give the statement that takes something spoken in a call that is there; after the columns comes its id again."""
    row = select(*(bindparam(column.name, type_=column.type) for column in spoken.c))
    there = exists().where(calls.c.id == bindparam("of"))
    statement = insert(spoken).from_select([column.name for column in spoken.c], row.where(there))
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[spoken.c.call_id, spoken.c.key],
        set_={name: new[name] for name in ("role", "text", "at", "turn_id")},
    )


def of_intents(insert: Callable[..., Any]) -> dict[str, ClauseElement]:
    """Give the statements about intents by name."""
    key = intents.c.key
    some: BindParameter[int] = bindparam("limit")
    none: ColumnClause[int] = literal_column("0")
    old = select(key).where(intents.c.at < bindparam("before")).limit(some).offset(none)
    return {
        "ADD_INTENT": add(intents, insert),
        "END_INTENT": (
            update(intents)
            .values({name: bindparam(name) for name in ("outcome", "code", "result", "ended_at")})
            .where(key == bindparam("of"), intents.c.outcome.is_(None))
        ),
        "INTENT": select(intents).where(key == bindparam("key")),
        "DELETE_INTENTS": delete(intents).where(intents.c.call_id == bindparam("id")),
        "DELETE_OLD_INTENTS": delete(intents).where(key.in_(old)),
        "UNCLAIM": delete(intents).where(key == bindparam("key"), intents.c.outcome.is_(None)),
    }


def sqlite_texts() -> str:
    """Give what ``sqlite_texts.py`` has to be."""
    dialect = sqlite.dialect(paramstyle="qmark")

    def text(clause: Any) -> str:
        words = " ".join(str(clause.compile(dialect=dialect)).split())
        lines = textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)
        return '"""\n{}\n"""'.format("\n".join(lines))

    made = [
        clause
        for table in (*metadata.sorted_tables, version)
        for clause in (CreateTable(table), *(CreateIndex(index) for index in sorted(table.indexes, key=str)))
    ]
    parts = [HEAD, "CREATE = (\n", *(f"    {text(clause)},\n" for clause in made), ")\n"]
    parts += [f"\n{name} = {text(clause)}\n" for name, clause in statements(sqlite.insert).items()]
    return "".join(parts)


if __name__ == "__main__":
    FILE.write_text(sqlite_texts(), encoding="utf-8")
