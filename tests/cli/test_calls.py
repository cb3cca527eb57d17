"""``offhook calls``: what it lists and shows, what it refuses, and that it keeps a terminal safe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest
from typer.testing import CliRunner

from offhook.cli.main import app
from offhook.cli.records import moment_of, seconds_of
from offhook.errors import SetupError, UnknownCall
from offhook.events import Aside, Attempt, AttemptEnded, ToolRun
from offhook.store.base import CallRecord, EventRecord, TurnRecord
from tests.cli.kept import CALLER, FULL, HOUR, PLAIN, alone, call, ids, keep, listed, refused, said

if TYPE_CHECKING:
    from pathlib import Path

    from offhook.events import Event

ID = "68e00b66-1c8f-4b0f-9b5b-1f0d6c3f8f5e"
COMMAND = (sys.executable, "-m", "offhook", "calls")
# What a caller, or a platform, might send to harm whoever looks at it.
EVIL = "[red]a[/red] :smile: \x1b[2J\x9b2J\u202eb\u2028c\x07 {d}"
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm"}


def said_aside(text: str, why: Literal["filler", "apology", "closing"]) -> EventRecord:
    return event_record("aside", 1.5, Aside(text, why))


def event_record(kind: str, at: float, event: Event) -> EventRecord:
    return EventRecord(kind=kind, at=at, data=msgspec.structs.asdict(event))


# All that a turn may hold which an upstream or the house itself did.
BUSY = (
    event_record("attempt", 0.001, Attempt("a", "big")),
    event_record("attempt_ended", 0.021, AttemptEnded(1, "a", "failed", 0.02, code="upstream_busy")),
    event_record("attempt", 0.03, Attempt("b", "small", number=2, round=2, hedge=True)),
    said_aside("Let me think. ", "filler"),
    event_record("tool_run", 0.612, ToolRun("order", '{"n":1}', "failed", 0.012, code="ValueError", at=0.6)),
    event_record(
        "attempt_ended",
        0.542,
        AttemptEnded(
            2,
            "b",
            "answered",
            0.512,
            first_useful=0.18,
            prompt_tokens=80,
            completion_tokens=4,
            estimated=True,
            cost=0.0012,
            at=0.03,
        ),
    ),
    said_aside(" Bye.", "closing"),
)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the data directory, which is not there yet."""
    return alone(tmp_path, monkeypatch)


def rows(*arguments: str) -> list[list[str]]:
    """Give the cells of the list, without its head."""
    return [re.split(r"\s{2,}", line.strip()) for line in said("calls", *arguments).splitlines()[1:]]


# --- the list -----------------------------------------------------------------------------------------------------


def test_calls_are_listed_newest_first(data: Path) -> None:
    """Each call has a row with its masked number, its local time, its length and how it went."""
    old = keep(data, call(data, "old", ago=2 * HOUR, lasts=3723, ended_by="idle"), PLAIN)
    new = keep(data, call(data, ID), PLAIN, msgspec.structs.replace(PLAIN, reason="failed"))
    begun = [datetime.fromtimestamp(one.begun_at).strftime("%Y-%m-%d %H:%M:%S") for one in (old, new)]
    assert rows() == [
        [ID, "alibaba_ims", "***0001", begun[1], "0:42", "2", "1", "-"],
        ["old", "alibaba_ims", "***0001", begun[0], "1:02:03", "1", "0", "idle"],
    ]
    assert rows("list") == rows()


def test_the_list_as_json(data: Path) -> None:
    """--json gives an array of objects: points in time in UTC, lengths in seconds, and no word of what was said."""
    one = call(data, ID, callee="***0002", room="r", user_data="secret", state='{"secret":1}')
    keep(data, msgspec.structs.replace(one, ended_at=one.begun_at + 42.5, ended_by="command"), FULL)
    (found,) = listed("calls")
    times = {name: found.pop(name) for name in ("begun_at", "last_at", "ended_at")}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", text) for text in times.values())
    assert datetime.fromisoformat(times["begun_at"]).timestamp() == one.begun_at
    assert found == {
        **{"id": ID, "platform": "alibaba_ims", "named": True, "room": "r", "caller": "***0001", "callee": "***0002"},
        **{"ended_by": "command", "length": 42.5, "turns": 1, "failed": 0, "hung_up_by": None, "duration": None},
    }


