"""Intents in every store: claimed once, ended once, and gone with their call."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from offhook.errors import StoreError
from offhook.store.base import Change, Intent, IntentDone, TurnKept
from offhook.store.memory import MemoryStore
from tests.store.samples import NOW, call, files_holding, kept, turn
from tests.store.test_sqlite import run_child

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.base import Store
    from offhook.store.sql import SqlStore
    from tests.store.conftest import MakeSqlite


def intent(key: str = "key-1", call_id: str = "call-1", at: float = NOW) -> Intent:
    return Intent(key=key, call_id=call_id, turn="7", tool="订座", at=at)


def done(key: str = "key-1", result: str = "booked") -> IntentDone:
    return IntentDone(key=key, outcome="ok", code=None, result=result, ended_at=NOW + 2)


async def is_free(store: Store, key: str) -> bool:
    """Tell whether there is no intent of this key; nothing is changed by that."""
    if await store.claim(intent(key, "looking")) is not None:
        return False
    await store.unclaim(key)
    return True


async def test_an_intent_is_claimed_once(store: Store) -> None:
    """The first claim of a key gives None, every other one the intent that is there."""
    assert await store.claim(intent()) is None
    assert await store.claim(replace(intent(), at=NOW + 5)) == intent()
    assert await store.claim(intent("key-2")) is None


async def test_of_claims_at_once_one_succeeds(store: Store) -> None:
    """Of fifty claims of a key that come together exactly one gives None."""
    found = await asyncio.gather(*(store.claim(intent(at=NOW + number)) for number in range(50)))
    assert found.count(None) == 1
    assert len(set(found)) == 2


async def test_a_side_effect_that_ended_gives_its_result(store: Store) -> None:
    """What a side effect gave comes back with its intent, and the first result is the one that counts."""
    await store.claim(intent())
    await store.write(done())
    await store.write(done(result="again"))
    ended = replace(intent(), outcome="ok", result="booked", ended_at=NOW + 2)
    assert await store.claim(intent()) == ended


async def test_a_failure_keeps_its_code(store: Store) -> None:
    """How a side effect failed is kept beside what the model was told."""
    await store.claim(intent())
    await store.write(replace(done(), outcome="failed", code="ValueError"))
    found = await store.claim(intent())
    assert found is not None
    assert (found.outcome, found.code) == ("failed", "ValueError")


async def test_a_result_without_its_intent_leaves_nothing(store: Store) -> None:
    """A result whose intent was deleted, or never was, is taken and not kept."""
    await store.write(done())
    assert await store.claim(intent()) is None
    assert await store.claim(intent()) == intent()


async def test_an_intent_that_did_not_begin_is_forgotten(store: Store) -> None:
    """Unclaimed, a key is free again; unclaiming what is not there is no error."""
    await store.claim(intent())
    await store.unclaim("key-1")
    await store.unclaim("nobody")
    assert await store.claim(intent()) is None


async def test_a_side_effect_that_ended_is_not_forgotten(store: Store) -> None:
    """Unclaiming what has a result changes nothing."""
    await store.claim(intent())
    await store.write(done())
    await store.unclaim("key-1")
    assert not await is_free(store, "key-1")


async def test_an_intent_begins_no_call(store: Store) -> None:
    """An intent may be there before its call, which it does not make."""
    await store.claim(intent())
    assert await store.find("call-1") is None
    assert await store.calls() == []
    await store.write(kept())
    assert not await is_free(store, "key-1")


async def test_intents_go_with_their_call(store: Store) -> None:
    """A call that is deleted takes its intents along, also before its first turn was kept, and no others."""
    await store.write(kept("turn-1", "known"))
    for key, of in (("a", "known"), ("b", "early"), ("c", "other"), ("d", "call\udfff")):
        await store.claim(intent(key, of))
    assert await store.delete("known") == 1
    assert await store.delete("early") == 0
    assert await store.delete("call\udfff") == 0
    assert [await is_free(store, key) for key in "abcd"] == [True, True, False, True]


async def test_intents_go_with_the_calls_of_a_number(store: Store) -> None:
    """Deleting the calls of a number deletes their intents."""
    await store.write(TurnKept(call=call("mine", caller_mark="m"), turn=turn("turn-1", "mine")))
    await store.claim(intent("a", "mine"))
    await store.claim(intent("b", "other"))
    assert await store.delete_number("m") == ["mine"]
    assert [await is_free(store, key) for key in "ab"] == [True, False]


async def test_intents_are_purged_by_age(store: Store) -> None:
    """A purge deletes the intents of the calls that it deletes, and all from before; it counts calls."""
    await store.write(TurnKept(call=call("old", last_at=50.0), turn=turn("turn-1", "old")))
    await store.claim(intent("late one of an old call", "old", at=150.0))
    await asyncio.gather(*(store.claim(intent(str(number), at=float(number))) for number in range(1200)))
    assert await store.purge(1100.0) == 1
    assert await is_free(store, "late one of an old call")
    free = [number for number in range(1000, 1200) if await is_free(store, str(number))]
    assert free == list(range(1000, 1100))


async def test_a_store_that_is_closed_claims_nothing(store: Store) -> None:
    """After closing, claiming and unclaiming raise StoreError."""
    await store.close()
    with pytest.raises(StoreError):
        await store.claim(intent())
    with pytest.raises(StoreError):
        await store.unclaim("key-1")


async def test_an_odd_name_costs_no_intent(store: Store) -> None:
    """An intent whose texts UTF-8 cannot hold is claimed once all the same, and its result comes back."""
    odd = Intent(key="k", call_id="a\ud800", turn="\udfff", tool="t", at=NOW)
    assert await store.claim(odd) is None
    await store.write(done("k", result="x\ud800"))
    found = await store.claim(odd)
    assert found is not None
    assert found.result in ("x\ud800", "x\ufffd")


def test_a_result_goes_through_the_spool() -> None:
    """A result is a change like others: what the spool writes it reads again."""
    payload = msgspec.msgpack.encode(done())
    assert msgspec.msgpack.decode(payload, type=Change) == done()


async def test_memory_keeps_so_many_intents() -> None:
    """In memory the oldest intents are forgotten when there are too many."""
    store = MemoryStore(most_calls=1)
    await store.start()
    for number in range(11):
        assert await store.claim(intent(str(number))) is None
    assert [await store.claim(intent(str(number))) is None for number in (1, 10, 0)] == [False, False, True]


# --- SQLite -------------------------------------------------------------------------------------------------------


async def test_two_processes_claim_an_intent_once(sqlite: SqlStore, make: MakeSqlite) -> None:
    """Two stores on one file that claim the same keys share them without one twice."""
    other = make()
    await other.start()
    keys = [str(number) for number in range(50)]
    first, second = await asyncio.gather(
        asyncio.gather(*(sqlite.claim(intent(key)) for key in keys)),
        asyncio.gather(*(other.claim(intent(key)) for key in keys)),
    )
    await other.close()
    assert [[one, two].count(None) for one, two in zip(first, second, strict=True)] == [1] * 50


async def test_a_claim_outlives_the_process(file: Path, make: MakeSqlite) -> None:
    """An intent that was claimed is there after the process was killed, without a result."""
    code = """
