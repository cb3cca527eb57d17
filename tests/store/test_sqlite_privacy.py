"""What was deleted is in no file any more."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from offhook.store.base import EventRecord, TurnKept
from tests.store.samples import NOW, call, files_holding, kept, turn
from tests.store.test_sqlite import run_child

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.sql import SqlStore

CALLS = 12


def words(number: int) -> str:
    """Give a word that only this call has."""
    return f"secret{number:02}word "


async def fill(store: SqlStore, seed: int) -> None:
    """Write turns of all lengths in any order, so that pages are split and joined."""
    chosen = random.Random(seed)
    for start in range(0, 300, 10):
        changes = []
        for number in range(start, start + 10):
            which = chosen.randrange(CALLS)
            said = words(which) * chosen.choice([1, 3, 10, 50, 300, 800])
            events = (EventRecord(kind="tool_call", at=0.0, data={"arguments": said}),) * chosen.randrange(3)
            of = call(str(which), last_at=NOW + number, state=said[: chosen.randrange(2000)], caller_mark=f"m{which}")
            spoken = turn(f"turn-{number}", of.id, said=said, sent=said, generated=said, events=events)
            changes.append(TurnKept(call=of, turn=spoken))
        await asyncio.gather(*map(store.write, changes))


@pytest.mark.parametrize("seed", range(5))
async def test_deleted_words_are_in_no_file(sqlite: SqlStore, file: Path, seed: int) -> None:
    """The words of deleted calls are in no file of the folder while the database is in use, those of others are."""
    await fill(sqlite, seed)
    assert await sqlite.delete("0") == 1
    assert await sqlite.delete_number("m1") == ["1"]
    assert await asyncio.to_thread(files_holding, file.parent, words(0), words(1)) == []
    assert await asyncio.to_thread(files_holding, file.parent, words(2)) == ["offhook.db"]


async def test_purged_words_are_in_no_log(sqlite: SqlStore, file: Path) -> None:
    """After a purge of everything the words are in no file."""
    await fill(sqlite, 0)
    assert await sqlite.purge(NOW + 1000) == CALLS
    assert await asyncio.to_thread(files_holding, file.parent, "secret") == []


async def test_another_process_deletes(sqlite: SqlStore, file: Path) -> None:
    """A command in another process deletes for good while a server has the database open and goes on."""
    await fill(sqlite, 0)
    code = """
async def main():
    await store.start()
    print(await store.delete("0"), await store.delete_number("m1"), await store.delete("nobody"))
    await store.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(run_child, file, code)
    assert (done.stdout, done.stderr) == ("1 ['1'] 0\n", "")
    assert await sqlite.find("0") is None
    assert await asyncio.to_thread(files_holding, file.parent, words(0), words(1)) == []
    await sqlite.write(kept("after", "0"))
    assert await sqlite.find("0") is not None


async def test_words_that_somebody_reads_go_when_he_is_done(sqlite: SqlStore, file: Path) -> None:
    """While another connection reads, the log cannot be emptied; the next change does it."""
    await sqlite.write(kept(sent=words(0)))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM turns").fetchone() == (1,)
        assert await sqlite.delete("call-1") == 1
        assert await asyncio.to_thread(files_holding, file.parent, words(0)) != []
    await sqlite.write(kept("next"))
    assert await asyncio.to_thread(files_holding, file.parent, words(0)) == []


def test_the_look_into_files_can_fail(tmp_path: Path) -> None:
    """The helper of these tests finds words where they are."""
    (tmp_path / "file").write_bytes(b"\x00secret\x00")
    assert files_holding(tmp_path, "secret") == ["file"]
    assert sys.executable