def test_a_silent_end_does_not_count_as_talk(data: Path) -> None:
    """The length of a call that ended by silence, or goes on, is the time to its last turn."""
    for id, by in (("silent", "idle"), ("open", None)):
        one = call(data, id, ended_by=by)
        keep(data, msgspec.structs.replace(one, ended_at=one.last_at + 900 if by else None), PLAIN)
    assert [one["length"] for one in listed("calls")] == [42.0, 42.0]


def test_the_list_can_be_cut(data: Path) -> None:
    """--limit and --since leave calls out, 0 is no limit, and a list that was cut says so."""
    for hours in (1, 2, 3):
        keep(data, call(data, f"c{hours}", ago=hours * HOUR), PLAIN)
    assert ids("--limit", "2") == ["c1", "c2"]
    assert said("calls", "--limit", "2").endswith("There are more; offhook calls --limit 4 lists them, 0 lists all.\n")
    assert ids("--limit", "0") == ids("--limit", "3") == ["c1", "c2", "c3"]
    assert "more" not in said("calls", "--limit", "3") + said("calls", "--limit", "0")
    assert ids("--since", "90m") == ["c1"]
    assert ids("--since", "2.5h") == ["c1", "c2"]
    begun = datetime.fromisoformat(listed("calls")[1]["begun_at"])
    assert ids("list", "--since", begun.isoformat()) == ["c1", "c2"]
    assert ids("list", "--since", begun.astimezone().replace(tzinfo=None).isoformat()) == ["c1", "c2"]
    assert said("calls", "--since", "5m") == f"No calls are recorded in {data}/offhook.db since 5m.\n"


def test_a_limit_is_a_number_of_calls(data: Path) -> None:
    """A limit that no list has is refused with exit code 2, one that it may have is not."""
    keep(data, call(data, ID), PLAIN)
    for limit in ("-1", "1000001", "9" * 23):
        result = CliRunner().invoke(app, ["calls", "--limit", limit])
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--limit" in result.stderr
    assert ids("--limit", "1000000") == [ID]


def test_lengths_of_time_and_moments() -> None:
    """A time is so long ago or an ISO 8601 one; what is neither is refused with what would do."""
    lengths = {"90s": 90, "90m": 5400, "2h": 7200, " 1.5D ": 129_600, "4w": 2_419_200}
    assert {text: seconds_of(text, "--since") for text in lengths} == lengths
    assert moment_of("2h", 10_000.0, "--since") == 2800
    assert moment_of("1970-01-01T02:00:00+01:00", 0.0, "--since") == 3600
    for text in ("", "2", "2x", "-2h", "yesterday", "2026-13-01", "0001-01-01T00:00:00+23:59x"):
        with pytest.raises(SetupError, match="--since is"):
            moment_of(text, 0.0, "--since")
    with pytest.raises(SetupError, match="--since is '1y', which is no length of time; write 90m, 2h, 30d or 4w"):
        seconds_of("1y", "--since")


def test_nothing_was_recorded_yet(data: Path) -> None:
    """Without a database the list says where it looked, a single call is an error, and no file is made."""
    nothing = f"Nothing was recorded yet: there is no database {data}/offhook.db."
    assert said("calls") == nothing + "\n"
    assert listed("calls") == []
    assert refused("calls", "show", "x", by=UnknownCall) == nothing
    assert refused("calls", "delete", "x", "--yes", by=UnknownCall) == nothing
    assert said("calls", "delete", "--number", CALLER, "--yes") == "0 calls were deleted.\n"
    assert not data.exists()


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["delete", "x", "--yes"]])
def test_a_store_that_cannot_be_read(command: list[str]) -> None:
    """Records in another process's memory, none at all, and a store that there is not, are refused in one line."""
    for name in ("memory", "none"):
        assert refused("calls", *command, "--store", name).startswith(
            f"A server with the store {name!r} keeps no records"
        )
    assert refused("calls", *command, "--store", "redis").startswith("There is no store 'redis'.")


