"""``offhook call --platform``: what is sent, what is shown, and how the call ends."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from offhook.cli.call_view import JsonView, PersonView
from offhook.node import AnswerRecord, CallTurn
from offhook.node.platforms import PLATFORMS
from tests.cli.test_call import run
from tests.node.scripted import DONE, SSE, ScriptedServer, chunk, event, plain
from tests.node.sockets import Frame, SocketServer

PAGES = Path(__file__).parents[2] / "docs" / "platforms"
STOP = chunk(finish="stop")
HELLO = plain(chunk("Hello."), STOP, DONE)


def ordering(name: str, arguments: str = "{}") -> list[Any]:
    """Give the script of a reply that says goodbye and calls a function."""
    function = {"name": name, "arguments": arguments}
    call = chunk(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": function}])
    return plain(chunk("Bye."), call, chunk(finish="tool_calls"), DONE)


async def test_the_platform_decides_what_is_sent_and_obeyed() -> None:
    """With --platform the request has that platform's fields, and its function ends the call."""
    args = ("--platform", "vapi", "--json", "--model-id", "m", "--instance-id", "i", "--caller", "+1")
    async with ScriptedServer(ordering("hangup"), ordering("endCall")) as server:
        ran = await run(server.base_url, *args, typed=b"one\ntwo\nthree\n")
    assert (ran.code, ran.err) == (0, "")
    assert [asked.body["call"]["id"] for asked in server.asked] == ["i", "i"]
    assert server.asked[0].body["customer"] == {"number": "+1"}
    assert [turn["hangup"] for turn in ran.objects[:-1]] == [False, True]
    assert ran.objects[-1]["summary"]["ended_by"] == "agent"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_shows_how_to_try_it(page: Path) -> None:
    """The page of a platform has the command that plays it, under the name that the command knows."""
    name = page.stem.replace("-", "_")
    assert name in PLATFORMS
    lines = page.read_text("utf-8").splitlines()
    assert any(line.startswith("| `offhook call") and f"--platform {name}`" in line for line in lines)


async def test_a_transfer_is_shown() -> None:
    """A transfer ends the call, and its number is shown to a person and to a program."""
    arguments = '{"destination":"+15550001"}'
    async with ScriptedServer(ordering("transferCall", arguments)) as server:
        args = (server.base_url, "--platform", "vapi", "--model-id", "m")
        person, program = await run(*args, typed=b"a\nb\n"), await run(*args, "--json", typed=b"a\nb\n")
    assert "transfer to +15550001" in person.out
    assert "The agent ended the call." in person.out
    assert (program.objects[0]["transfer"], len(program.objects)) == ("+15550001", 2)


async def test_what_goes_to_the_app_is_shown_and_not_spoken() -> None:
    """A chunk for the app is shown on a line of its own, and stands in the JSON of its turn."""
    meta = event({"type": "meta.info", "metainfo": {"page": 2}})
    async with ScriptedServer(plain(meta, chunk("Look."), STOP, DONE)) as server:
        args = (server.base_url, "--platform", "trtc", "--model-id", "m")
        person, program = await run(*args, typed=b"a\n"), await run(*args, "--json", typed=b"a\n")
    assert 'to the app: {"page":2}' in person.out
    assert "agent>  Look." in person.out
    assert (program.objects[0]["to_app"], program.objects[0]["text"]) == ([{"page": 2}], "Look.")


async def test_a_protected_reply_is_shown_as_such() -> None:
    """A person is told that the caller could not cut in."""
    async with ScriptedServer(plain(chunk("<No Interrupting>Listen."), STOP, DONE)) as server:
        ran = await run(server.base_url, "--model-id", "m", typed=b"a\n")
    assert "agent>  Listen." in ran.out
    assert "the caller cannot cut in" in ran.out


