"""A reader of the log who stands still stops nobody."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from offhook.observe.queue import LogQueue
from tests.raw import chat_body, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Far more than a pipe of one page takes.
LINES = 200
SMALL = 4096


class Pipe:
    """A pipe of one page: its end to write to as a stream, and what can be read from it."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            pytest.skip("optional: a pipe of one page can be made on Linux")
        self._read, written = os.pipe()
        fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, SMALL)
        self.stream = os.fdopen(written, "w")

    def read_until(self, words: str) -> str:
        """Read until these words came."""
        text = ""
        while words not in text:
            piece = os.read(self._read, 65536).decode()
            assert piece, f"the pipe ended without {words!r}"
            text += piece
        return text

    def close(self) -> None:
        os.close(self._read)
        self.stream.close()


@contextmanager
def piped() -> Iterator[Pipe]:
    pipe = Pipe()
    try:
        yield pipe
    finally:
        pipe.close()


def say(queue: LogQueue, *messages: str) -> None:
    for message in messages:
        queue.handle(logging.LogRecord("offhook", logging.INFO, __file__, 1, message, (), None))


def test_lines_are_written_in_their_order() -> None:
    """What was logged stands in the stream when it was waited for, in its order."""
    stream = io.StringIO()
    queue = LogQueue(stream)
    say(queue, *(f"line {number}" for number in range(LINES)))
    assert queue.drain()
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(LINES))
    queue.close()


def test_what_does_not_fit_is_dropped_and_told_of() -> None:
    """Lines that find the queue full are dropped and counted, and the log tells how many once it flows again."""
    with piped() as pipe:
        queue = LogQueue(pipe.stream, most_bytes=2 * SMALL)
        say(queue, *(f"line {number} {'x' * 100}" for number in range(LINES)))
        dropped = queue.dropped
        assert 0 < dropped < LINES
        assert not queue.drain(0.0)
        text = pipe.read_until("dropped")
        while sum(int(count) for count in re.findall(r"dropped: lines=(\d+)\n", text)) < dropped:
            text += pipe.read_until("\n")
        assert text.startswith("line 0 ")
        assert queue.drain()
        say(queue, "later")
        assert "later" in pipe.read_until("later\n")
        assert queue.dropped == dropped
        queue.close()


def test_a_line_that_is_larger_than_the_queue_is_dropped() -> None:
    """The queue has a bound in bytes, so one huge line does not break it."""
    stream = io.StringIO()
    queue = LogQueue(stream, most_bytes=1000)
    say(queue, "x" * 2000, "small")
    queue.close()
    assert queue.dropped == 1
    assert "x" * 100 not in stream.getvalue()
    assert "small\n" in stream.getvalue()
    assert "log lines were dropped: lines=1\n" in stream.getvalue()


def test_the_end_does_not_wait_for_a_reader_for_long() -> None:
    """Closing gives up what nobody reads."""
    with piped() as pipe:
        queue = LogQueue(pipe.stream, patience=0.05)
        say(queue, *("x" * 100 for _ in range(LINES)))
        queue.close()
        # It was not waited for: nobody has read a line, and the thread still stands at one.
        assert queue._thread.is_alive()
        say(queue, "after the end")
        # The thread is let go, so that it leaves no trace in later tests.
        pipe.read_until("x" * 100)


def test_closing_writes_what_is_left() -> None:
    """What was logged right before the end is written, and nothing after it."""
    stream = io.StringIO()
    queue = LogQueue(stream)
    say(queue, "last words")
    queue.close()
    queue.close()
    say(queue, "too late")
    assert stream.getvalue() == "last words\n"
    assert queue._lines.empty()


def test_a_stream_that_is_gone_harms_nobody() -> None:
    """When who reads the log is gone, lines are lost and nothing fails."""
    pipe = Pipe()
    queue = LogQueue(pipe.stream)
    os.close(pipe._read)
    say(queue, "nobody hears", "this")
    assert queue.drain()
    queue.close()
    pipe.stream.close()


def test_a_stream_that_does_not_block_loses_nothing() -> None:
    """A descriptor that somebody made non-blocking is waited for in the thread, and every line arrives whole."""
    with piped() as pipe:
        os.set_blocking(pipe.stream.fileno(), False)
        queue = LogQueue(pipe.stream)
        # The long one does not fit into the pipe at once.
        long = "y" * 3 * SMALL
        say(queue, *(f"{number} {'x' * 100}" for number in range(LINES)), long, "the end")
        text = pipe.read_until("the end\n")
        assert text.count("x" * 100) == LINES
        assert f"\n{long}\n" in text
        queue.close()


def test_a_message_that_cannot_be_made_is_a_line() -> None:
    """Arguments that do not fit their message are told of without them, and nothing is raised."""
    stream = io.StringIO()
    queue = LogQueue(stream)
    queue.handle(logging.LogRecord("offhook", logging.INFO, __file__, 1, "%d calls", ("secret",), None))
    queue.close()
    assert stream.getvalue() == "a log line could not be made: TypeError logger=offhook\n"


def test_a_server_answers_while_nobody_reads_its_log(tmp_path: Path) -> None:
    """A server whose standard error is a full pipe goes on answering, and ends well when it is told to."""
    with piped() as pipe:
        command = [sys.executable, "-m", "offhook", "serve", "--no-auth", "--port", "0", "--store", "none"]
        command += ["--data-dir", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=pipe.stream, text=True, cwd=tmp_path) as server:
            try:
                base_url = base_url_of(server)
                # Each leaves a line of some 200 bytes: the pipe is full after twenty.
                statuses = {request(base_url, chat_body(f"hello {number}"), {}).status for number in range(60)}
                assert statuses == {200}
                server.send_signal(signal.SIGTERM)
                assert server.wait(timeout=20) == 0
            finally:
                server.kill()


def base_url_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if match := re.search(r"base URL +(\S+)", line):
            return match[1]
    pytest.fail("the server did not start")