async def main():
    from offhook.store.base import Intent
    await store.start()
    await store.claim(Intent(key="key-1", call_id="call-1", turn="7", tool="t", at=1.0))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    ended = await asyncio.to_thread(run_child, file, code)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store = make()
    await store.start()
    found = await store.claim(intent())
    await store.close()
    assert found == Intent(key="key-1", call_id="call-1", turn="7", tool="t", at=1.0)


async def test_a_deleted_result_is_in_no_file(sqlite: SqlStore, file: Path) -> None:
    """What a side effect gave is in no file when its call was deleted, be there a turn of it or not."""
    await sqlite.claim(intent())
    await sqlite.write(done(result="secretword " * 500))
    assert await asyncio.to_thread(files_holding, file.parent, "secretword") != []
    assert await sqlite.delete("call-1") == 0
    assert await asyncio.to_thread(files_holding, file.parent, "secretword") == []


async def test_a_purged_result_is_in_no_log(sqlite: SqlStore, file: Path) -> None:
    """A purge that finds nothing but intents empties the log of what they gave."""
    await sqlite.claim(intent())
    await sqlite.write(done(result="secretword " * 500))
    assert await asyncio.to_thread(files_holding, file.parent, "secretword") == ["offhook.db-wal"]
    assert await sqlite.purge(NOW + 1) == 0
    assert await asyncio.to_thread(files_holding, file.parent, "secretword") == []