@pytest.mark.parametrize("platform", [name for name, one in PLATFORMS.items() if one.socket is None])
async def test_what_a_platform_has_no_field_for_is_told_once(platform: str) -> None:
    """The options that a platform cannot carry are named in one line, and the call goes on."""
    facts = ("--instance-id", "i", "--caller", "1", "--callee", "2", "--user-data", "{}")
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, "--platform", platform, "--model-id", "m", *facts, typed=b"a\nb\n")
    names = {"instance_id": "--instance-id", "caller_number": "--caller", "callee_number": "--callee"}
    unsent = [flag for name, flag in (names | {"user_data": "--user-data"}).items() if name not in sends(platform)]
    told = f"offhook: {platform} has no field for {', '.join(unsent)}; the server is not told.\n" if unsent else ""
    assert (ran.code, ran.err) == (0, told)


def sends(platform: str) -> frozenset[str]:
    """Give what a platform has a field for."""
    return frozenset(PLATFORMS[platform].sends)


async def test_an_unknown_platform_is_told_with_the_known_ones() -> None:
    """A name that is no platform's is one line that lists all of them, and exit code 2."""
    ran = await run("http://h/v1", "--platform", "nobody")
    assert (ran.code, ran.out) == (2, "")
    assert f"there are: {', '.join(PLATFORMS)}." in ran.err
    assert ran.err.count("\n") == 1


async def test_the_help_names_the_platforms() -> None:
    """Every platform is named in the help."""
    ran = await run("--help")
    words = "".join(ran.out.split()).replace("│", "")
    assert all(name in words for name in PLATFORMS)


async def test_early_questions_can_be_asked_for() -> None:
    """With --early the words of a caller who has not finished are asked about too."""
    args = ("--platform", "volcengine", "--early", "--json", "--model-id", "m")
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, *args, typed="从一数到三百吧\n".encode())
    assert ran.code == 0
    assert len(server.asked) == 3


async def test_ctrl_d_ends_what_a_barge_in_left_open() -> None:
    """A script that ends while a connection is open closes it."""
    async with ScriptedServer([SSE, chunk("<No Interrupting>a")], HELLO, close=True) as server:
        ran = await run(server.base_url, "--barge-in", "open", "--model-id", "m", "--json", typed=b"a\nb\n")
    assert ran.code == 0
    assert len(ran.objects) == 3


def response(number: int, content: str, **more: Any) -> Frame:
    """Give the whole of a Retell reply."""
    return {"response_type": "response", "response_id": number, "content": content, "content_complete": True, **more}


def retell(frame: Frame) -> list[Frame]:
    """Say goodbye to everything."""
    if frame.get("interaction_type") != "response_required":
        return []
    return [response(frame["response_id"], "Bye.", end_call=True)]


async def test_a_retell_server_is_called_over_a_websocket() -> None:
    """A WebSocket is called as Retell does: the server's greeting comes first, and its end_call ends the call."""
    async with SocketServer(retell, [response(0, "Good day.")]) as server:
        args = (f"{server.address}/retell/secret/llm-websocket", "--platform", "retell", "--instance-id", "i")
        person, program = await run(*args, typed=b"hi\nmore\n"), await run(*args, "--json", typed=b"hi\nmore\n")
    assert (person.code, person.err, program.code) == (0, "", 0)
    assert "agent>  Good day." in person.out
    assert "secret" not in person.out
    assert server.targets == ["/retell/secret/llm-websocket/i"] * 2
    assert [turn["text"] for turn in program.objects[:-1]] == ["Good day.", "Bye."]
    assert program.objects[-1]["summary"]["ended_by"] == "agent"


async def test_a_silent_greeting_is_no_turn_to_show() -> None:
    """A Retell server that lets the caller speak first is not shown to have said anything."""
    async with SocketServer(retell, [response(0, "")]) as server:
        args = (server.address, "--platform", "retell")
        person, program = await run(*args, typed=b"hi\n"), await run(*args, "--json", typed=b"hi\n")
    assert [turn["text"] for turn in program.objects[:-1]] == ["Bye."]
    assert program.objects[-1]["summary"]["turns"] == 1
    head, *rows = person.out.partition("\n\n")[2].splitlines()
    assert head.split()[:2] == ["turn", "caller"]
    assert [row.split()[:2] for row in rows] == [["2", "hi"], ["The", "agent"]]