def test_the_settings_are_those_of_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of the server are found with its file, its variables or its flags."""
    monkeypatch.delenv("OFFHOOK_DATA_DIR")
    other = tmp_path / "other"
    keep(other, call(other, "there"), PLAIN)
    assert ids("--data-dir", str(other)) == ids("--store", f"sqlite:///{other}/offhook.db") == ["there"]
    (tmp_path / "mine.toml").write_text('data_dir = "other"\n[store]\nurl = "sqlite"\n', "utf-8")
    assert ids("--config", "mine.toml") == ["there"]
    monkeypatch.setenv("OFFHOOK_STORE", "sqlite:///other/offhook.db")
    assert ids() == ["there"]
    assert refused("calls", "--config", "no.toml") == "no.toml cannot be read: No such file or directory."


# --- one call -----------------------------------------------------------------------------------------------------


def test_a_call_is_shown_with_its_timings(data: Path) -> None:
    """The transcript tells what was said, sent and heard, what was called, how it ended, and how long it took."""
    one = keep(data, call(data, ID, user_data='{"a":1}', ended_by="command"), FULL, PLAIN)
    clocks = [datetime.fromtimestamp(one.begun_at + place).strftime("%H:%M:%S") for place in (0, 1)]
    assert said("calls", "show", ID).splitlines() == [
        f"call        {ID}",
        "platform    alibaba_ims",
        "caller      ***0001",
        f"begun       {datetime.fromtimestamp(one.begun_at):%Y-%m-%d %H:%M:%S}",
        "length      0:42",
        "ended by    command",
        "turns       2",
        'user data   {"a":1}',
        "",
        f"{clocks[0]}  turn 1, grown, model abc",
        "  caller      What do you have?",
        "  agent       One, two,",
        "  not heard    three, four,",
        "  not sent     five, six.",
        "  cut         after 22 of 33 characters",
        "  heard       9 of 22 characters sent",
        "  attempt     127.0.0.1 qwen, no end known  (at 1.0 ms)",
        '  tool call   name=order arguments={"n": 1} id=call_1  (at 200.0 ms)',
        "  command     name=hangup  (at 300.0 ms)",
        "  retry       request_id=req_2  (at 400.0 ms)",
        "  superseded  upstream_timeout, first useful 180.2 ms, first byte 180.3 ms, cancelled 912.0 ms, end 912.5 ms, "
        "tokens 80 in, 4 out",
        "",
        f"{clocks[1]}  turn, newer, model abc",
        "  caller      hi",
        "  agent       Hello.",
        "  stop        end 200.0 ms",
    ]


def test_what_the_house_said_and_paid_for_is_shown(data: Path) -> None:
    """A filler stands before the words, a closing behind them, and each attempt with its end and price on one line."""
    turn = msgspec.structs.replace(
        PLAIN, reason="failed", error="upstream_broken", cost=0.0012, generated="Well, ", sent="Well, ", events=BUSY
    )
    silent = msgspec.structs.replace(
        PLAIN, reason="failed", error="turn_timeout", generated="", sent="", events=(said_aside("Sorry.", "apology"),)
    )
    keep(data, call(data, ID), turn, silent)
    lines = said("calls", "show", ID).splitlines()
    assert lines[6:8] == ["turns       2, 2 failed", "cost        0.0012"]
    assert lines[10:18] == [
        "  caller      hi",
        "  filler      Let me think.  (at 1500.0 ms)",
        "  agent       Well,",
        "  closing     Bye.  (at 1500.0 ms)",
        "  attempt     a big, failed upstream_busy, 20.0 ms  (at 1.0 ms)",
        "  attempt     b small, round 2, hedge, answered, 512.0 ms, first useful 180.0 ms, tokens about 80 in, 4 out, "
        "cost 0.0012  (at 30.0 ms)",
        '  tool run    order {"n":1}, failed ValueError, 12.0 ms  (at 600.0 ms)',
        "  failed      upstream_broken, end 200.0 ms, cost 0.0012",
    ]
    assert lines[20:23] == [
        "  caller      hi",
        "  apology     Sorry.  (at 1500.0 ms)",
        "  failed      turn_timeout, end 200.0 ms",
    ]


def test_where_a_reply_was_cut_follows_the_map(data: Path) -> None:
    """What was not sent is told in what was generated, also where what was sent is another text."""
    turn = msgspec.structs.replace(
        PLAIN, generated="**One** two three", sent="One two", map=((0, 2), (3, 7)), reason="cancelled"
    )
    silent = msgspec.structs.replace(PLAIN, said="", kind="wake_up", generated="Hello.", sent="", map=())
    keep(data, call(data, ID), turn, silent)
    lines = said("calls", "show", ID).splitlines()
    assert lines[10:14] == [
        "  agent       One two",
        "  not sent     three",
        "  cut         after 11 of 17 characters",
        "  cancelled   end 200.0 ms",
    ]
    assert lines[15].endswith("  turn, newer, wake up, model abc")
    assert lines[16:20] == [
        "  caller      -",
        "  agent       -",
        "  not sent    Hello.",
        "  cut         after 0 of 6 characters",
    ]


def test_a_call_as_json_is_all_that_is_kept(data: Path) -> None:
    """--json has every field of call and turn, digests in hexadecimal, the agent's state as an object."""
    one = keep(data, call(data, ID, state='{"n":1}'), FULL)
    found = json.loads(said("calls", "show", ID, "--json"))
    assert found.keys() == {"call", "turns", "spoken"}
    assert found["call"].keys() == {*CallRecord.__struct_fields__, "length"}
    assert (found["call"]["state"], found["call"]["caller_mark"]) == ({"n": 1}, one.caller_mark)
    (turn,) = found["turns"]
    assert turn.keys() == set(TurnRecord.__struct_fields__)
    assert datetime.fromisoformat(turn.pop("received_at")).timestamp() == one.begun_at
    wanted = msgspec.to_builtins(FULL) | {"uid": f"{ID}/0", "call_id": ID, "digest": "00ff", "spoken": "0102"}
    del wanted["received_at"]
    assert turn == json.loads(json.dumps(wanted))


