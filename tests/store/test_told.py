"""What a platform reported of a call comes to the call that is there, in whatever order it comes, once or twice."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from offhook.store.base import CallTold, Spoken, StoredCall, in_order
from tests.store.samples import NOW, call, files_holding, kept

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.store.base import Change, Store
    from offhook.store.sql import SqlStore

FIRST = Spoken(key="1", role="caller", text="你好\x00 there", at=NOW, turn_id="1")
SECOND = Spoken(key="2", role="agent", text="Good day.", at=NOW + 1)
TOLD = CallTold(
    call_id="call-1",
    caller="***4567",
    callee="***9999",
    caller_mark="a" * 64,
    callee_mark="b" * 64,
    user_data='{"vip": true}',
    ended_at=NOW + 2,
    ended_by="callback",
    connected_at=NOW - 50,
    hung_up_by="caller",
    duration=52.5,
    spoken=(FIRST, SECOND),
)


async def write(store: Store, *changes: Change) -> None:
    """Write changes one after the other."""
    for change in changes:
        await store.write(change)


async def found(store: Store, id: str = "call-1") -> StoredCall:
    """Give a call that has to be there."""
    stored = await store.find(id)
    assert stored is not None
    return stored


async def test_all_of_it_comes_back(store: Store) -> None:
    """Every field that was told of a call is found with it."""
    await write(store, kept(), TOLD)
    stored = await found(store)
    fields = {name: getattr(TOLD, name) for name in CallTold.__struct_fields__ if name not in ("call_id", "spoken")}
    assert stored.call == replace(call(), **fields)
    assert stored.spoken == (FIRST, SECOND)


async def test_it_begins_no_call(store: Store) -> None:
    """What is told of a call that is not there changes nothing, and is not there when the call begins."""
    await write(store, TOLD)
    assert await store.find("call-1") is None
    await write(store, kept())
    assert await found(store) == StoredCall(call=call(), turns=(kept().turn,))


async def test_told_twice_is_told_once(store: Store) -> None:
    """Callbacks are sent again, and nothing comes of it."""
    await write(store, kept(), TOLD)
    once = await found(store)
    await write(store, TOLD, TOLD)
    assert await found(store) == once


PARTS = (
    CallTold(call_id="call-1", connected_at=NOW - 50),
    CallTold(call_id="call-1", spoken=(FIRST,)),
    CallTold(call_id="call-1", spoken=(SECOND,), caller="***4567", caller_mark="a" * 64),
    CallTold(call_id="call-1", ended_at=NOW + 2, ended_by="callback", hung_up_by="caller", duration=52.5),
)


async def test_the_order_does_not_matter(store: Store) -> None:
    """Of parts of one report any order leads to the same record."""
    orders = list(itertools.permutations(PARTS))
    for number, order in enumerate(orders):
        await write(store, kept(f"turn-{number}", f"call-{number}"))
        await write(store, *(replace(part, call_id=f"call-{number}") for part in order))
    outcomes = []
    for number in range(len(orders)):
        stored = await found(store, f"call-{number}")
        outcomes.append((replace(stored.call, id=""), stored.spoken))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0][1] == (FIRST, SECOND)
    assert outcomes[0][0].ended_by == "callback"


async def test_a_batch_is_taken_as_one_by_one(store: Store) -> None:
    """Changes that are committed together do what they do alone."""
    await asyncio.gather(*(store.write(change) for change in (kept(), *PARTS)))
    stored = await found(store)
    assert stored.spoken == (FIRST, SECOND)
    assert (stored.call.ended_by, stored.call.duration, stored.call.caller) == ("callback", 52.5, "***4567")


async def test_a_call_ends_once(store: Store) -> None:
    """The end of a call that has ended stays as it is, and the rest is filled in."""
    ended = replace(call(), ended_at=NOW + 1, ended_by="command")
    await write(store, replace(kept(), call=ended), TOLD)
    told = (await found(store)).call
    assert (told.ended_at, told.ended_by, told.hung_up_by, told.duration) == (NOW + 1, "command", "caller", 52.5)


async def test_what_was_known_of_a_caller_stays(store: Store) -> None:
    """Numbers and user data of the turns win over those of a report."""
    known = replace(call(), caller="***1111", caller_mark="c" * 64, user_data="{}")
    await write(store, replace(kept(), call=known), TOLD)
    told = (await found(store)).call
    assert (told.caller, told.caller_mark, told.user_data) == ("***1111", "c" * 64, "{}")
    assert (told.callee, told.callee_mark) == ("***9999", "b" * 64)


async def test_a_later_report_wins(store: Store) -> None:
    """Who hung up and how long it took is what was told last, and no record of the ended call takes it away."""
    await write(store, kept(), TOLD, CallTold(call_id="call-1", hung_up_by="agent", duration=60.0))
    await write(store, CallTold(call_id="call-1"), replace(call(), ended_at=NOW, ended_by="idle"))
    told = (await found(store)).call
    assert (told.hung_up_by, told.duration) == ("agent", 60.0)


async def test_a_call_that_goes_on_has_no_end(store: Store) -> None:
    """Who hung up and how long it took go with the end when a later turn opens the call; an earlier record is late."""
    await write(store, kept(), TOLD, replace(kept("turn-2"), call=call(last_at=NOW + 9)))
    assert end_of(await found(store)) == (None, None, None)
    late = replace(call(), ended_at=NOW, ended_by="command", hung_up_by="agent", duration=5.0)
    await write(store, late)
    assert end_of(await found(store)) == (None, None, None)
    await write(store, TOLD, replace(call(), duration=1.0))
    assert end_of(await found(store)) == ("callback", "caller", 52.5)


def end_of(stored: StoredCall) -> tuple[str | None, str | None, float | None]:
    """Give by what a call ended, who hung up, and after how long."""
    return stored.call.ended_by, stored.call.hung_up_by, stored.call.duration


async def test_words_that_are_told_again_replace_the_old_ones(store: Store) -> None:
    """What has the same key takes the place of what was there."""
    longer = replace(SECOND, text="Good day, sir.")
    await write(store, kept(), TOLD, CallTold(call_id="call-1", spoken=(longer,)))
    assert (await found(store)).spoken == (FIRST, longer)


async def test_a_deletion_takes_the_words(store: Store) -> None:
    """A call that is deleted leaves nothing that was spoken, and a late report does not bring it back."""
    await write(store, kept(), TOLD)
    assert await store.delete("call-1") == 1
    await write(store, TOLD, kept())
    assert (await found(store)).spoken == ()


async def test_deleted_words_are_in_no_file(sqlite: SqlStore, file: Path) -> None:
    """What was reported as spoken is wiped with its call."""
    words = "nobody else would say this"
    spoken = tuple(replace(SECOND, key=f"{number}", text=f"{words} {number}") for number in range(300))
    await write(sqlite, kept(), CallTold(call_id="call-1", spoken=spoken))
    assert await asyncio.to_thread(files_holding, file.parent, words)
    await sqlite.delete("call-1")
    assert await asyncio.to_thread(files_holding, file.parent, words) == []


async def test_a_number_that_was_told_can_be_deleted(store: Store) -> None:
    """A call whose number came with a report is found by that."""
    await write(store, kept(), TOLD)
    assert await store.delete_number("b" * 64) == ["call-1"]


async def test_texts_that_no_database_holds_cost_nothing(store: Store) -> None:
    """A lone surrogate in a report is no reason to lose the rest."""
    bad = Spoken(key="\ud800", role="agent", text="a\ud800b")
    await write(store, kept(), CallTold(call_id="call-1", spoken=(bad, FIRST), hung_up_by="caller"))
    stored = await found(store)
    assert [one.text.replace("\ud800", "\ufffd") for one in stored.spoken] == [FIRST.text, "a\ufffdb"]
    assert stored.call.hung_up_by == "caller"


def test_what_was_spoken_stands_in_its_order() -> None:
    """By its time, what has none behind, and then by its key."""
    some = [Spoken(key=key, role="agent", text=key, at=at) for key, at in (("b", None), ("c", 1.0), ("a", 2.0))]
    assert [one.key for one in in_order([*some, replace(some[0], key="aa"), replace(some[1], key="ca")])] == [
        "c",
        "ca",
        "a",
        "aa",
        "b",
    ]


@pytest.mark.parametrize("count", [2000])
async def test_a_long_call_is_kept(sqlite: SqlStore, count: int) -> None:
    """A report of thousands of utterances is one change."""
    many = tuple(Spoken(key=f"{number:08}", role="agent", text="x" * 50) for number in range(count))
    await write(sqlite, kept(), CallTold(call_id="call-1", spoken=many))
    assert (await found(sqlite)).spoken == many
