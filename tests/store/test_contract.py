"""What every store does, sentence by sentence of ``offhook.store.base``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from offhook.errors import StoreError
from offhook.store.base import CallSummary, Heard, StoredCall, TurnKept
from tests.store.samples import FULL_CALL, FULL_TURN, NOW, call, kept, turn

if TYPE_CHECKING:
    from offhook.store.base import CallRecord, Change, Store


async def found(store: Store, call_id: str = "call-1") -> StoredCall:
    """Give a call that must be there."""
    stored = await store.find(call_id)
    assert stored is not None
    return stored


async def begin(store: Store, call: CallRecord) -> None:
    """Write a call with one turn: alone it would change nothing."""
    await store.write(TurnKept(call=call, turn=turn(f"turn of {call.id}", call.id)))


async def merged(store: Store, first: CallRecord, *changes: CallRecord) -> CallRecord:
    """Give what becomes of a call after changes to it."""
    await begin(store, first)
    for change in changes:
        await store.write(change)
    return (await found(store, first.id)).call


# --- writing and finding ------------------------------------------------------------------------------------------


async def test_every_field_comes_back(store: Store) -> None:
    """A call and a turn with something in every field are found as they were written."""
    await store.write(TurnKept(call=FULL_CALL, turn=FULL_TURN))
    assert await store.find(FULL_CALL.id) == StoredCall(call=FULL_CALL, turns=(FULL_TURN,))


async def test_every_default_comes_back(store: Store) -> None:
    """A turn with nothing but what it must have is found as it was written."""
    change = TurnKept(call=call(named=False), turn=turn(said="", sent=""))
    await store.write(change)
    assert await store.find("call-1") == StoredCall(call=change.call, turns=(change.turn,))


async def test_write_gives_a_future_at_once(store: Store) -> None:
    """Writing gives a future whose result is None."""
    future = store.write(kept())
    await future
    assert (future.result(), future.get_loop()) == (None, asyncio.get_running_loop())


async def test_what_is_not_here_is_none(store: Store) -> None:
    """A call that was never written is None, whichever way it is asked for."""
    assert await store.find("nobody") is None
    assert await store.recent("nobody") is None


async def test_a_call_alone_is_a_change(store: Store) -> None:
    """A call that is there is changed also without a turn."""
    await store.write(kept())
    await store.write(call(state="{}"))
    assert await store.find("call-1") == StoredCall(call=call(state="{}"), turns=(turn(),))


async def test_a_call_alone_begins_nothing(store: Store) -> None:
    """A call that is not there is not made by a change without a turn, which leaves nothing behind."""
    await store.write(call(state="early", last_at=NOW + 9, ended_at=NOW + 9, ended_by="idle"))
    assert (await store.find("call-1"), await store.recent("call-1"), await store.calls()) == (None, None, [])
    await store.write(kept())
    assert await store.find("call-1") == StoredCall(call=call(), turns=(turn(),))


async def test_a_call_alone_begins_nothing_among_others(store: Store) -> None:
    """Changes that wait together are taken in their order: what came before the first turn changed nothing."""
    alone = [call(id, state="alone", room="alone", last_at=NOW + 1) for id in ("early", "late", "never")]
    changes: list[Change] = [alone[0], kept("turn-1", "early"), kept("turn-2", "late"), alone[1], alone[2]]
    await asyncio.gather(*map(store.write, changes))
    assert (await found(store, "early")).call == call("early")
    assert (await found(store, "late")).call == alone[1]
    assert await store.find("never") is None


async def test_a_deleted_call_does_not_come_back_when_it_ends(store: Store) -> None:
    """The end of a call that was deleted meanwhile, which the server notes later, brings nothing of it back."""
    await store.write(TurnKept(call=FULL_CALL, turn=FULL_TURN))
    assert await store.delete(FULL_CALL.id) == 1
    await store.write(replace(FULL_CALL, last_at=NOW + 900, ended_at=NOW + 900, ended_by="idle"))
    assert await store.find(FULL_CALL.id) is None
    assert await store.calls() == []


async def test_turns_stand_in_the_order_in_which_they_were_written(store: Store) -> None:
    """Turns come back in the order of writing, also where the wall clock was stepped back between them."""
    for uid, at in (("c", 3.0), ("a", 1.0), ("z", 2.0), ("b", 2.0)):
        await store.write(kept(uid, received_at=NOW + at))
    await asyncio.gather(*(store.write(kept(uid, received_at=NOW - 3600)) for uid in ("y", "x")))
    assert [turn.uid for turn in (await found(store)).turns] == ["c", "a", "z", "b", "y", "x"]


async def test_calls_do_not_mix(store: Store) -> None:
    """A call has its own turns only, also when ids differ in case or by a space."""
    ids = ["a", "A", "a ", "ä", "a%"]
    for id in ids:
        await store.write(kept("turn of " + id, id))
    assert [[turn.uid for turn in (await found(store, id)).turns] for id in ids] == [["turn of " + id] for id in ids]


async def test_many_changes_at_once_are_all_kept_in_order(store: Store) -> None:
    """A thousand changes that wait together are all kept, each call as its last change left it."""
    changes: list[Change] = []
    for number in range(1000):
        of = call(f"call-{number % 7}", last_at=NOW + number, state=str(number))
        changes.append(TurnKept(call=of, turn=turn(f"turn-{number}", of.id, received_at=NOW + number)))
    await asyncio.gather(*map(store.write, changes))
    calls = [await found(store, f"call-{number}") for number in range(7)]
    assert sum(len(stored.turns) for stored in calls) == 1000
    assert [stored.call.state for stored in calls] == [stored.turns[-1].uid.removeprefix("turn-") for stored in calls]


# --- the same again -----------------------------------------------------------------------------------------------


async def test_the_same_change_twice_is_the_same_as_once(store: Store) -> None:
    """A turn with events that is written again, also after later ones, is there once and as it was."""
    change = TurnKept(call=FULL_CALL, turn=FULL_TURN)
    later = TurnKept(call=FULL_CALL, turn=turn("later", FULL_CALL.id, received_at=NOW + 9))
    await asyncio.gather(*map(store.write, (change, change, later)))
    before = await store.find(FULL_CALL.id)
    await store.write(change)
    assert await store.find(FULL_CALL.id) == before == StoredCall(call=FULL_CALL, turns=(FULL_TURN, later.turn))


async def test_the_first_record_of_a_turn_stays(store: Store) -> None:
    """Another record under the uid of a turn changes nothing of it."""
    await store.write(kept(sent="first"))
    await store.write(kept(sent="second"))
    assert [turn.sent for turn in (await found(store)).turns] == ["first"]


# --- changes to a call --------------------------------------------------------------------------------------------


async def test_a_later_change_fills_in_what_was_not_known(store: Store) -> None:
    """What the first change of a call did not know comes from the second."""
    second = call(last_at=NOW + 1, room="r", caller="***1", caller_mark="m", user_data="{}", state="1")
    assert await merged(store, call(), second) == second


async def test_a_later_change_wins(store: Store) -> None:
    """Where both changes know something, that of the newer one is kept."""
    first = call(room="a", callee="***1", callee_mark="m", user_data="{}", state="1", named=False)
    second = call(last_at=NOW + 1, room="b", callee="***2", callee_mark="n", user_data="[]", state="2", platform="vapi")
    assert await merged(store, first, second) == second


async def test_a_later_change_that_knows_less_takes_nothing_away(store: Store) -> None:
    """What the newer change does not know stays as it was."""
    first = replace(FULL_CALL, ended_at=None, ended_by=None)
    second = call(first.id, platform="trtc", begun_at=first.begun_at, last_at=NOW + 1)
    assert await merged(store, first, second) == replace(first, last_at=NOW + 1)


async def test_of_two_changes_of_one_moment_the_one_written_last_wins(store: Store) -> None:
    """Changes with the same time are in the order of writing."""
    assert (await merged(store, call(state="1"), call(state="2"))).state == "2"


async def test_a_change_that_comes_late_rolls_nothing_back(store: Store) -> None:
    """A change that is older than what is kept only fills in what is not known."""
    new = call(last_at=NOW + 5, state="new", ended_at=NOW + 5, ended_by="hangup")
    late = call(last_at=NOW + 1, state="old", room="room", platform="plain", ended_at=NOW + 1, ended_by="idle")
    assert await merged(store, new, late) == replace(new, room="room")


async def test_a_change_that_comes_late_does_not_end_a_call(store: Store) -> None:
    """A call that has gone on is not ended by an older change."""
    late = call(last_at=NOW + 1, ended_at=NOW + 1, ended_by="idle")
    assert (await merged(store, call(last_at=NOW + 5), late)).ended_by is None


async def test_a_call_begins_with_its_earliest_change(store: Store) -> None:
    """The begin of a call is the least that any change named."""
    of = await merged(store, call(begun_at=5.0), call(begun_at=7.0, last_at=NOW + 1), call(begun_at=3.0, last_at=1.0))
    assert of.begun_at == 3.0


async def test_a_call_that_goes_on_has_not_ended(store: Store) -> None:
    """A newer change without an end takes the end away."""
    of = await merged(store, call(ended_at=NOW, ended_by="idle"), call(last_at=NOW + 1))
    assert (of.ended_at, of.ended_by) == (None, None)


# --- what was heard -----------------------------------------------------------------------------------------------


async def test_what_was_heard_comes_to_its_turn(store: Store) -> None:
    """A report of what was heard changes its turn alone, and the last one counts."""
    await asyncio.gather(store.write(kept("one")), store.write(kept("two")))
    await asyncio.gather(store.write(Heard(uid="one", heard=9)), store.write(Heard(uid="one", heard=4)))
    assert [turn.heard for turn in (await found(store)).turns] == [4, None]


async def test_what_was_heard_stays_when_the_turn_is_written_again(store: Store) -> None:
    """A turn that is written again keeps what was reported of it meanwhile."""
    for change in (kept(), Heard(uid="turn-1", heard=4), kept()):
        await store.write(change)
    assert [turn.heard for turn in (await found(store)).turns] == [4]


async def test_what_was_heard_of_an_unknown_turn_is_no_error(store: Store) -> None:
    """A report about a turn that is not here is taken and leaves nothing."""
    await store.write(Heard(uid="nobody", heard=1))
    assert await store.calls() == []


# --- recent calls -------------------------------------------------------------------------------------------------


async def test_a_call_that_was_written_may_go_on(store: Store) -> None:
    """A call that was just written is given with its turns."""
    await store.write(kept())
    assert await store.recent("call-1") == await store.find("call-1") == StoredCall(call=call(), turns=(turn(),))


async def test_a_deleted_call_does_not_go_on(store: Store) -> None:
    """A call that was deleted is new again."""
    await store.write(kept())
    await store.delete("call-1")
    assert await store.recent("call-1") is None


# --- lists --------------------------------------------------------------------------------------------------------


async def test_calls_are_listed_newest_first(store: Store) -> None:
    """A list of calls begins with the one that was last active, and counts turns and failed ones."""
    for number, reason in enumerate(["stop", "failed", "cancelled", "failed"]):
        of = call(f"call-{number % 3}", last_at=NOW + number)
        await store.write(TurnKept(call=of, turn=turn(f"turn-{number}", of.id, reason=reason)))
    await begin(store, call("same", last_at=NOW + 1))
    expected = [("call-0", 2, 1), ("call-2", 1, 0), ("same", 1, 0), ("call-1", 1, 1)]
    assert [(item.call.id, item.turns, item.failed) for item in await store.calls()] == expected
    assert (await store.calls())[2] == CallSummary(call=call("same", last_at=NOW + 1), turns=1, failed=0)


async def test_a_list_has_a_limit_and_a_begin(store: Store) -> None:
    """A list has no more calls than asked for, and none that was not active after ``since``."""
    await asyncio.gather(*(begin(store, call(f"{number:02}", last_at=float(number))) for number in range(60)))
    assert [item.call.id for item in await store.calls(limit=2)] == ["59", "58"]
    assert [item.call.id for item in await store.calls(since=57.0)] == ["59", "58"]
    assert len(await store.calls()) == 50
    assert await store.calls(limit=0) == []
    assert await store.calls(since=59.0) == []


# --- deleting -----------------------------------------------------------------------------------------------------


async def test_deleting_a_call_takes_all_that_belongs_to_it(store: Store) -> None:
    """A deleted call is gone with its turns, the others stay, and it can begin anew."""
    await store.write(TurnKept(call=FULL_CALL, turn=FULL_TURN))
    await store.write(kept())
    assert await store.delete(FULL_CALL.id) == 1
    assert await store.delete(FULL_CALL.id) == 0
    assert await store.find(FULL_CALL.id) is None
    assert [item.call.id for item in await store.calls()] == ["call-1"]
    fresh = replace(FULL_TURN, sent="new", events=())
    await store.write(TurnKept(call=FULL_CALL, turn=fresh))
    assert (await found(store, FULL_CALL.id)).turns == (fresh,)


async def test_what_was_written_before_a_deletion_is_deleted(store: Store) -> None:
    """A deletion comes after the changes that were written before it, whether or not they are committed."""
    written = [store.write(kept(f"turn-{number}")) for number in range(100)]
    assert await store.delete("call-1") == 1
    await asyncio.gather(*written)
    assert await store.find("call-1") is None


async def test_the_calls_of_a_number_are_deleted(store: Store) -> None:
    """Calls go by the mark of their number, be it the caller's or the callee's."""
    marks = {"in": ("m", None), "out": (None, "m"), "self": ("m", "m"), "other": ("n", "o"), "unknown": (None, None)}
    for id, (caller_mark, callee_mark) in marks.items():
        await begin(store, call(id, caller_mark=caller_mark, callee_mark=callee_mark))
    assert sorted(await store.delete_number("m")) == ["in", "out", "self"]
    assert await store.delete_number("m") == []
    assert sorted(item.call.id for item in await store.calls()) == ["other", "unknown"]


async def test_old_calls_are_purged(store: Store) -> None:
    """A purge deletes the calls that were last active before a time, however many, and says how many."""
    changes = [
        TurnKept(call=call(str(number), last_at=float(number)), turn=turn(f"turn-{number}", str(number)))
        for number in range(200)
    ]
    await asyncio.gather(*map(store.write, changes))
    assert await store.purge(150.0) == 150
    assert await store.purge(150.0) == 0
    assert [item.call.id for item in await store.calls(limit=999)] == [str(number) for number in range(199, 149, -1)]


# --- what is hard to keep -----------------------------------------------------------------------------------------


async def test_a_lone_surrogate_costs_no_turn(store: Store) -> None:
    """A turn whose texts UTF-8 cannot hold is kept, and so are those that waited with it."""
    odd = kept("odd", said="a\ud800b", prompt=None)
    outcome = await asyncio.gather(*map(store.write, (kept("before"), odd, kept("after"))), return_exceptions=True)
    assert outcome == [None, None, None]
    stored = await found(store)
    assert [turn.uid for turn in stored.turns] == ["before", "odd", "after"]
    assert stored.turns[1].said in ("a\ud800b", "a\ufffdb")


async def test_a_lone_surrogate_in_an_id_finds_its_call(store: Store) -> None:
    """A call is found under the very id that it was written with."""
    await store.write(kept("turn", "call\udfff"))
    assert len((await found(store, "call\udfff")).turns) == 1
    assert await store.recent("call\udfff") is not None
    assert await store.delete("call\udfff") == 1


async def test_a_number_that_no_column_holds_costs_no_turn(store: Store) -> None:
    """A turn with an absurd count of tokens is kept, with some count."""
    await store.write(kept(prompt_tokens=2**70))
    (of,) = (await found(store)).turns
    assert of.prompt_tokens in {2**70, 2**63 - 1}


async def test_a_long_turn_is_kept(store: Store) -> None:
    """A megabyte of text comes back."""
    await store.write(kept(sent="好" * 350_000))
    assert (await found(store)).turns[0].sent == "好" * 350_000


# --- closing ------------------------------------------------------------------------------------------------------


async def test_closing_commits_what_was_written(store: Store) -> None:
    """What was written before closing is committed by it."""
    futures = [store.write(kept(f"turn-{number}")) for number in range(1000)]
    await store.close()
    assert await asyncio.gather(*futures) == [None] * 1000


async def test_a_closed_store_refuses(store: Store) -> None:
    """After closing a change gets StoreError in its future, and every question raises it."""
    await store.close()
    with pytest.raises(StoreError):
        await store.write(kept())
    with pytest.raises(StoreError):
        await store.find("call-1")
    with pytest.raises(StoreError):
        await store.calls()
    with pytest.raises(StoreError):
        await store.delete("call-1")
    with pytest.raises(StoreError):
        await store.delete_number("m")
    with pytest.raises(StoreError):
        await store.purge(NOW)


async def test_a_change_whose_waiter_has_gone_is_kept(store: Store) -> None:
    """A change is kept although whoever waited for it has given up."""
    store.write(kept("given-up")).cancel()
    await store.write(kept("later"))
    assert [turn.uid for turn in (await found(store)).turns] == ["given-up", "later"]
