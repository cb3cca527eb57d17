"""``offhook call`` in a process of its own, against a scripted server."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.node.scripted import DONE, SSE, ScriptedServer, chunk, plain, response

if TYPE_CHECKING:
    from pathlib import Path

HANGUP = {"index": 0, "id": "c", "type": "function", "function": {"name": "hangup", "arguments": "{}"}}
STOP = chunk(finish="stop")
HELLO = plain(chunk("Hel"), chunk("lo."), STOP, DONE)
BYE = plain(chunk("再见。"), chunk(tool_calls=[HANGUP]), chunk(finish="tool_calls"), DONE)

PROGRAM = """
import typer
from offhook.cli.call import call
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
app.command()(call)
app()
"""
COMMAND = (sys.executable, "-c", PROGRAM)


class Ran(NamedTuple):
    """How a run of the command ended."""

    code: int | None
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


async def run(*args: str, typed: bytes = b"") -> Ran:
    """Run the command with its input from a pipe, and no terminal."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *args, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await process.communicate(typed)
    return Ran(process.returncode, out.decode(), err.decode())


async def test_lines_of_a_pipe_are_played_in_turn() -> None:
    """Each line of a pipe is played after the previous reply, until the hangup, and a plain table sums up."""
    async with ScriptedServer(HELLO, BYE) as server:
        ran = await run(server.base_url, "--model-id", "abc", "--api-key", "k", typed=b"hi\n\nbye\nnever\n")
    assert (ran.code, ran.err) == (0, "")
    assert [asked.body["messages"][-1]["content"] for asked in server.asked] == ["hi", "bye"]
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer k"}
    for words in (
        "caller> hi",
        "agent>  Hello.",
        "first token",
        "再见。",
        "first token ms",
        "The agent ended the call.",
    ):
        assert words in ran.out
    assert "\x1b" not in ran.out


async def test_json_is_one_object_per_turn_and_a_summary() -> None:
    """With --json stdout holds one object per turn and one summary, and nothing else."""
    async with ScriptedServer(HELLO, BYE) as server:
        ran = await run(
            *(server.base_url, "--json", "--model-id", "m", "--caller", "138", "--callee", "139"),
            *("--user-data", '{"a":1}', "--instance-id", "i"),
            typed=b"hi\r\nbye",
        )
    hi, bye, summary = ran.objects
    assert (hi["turn"], hi["caller"], hi["text"], hi["finish_reason"], hi["error"]) == (1, "hi", "Hello.", "stop", None)
    assert hi["first_token_ms"] <= hi["total_ms"]
    assert (bye["hangup"], bye["tool_calls"]) == (True, [{"name": "hangup", "arguments": "{}"}])
    assert summary == {"summary": {"instance_id": "i", "turns": 2, "failed": 0, "ended_by": "agent", "transfer": None}}
    extend = {"instanceId": "i", "callerNumber": "138", "calleeNumber": "139", "userData": '{"a":1}', "sentenceId": 1}
    assert extend.items() <= server.asked[0].body["extendData"].items()


@pytest.mark.parametrize("end", [b"", b"/hangup\nnever\n"])
async def test_the_caller_ends_the_call(end: bytes) -> None:
    """The end of the input and /hangup end the call as the caller."""
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, "--json", "--model-id", "m", typed=b"hi\n" + end)
    assert ran.code == 0
    assert ran.objects[-1]["summary"]["ended_by"] == "caller"
    assert len(server.asked) == 1


async def test_a_script_is_played_without_its_comments(tmp_path: Path) -> None:
    """A script's lines are played in order, its comments and empty lines are not."""
    script = tmp_path / "lines.txt"
    script.write_text("# a call\n\n你好\n  # more\nbye\n", encoding="utf-8")
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, "--json", "--model-id", "m", "--script", str(script))
    assert ran.code == 0
    assert [turn["caller"] for turn in ran.objects[:-1]] == ["你好", "bye"]


async def test_a_regular_file_may_be_the_input(tmp_path: Path) -> None:
    """A regular file as standard input, which no event loop can watch, is read to its end."""
    lines = tmp_path / "lines.txt"
    lines.write_bytes(b"one\ntwo\n")
    pipe = asyncio.subprocess.PIPE
    async with ScriptedServer(HELLO) as server:
        descriptor = os.open(lines, os.O_RDONLY)
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, server.base_url, "--json", "--model-id", "m", stdin=descriptor, stdout=pipe, stderr=pipe
            )
        finally:
            os.close(descriptor)
        await process.communicate()
    assert process.returncode == 0
    assert len(server.asked) == 2


async def test_the_first_listed_model_is_asked_for() -> None:
    """Without --model-id the first model that the endpoint lists is used, and any name where it lists none."""
    models = response("200 OK", b'{"data":[{"id":"first"},{"id":"second"}]}')
    async with ScriptedServer(models, BYE, response("404 Not Found", b""), BYE) as server:
        await run(server.base_url, typed=b"hi\n")
        await run(server.base_url, typed=b"hi\n")
    assert [asked.body["model"] for asked in server.asked if asked.method == "POST"] == ["first", "default"]