def relay(frame: Frame) -> list[Frame]:
    """Say goodbye, and end the session when that is complete."""
    if frame["type"] != "prompt":
        return []
    return [{"type": "text", "token": "Bye.", "last": True}, {"type": "end"}]


async def test_a_relay_server_ends_the_call_after_its_last_word() -> None:
    """The caller who has nothing left to say stays on the line until a relay server has ended the session."""
    async with SocketServer(relay) as server:
        args = (server.address, "--platform", "conversation_relay")
        program, person = await run(*args, "--json", typed=b"hi\n"), await run(*args, typed=b"hi\n")
    assert (program.code, program.objects[-1]["summary"]["ended_by"]) == (0, "agent")
    assert "The agent ended the call." in person.out


def handing(frame: Frame) -> list[Frame]:
    """Connect the caller, and hand the call over when that was said."""
    if frame["type"] != "prompt":
        return []
    end = {"type": "end", "handoffData": '{"transfer":"+15550001"}'}
    return [{"type": "text", "token": "One moment.", "last": True}, end]


async def test_a_transfer_behind_the_last_word_is_shown() -> None:
    """A relay server's transfer comes behind the reply: its number is told, and no reason that there is not."""
    async with SocketServer(handing) as server:
        args = (server.address, "--platform", "conversation_relay")
        program, person = await run(*args, "--json", typed=b"hi\n"), await run(*args, typed=b"hi\n")
    assert program.objects[-1]["summary"]["transfer"] == "+15550001"
    assert person.out.count("transfer to +15550001") == 1
    assert " -," not in person.out
    assert "The agent ended the call." in person.out


@pytest.mark.parametrize("known", [True, False])
def test_a_transfer_is_told_once(capsys: pytest.CaptureFixture[str], known: bool) -> None:
    """A transfer is told with its turn, or at the end where it was not known then, in words and in JSON."""
    answer = AnswerRecord(text="Wait.", transfer="+15550001", started_at=0.0)
    after = CallTurn(sentence_id=1, caller="hi", text="Wait.", heard="Wait.", interrupted=False, answer=answer)
    before = msgspec.structs.replace(after, answer=AnswerRecord(text="Wait.", started_at=0.0))
    call: Any = SimpleNamespace(turns=[after], ended="agent", instance_id="i")
    for view in (PersonView(), JsonView()):
        view.turn(after if known else before)
        view.summary(call, PLATFORMS["conversation_relay"])
    words = capsys.readouterr().out
    assert words.count("transfer to +15550001") == 1
    summary = json.loads(words.splitlines()[-1])["summary"]
    assert (summary["transfer"], summary["ended_by"]) == ("+15550001", "agent")


@pytest.mark.parametrize("platform", [name for name, one in PLATFORMS.items() if one.socket is None])
async def test_a_platform_that_takes_no_hangup_says_so(platform: str) -> None:
    """Whose questions offer nothing to hang up with is told at the end of a call that the agent did not end."""
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, "--platform", platform, "--model-id", "m", typed=b"a\n")
    deaf = platform in {"agora", "trtc", "volcengine", "zego", "assemblyai"}
    told = f"{platform} takes no hang-up from the agent, see docs/platforms/{platform}.md."
    assert ran.out.splitlines()[-1] == (told if deaf else "The caller ended the call.")
    assert not deaf or (PAGES / f"{platform}.md").is_file()


async def test_nobody_at_a_websocket_is_one_clear_line() -> None:
    """Without a server there is one line that says how to start one, and exit code 1."""
    async with SocketServer(relay) as server:
        address = server.address
    for platform in ("retell", "conversation_relay"):
        ran = await run(address, "--platform", platform, typed=b"one\ntwo\n")
        assert ran.code == 1
        assert "offhook serve" in ran.err
        assert ran.err.count("\n") == 1
