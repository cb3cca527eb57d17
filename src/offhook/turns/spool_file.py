"""One file of the spool: where its records lie, and what is found in it after a crash.

A record is ``magic, length, CRC-32, number, payload`` and lies anywhere in the file; everything else in it is zeros. So
a reader looks for the magic and judges by the CRC: a record that was torn or damaged costs itself and nothing before or
behind it. Records are numbered, as new ones go to the front of the file again when its end is reached. A record that
was taken is zeroed where it lies: no transcript stays, and old bytes never look like records.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import msgspec

from offhook.store.base import Change

if TYPE_CHECKING:
    from pathlib import Path

# 0xFF is in no UTF-8 text, so that nothing said in a call looks like the beginning of a record.
MAGIC = b"\xffsp\xff"
HEADER = struct.Struct("<4sIIQ")
CHUNK = 1 << 16
# What a file system answers that cannot preallocate, as against one that has no room.
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENODEV})

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Change] = msgspec.msgpack.Decoder(Change)


class Record(NamedTuple):
    """Where a record lies in its file."""

    number: int
    file: SpoolFile
    start: int
    end: int


def _check(number: int, payload: bytes) -> int:
    """Give the CRC of a record; it covers length and number, too."""
    return crc32(payload, crc32(struct.pack("<IQ", len(payload), number)))


def _pack(number: int, payload: bytes) -> bytes:
    """Make a record."""
    return HEADER.pack(MAGIC, len(payload), _check(number, payload), number) + payload


def _unpack(data: bytes, start: int) -> tuple[int, bytes] | None:
    """Give number and payload of the record that begins there; None when there is no whole and sound one."""
    if start + HEADER.size > len(data):
        return None
    magic, length, check, number = HEADER.unpack_from(data, start)
    end = start + HEADER.size + length
    if magic != MAGIC or end > len(data):
        return None
    payload = data[start + HEADER.size : end]
    return (number, payload) if _check(number, payload) == check else None


def _write(fd: int, data: bytes, start: int) -> None:
    """Write all of ``data``; raises OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, start)
        view, start = view[count:], start + count


def _sync(fd: int) -> None:
    """Wait until what was written is on the disk; raises OSError."""
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(fd)


def _zero(fd: int, start: int, end: int) -> None:
    """Write zeros from ``start`` to ``end``; raises OSError."""
    for begin in range(start, end, CHUNK):
        _write(fd, bytes(min(CHUNK, end - begin)), begin)


def lock(path: Path, flags: int = 0) -> int | None:
    """Open and lock a file; None when somebody has it or has just removed it. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who locked it before may have removed it meanwhile, and what is written into it then is lost.
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


class SpoolFile:
    """A spool file that this process has locked; ``records`` are those that wait in it, oldest first."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.records: deque[Record] = deque()
        # Up to here bytes may lie that are no record: a write failed.
        self._dirty = 0
        # Whether the records lie otherwise than ``room`` leaves them, after a disk that failed: it then takes no more.
        self._strewn = False

    def scan(self) -> None:
        """Find the records of a former owner and zero everything else; raises OSError."""
        data = self._bytes(0, os.fstat(self.fd).st_size)
        found: list[Record] = []
        clean = 0
        start = data.find(MAGIC)
        while start >= 0:
            after = start + 1
            if record := _unpack(data, start):
                after = start + HEADER.size + len(record[1])
                found.append(Record(record[0], self, start, after))
                self._tidy(data, clean, start)
                clean = after
            start = data.find(MAGIC, after)
        self._tidy(data, clean, len(data))
        found.sort(key=lambda record: (record.number, record.start))
        self.records.extend(found)
        steps = zip(found, found[1:] + found[:1], strict=True)
        self._strewn = sum(behind.start < before.start for before, behind in steps) > 1

    def _tidy(self, data: bytes, start: int, end: int) -> None:
        """Zero what is not zero between two records."""
        for begin in range(start, end, CHUNK):
            stop = min(begin + CHUNK, end)
            if data[begin:stop] != bytes(stop - begin):
                _zero(self.fd, begin, stop)

    def _bytes(self, start: int, end: int) -> bytes:
        """Read from ``start`` to ``end`` or the end of the file; raises OSError."""
        parts: list[bytes] = []
        while start < end and (part := os.pread(self.fd, end - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def reserve(self, size: int) -> None:
        """Take so many bytes of the disk; raises OSError when it has not got them."""
        try:
            os.posix_fallocate(self.fd, 0, size)
        except (AttributeError, OSError) as error:
            # macOS has no such function.
            if isinstance(error, OSError) and error.errno not in UNSUPPORTED:
                raise
            _zero(self.fd, os.fstat(self.fd).st_size, size)

    def room(self, length: int, size: int) -> int | None:
        """Give where ``length`` bytes fit within the first ``size``: behind the newest record, or before the oldest."""
        if not self.records:
            return 0 if length <= size else None
        if self._strewn:
            return None
        oldest, newest = self.records[0], self.records[-1]
        if newest.start < oldest.start:
            return newest.end if newest.end + length <= min(oldest.start, size) else None
        if newest.end + length <= size:
            return newest.end
        return 0 if length <= min(oldest.start, size) else None

    def append(self, payload: bytes, size: int, sync: bool) -> Record | None:
        """Write a record and give it; None when it does not fit. Raises OSError, and then there is none."""
        number = self.records[-1].number + 1 if self.records else 1
        data = _pack(number, payload)
        start = self.room(len(data), size)
        if start is None:
            return None
        record = Record(number, self, start, start + len(data))
        try:
            _write(self.fd, data, start)
            if sync:
                _sync(self.fd)
        except OSError:
            self._dirty = max(self._dirty, record.end)
            raise
        self.records.append(record)
        return record

    def load(self, record: Record) -> Change | None:
        """Read a record; None when it is damaged or of another version. Raises OSError."""
        unpacked = _unpack(self._bytes(record.start, record.end), 0)
        if unpacked is None:
            return None
        try:
            return _decoder.decode(unpacked[1])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def forget(self, record: Record) -> None:
        """Zero a record that was taken."""
        self.records.remove(record)
        self._strewn = self._strewn and bool(self.records)
        try:
            _zero(self.fd, record.start, record.end)
            if not self.records:
                _zero(self.fd, 0, self._dirty)
                self._dirty = 0
        except OSError:
            # It stays, and is taken twice should this process die: harmless.
            self._dirty = max(self._dirty, record.end)

    def sync_name(self) -> None:
        """Wait until the file's name is on the disk, without which a power cut takes the file; raises OSError."""
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @property
    def named(self) -> bool:
        """Tell whether the file still is at its path, where another process will find it."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path))
        except OSError:
            return False

    def remove(self) -> None:
        """Delete the file and let go of it."""
        with contextlib.suppress(OSError):
            if self.named:
                self.path.unlink()
        os.close(self.fd)