REFUSALS = [
    (
        response("401 Unauthorized", b'{"error":{"message":"wrong key"}}'),
        "wrong key. Give the server's key with --api-key.",
    ),
    (response("404 Not Found", b'{"detail":"Not Found"}'), "Check the base URL"),
    (response("404 Not Found", b'{"error":{"message":"The model x does not exist"}}'), "with --model-id."),
]


@pytest.mark.parametrize(("script", "words"), REFUSALS)
async def test_a_refusal_is_one_clear_line(script: list[Any], words: str) -> None:
    """A refusal that every turn would meet is one line that says what to do, and exit code 1."""
    async with ScriptedServer(script) as server:
        ran = await run(server.base_url, "--model-id", "m", typed=b"one\ntwo\n")
    assert (ran.code, len(server.asked)) == (1, 1)
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err + ran.out


async def test_nobody_there_is_one_clear_line() -> None:
    """Without a server at the base URL there is one line that says how to start one, and exit code 1."""
    async with ScriptedServer() as server:
        base_url = server.base_url
    ran = await run(base_url, typed=b"one\ntwo\n")
    assert ran.code == 1
    assert "offhook serve" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("127.0.0.1:8083",),
        ("http://h", "--script", "/nowhere"),
        ("http://h", "--resend", "/nowhere"),
        ("http://h", "--api-key", "ü"),
    ],
)
async def test_options_that_cannot_work_are_told(args: tuple[str, ...]) -> None:
    """An option that cannot work is one line and exit code 2."""
    ran = await run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("offhook: ")
    assert ran.err.count("\n") == 1


async def test_a_failed_turn_does_not_end_the_call() -> None:
    """After a turn that failed by itself the call goes on, and the exit code is 1."""
    async with ScriptedServer(response("500 Oh", b"broke"), HELLO) as server:
        ran = await run(server.base_url, "--json", "--model-id", "m", typed=b"one\ntwo\n")
    assert ran.code == 1
    assert [turn["error"] for turn in ran.objects[:-1]] == ["the endpoint answered 500: broke", None]


async def test_a_capture_is_sent_again(tmp_path: Path) -> None:
    """With --resend one captured request is sent, its reply shown, and the command ends."""
    body = {"messages": [{"role": "user", "content": "x"}], "model": "m", "stream": True}
    file = tmp_path / "one.json"
    request = {"method": "POST", "path": "/v1/chat/completions", "query": [], "headers": [], "body": body}
    file.write_text(json.dumps({"offhook_capture": 1, "request": request, "reply": {}}))
    async with ScriptedServer(HELLO) as server:
        ran = await run(server.base_url, "--json", "--resend", str(file))
    assert ran.code == 0
    assert [answer["text"] for answer in ran.objects] == ["Hello."]
    assert server.asked[0].body == body


async def test_control_characters_do_not_reach_the_terminal() -> None:
    """What a server sends is shown without the characters that a terminal would act on."""
    async with ScriptedServer(plain(chunk("a\x1b[2Jb\x07"), STOP, DONE)) as server:
        ran = await run(server.base_url, "--model-id", "m", typed=b"hi\n")
    assert "a\ufffd[2Jb\ufffd" in ran.out


async def test_ctrl_c_ends_cleanly() -> None:
    """Ctrl-C in the middle of a reply disconnects, shows the summary and exits with 130, without a traceback."""
    pipe = asyncio.subprocess.PIPE
    async with ScriptedServer([SSE, chunk("long")], hold=True) as server:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, server.base_url, "--model-id", "m", stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert process.stdin is not None
        process.stdin.write(b"hi\n")
        await process.stdin.drain()
        await server.arrived.wait()
        process.send_signal(signal.SIGINT)
        await server.left.wait()
        out, err = await process.communicate()
    assert process.returncode == 130
    assert err == b""
    assert b"barge-in" in out


async def test_enter_during_a_reply_is_a_barge_in() -> None:
    """In a terminal, Enter during a reply cuts in, and what is typed next is the next utterance."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    shown = Screen(master)
    try:
        async with ScriptedServer([SSE, chunk("a long reply")], BYE, hold=1) as server:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, server.base_url, "--model-id", "m", stdin=slave, stdout=slave, stderr=slave
            )
            await shown.until("caller>")
            os.write(master, b"hi\n")
            await shown.until("a long reply")
            os.write(master, b"\n")
            await server.left.wait()
            await shown.until("barge-in")
            os.write(master, b"bye\n")
            await shown.until("The agent ended the call.")
            assert await process.wait() == 0
    finally:
        shown.close()
        os.close(slave)
        os.close(master)
    assert [asked.body["messages"][-1]["content"] for asked in server.asked] == ["hi", "bye"]


class Screen:
    """What a program has written to a pseudo-terminal."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._seen = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._master, 4096)
        except OSError:
            self.close()
        self._more.set()

    async def until(self, words: str) -> None:
        """Return once ``words`` were shown; what came before is forgotten."""
        wanted = words.encode()
        while wanted not in self._seen:
            self._more.clear()
            await self._more.wait()
        self._seen = self._seen.partition(wanted)[2]

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