def test_the_beginning_of_an_id_is_enough(data: Path) -> None:
    """A call is found by what no other call's id begins with; what fits several calls, or none, is told."""
    for id in ("ab", "abc", "abd", "x"):
        keep(data, call(data, id), PLAIN)
    for given, shown in (("x", "x"), ("ab", "ab"), ("abc", "abc"), ("abc…", "abc")):
        assert said("calls", "show", given).startswith(f"call        {shown}\n")
    assert refused("calls", "show", "a").startswith("3 calls begin with 'a': 'abd', 'abc', 'ab'. Give more of the id.")
    assert refused("calls", "show", "y\x1b", by=UnknownCall) == f"There is no call 'y\\x1b' in {data}/offhook.db."


# --- a terminal ---------------------------------------------------------------------------------------------------


def orders(output: str) -> set[str]:
    """Give what a terminal acts on, but for ends of lines and the colours that rich writes."""
    return set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", re.sub(r"\x1b\[[\d;]*m", "", output)))


@pytest.mark.parametrize("env", [{}, {**TERMINAL, "COLUMNS": "60"}], ids=["pipe", "terminal"])
def test_nothing_that_was_said_is_obeyed(data: Path, env: dict[str, str]) -> None:
    """Control characters, changes of direction and markup of either side are shown and not acted upon."""
    harmful = msgspec.structs.replace(
        FULL, turn_id=EVIL, which=EVIL, model=EVIL, said=EVIL, generated=EVIL * 2, sent=EVIL, heard=3, error=EVIL
    )
    events = tuple(msgspec.structs.replace(event, kind=EVIL, data={EVIL: EVIL}) for event in FULL.events)
    one = call(data, EVIL, user_data=EVIL, room=EVIL, callee=EVIL, ended_by=EVIL)
    keep(
        data, msgspec.structs.replace(one, platform=EVIL, caller=EVIL), msgspec.structs.replace(harmful, events=events)
    )
    for arguments in (["list"], ["show", EVIL], ["list", "--json"], ["show", EVIL, "--json"]):
        output = said("calls", *arguments, env=env)
        assert orders(output) == set()
        assert "[red]a[/red] :smile:" in re.sub(r"\x1b\[[\d;]*m", "", output) or arguments == ["list"]
    assert listed("calls")[0]["id"] == EVIL


def test_a_narrow_terminal_cuts_the_ids_only(data: Path) -> None:
    """On 80 columns each call has one line, and what is left of its id is enough to show it."""
    keep(data, call(data, ID, ended_by="callback"), PLAIN)
    output = re.sub(r"\x1b\[[\d;]*m", "", said("calls", env={**TERMINAL, "COLUMNS": "80"}))
    head, row = output.splitlines()
    assert max(len(head), len(row)) <= 80
    cut, *cells = re.split(r"\s{2,}", row.strip())
    assert cut.endswith("…")
    assert [cells[0], cells[1], *cells[3:]] == ["alibaba_ims", "***0001", "0:42", "1", "0", "callback"]
    assert f"call        {ID}" in said("calls", "show", cut)


def test_long_lines_are_folded_on_a_terminal(data: Path) -> None:
    """On a terminal further lines stand below the first one; in a pipe a text stays on its line."""
    turn = msgspec.structs.replace(PLAIN, said="one\ntwo", generated="word " * 40, sent="word " * 40)
    keep(data, call(data, ID), turn)
    output = re.sub(r"\x1b\[[\d;]*m", "", said("calls", "show", ID, env={**TERMINAL, "COLUMNS": "80"}))
    assert max(map(len, output.splitlines())) <= 80
    assert "  caller      one\n              two\n  agent       word word" in output
    assert "word\n              word" in output
    assert f"  agent       {'word ' * 39}word\n" in said("calls", "show", ID)


# --- a process of its own -----------------------------------------------------------------------------------------


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=25, check=False, cwd=cwd
    )


def test_exit_codes(data: Path, tmp_path: Path) -> None:
    """What is not there is exit code 1, what is set up wrongly 2, and either is one line on standard error."""
    keep(data, call(data, ID), PLAIN)
    for arguments, code, words in (
        (["show", "nobody"], 1, "There is no call 'nobody'"),
        (["delete", ID], 2, "Nobody can be asked here"),
        (["--store", "none"], 2, "A server with the store 'none'"),
        (["--store", f"sqlite:///{tmp_path}"], 2, f"The database {tmp_path} cannot be used: it is a directory"),
    ):
        done = process(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code, "")
        assert re.fullmatch(rf"offhook: {words}.*\n", done.stderr)
    assert ID in process(cwd=tmp_path).stdout


def test_a_reader_that_goes_away_is_no_failure(data: Path) -> None:
    """Piped into a program that reads no further, the list ends without a traceback."""
    keep(data, call(data, ID), PLAIN)
    done = subprocess.run(
        [f"{' '.join(COMMAND)} | true"], shell=True, capture_output=True, text=True, timeout=25, check=False
    )
    assert "Traceback" not in done.stderr
