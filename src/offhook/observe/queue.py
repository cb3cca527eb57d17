"""A bounded queue between the process and where its log lines go, so that a reader who stands still stops nobody."""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from typing import TextIO

_MOST_BYTES = 4 * 1024 * 1024
# Seconds that the end of the process waits for the lines that are left.
_PATIENCE = 1.0


class LogQueue(logging.Handler):
    """Takes log lines without waiting; one daemon thread writes them to ``stream``.

    ``dropped`` counts the lines that did not fit into the ``most_bytes`` bytes of the queue. The log tells of them once
    half of the queue is free again.
    """

    def __init__(self, stream: TextIO, *, most_bytes: int = _MOST_BYTES, patience: float = _PATIENCE) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._most = most_bytes
        self._patience = patience
        # Each of the two has one writer, so what waits is known without a lock that the event loop would share.
        self._put = 0
        self._written = 0
        self._told = 0
        self._closed = False
        self._lines: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="offhook-log", daemon=True)
        self._thread.start()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._closed:
            return
        line = self._line(record)
        if self._put - self._written + len(line) > self._most:
            self.dropped += 1
            return
        self._put += len(line)
        self._lines.put(line)

    def drain(self, timeout: float = _PATIENCE) -> bool:
        """Wait until what was logged so far is written; False when that took longer than ``timeout`` seconds."""
        mark = threading.Event()
        self._lines.put(mark)
        return mark.wait(timeout)

    @override
    def close(self) -> None:
        """Write what is left and end the thread; what is not written after ``patience`` seconds is given up."""
        if not self._closed:
            self._closed = True
            self._lines.put(None)
            self._thread.join(self._patience)
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record)
        except Exception as error:
            # logging's own way would print to standard error from here, and could wait for ever.
            text = f"a log line could not be made: {type(error).__name__} logger={record.name}"
        return f"{text}\n".encode("utf-8", "backslashreplace")

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (item := self._lines.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            self._write(item)
            self._written += len(item)
            if self._put - self._written <= self._most // 2:
                self._tell()
        self._tell()

    def _tell(self) -> None:
        dropped = self.dropped
        if dropped == self._told:
            return
        fields = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        notice = {"msg": "log lines were dropped: lines=%d", "args": (dropped - self._told,)}
        self._told = dropped
        self._write(self._line(logging.makeLogRecord({**fields, **notice})))

    def _write(self, line: bytes) -> None:
        """Write a line, however long that takes; a stream that is closed or broken takes nothing."""
        try:
            if self._descriptor is None:
                self._stream.write(line.decode())
                self._stream.flush()
                return
            # Past Python's own buffer: a thread that is stuck inside of that breaks the end of the process.
            left = memoryview(line)
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    select.select([], [self._descriptor], [])
        except (OSError, ValueError):
            pass


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
