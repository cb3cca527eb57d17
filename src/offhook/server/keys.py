"""Keys with a name, scopes, limits and an end: made, listed and revoked by commands, followed by a running server."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from offhook.clock import new_secret
from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offhook.clock import Clock

log = logging.getLogger("offhook.server")

T = TypeVar("T")

FILE = "keys.json"
LOCK = "keys.lock"
VERSION = 1
# Seconds between two looks at the file: what a command changes counts within a second.
LOOK_EVERY = 0.5

KeyScope = Literal["chat", "models", "calls", "metrics"]
SCOPES: tuple[KeyScope, ...] = ("chat", "models", "calls", "metrics")
DEFAULT_SCOPES: tuple[KeyScope, ...] = ("chat", "models", "calls")

LONGEST_NAME = 64
_PREFIX = "ofk_"
_ID_LENGTH = 10
_SECRET_LENGTH = 43

_Most = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key may use: calls at once, turns and tokens in any minute. None: no limit."""

    calls: _Most | None = None
    turns_per_minute: _Most | None = None
    tokens_per_minute: _Most | None = None


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is kept: not its secret, but the SHA-256 of it in hexadecimal. Times are seconds since the epoch.

    ``speech`` is what is done to the text of its calls before it is spoken; None: what the settings say.
    """

    id: Annotated[str, Meta(pattern="^[a-z0-9]{10}$")]
    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[KeyScope, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    limits: Limits = Limits()
    speech: str | None = None

    def state(self, now: float) -> Literal["good", "expired", "revoked"]:
        """Give what the key is worth at a time."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "good"


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    keys: tuple[KeyRecord, ...]


class _Version(msgspec.Struct, frozen=True):
    version: int


class NewKey(NamedTuple):
    """A key that was made: its record, and the text that its owner sends, which is kept nowhere."""

    record: KeyRecord
    key: str


def split_key(key: str) -> tuple[str, str] | None:
    """Give id and secret of a text in the form ``ofk_<id>_<secret>``; None for any other text."""
    id_end = len(_PREFIX) + _ID_LENGTH
    if len(key) != id_end + 1 + _SECRET_LENGTH or not key.startswith(_PREFIX) or key[id_end] != "_":
        return None
    return key[len(_PREFIX) : id_end], key[id_end + 1 :]


def digest_of(secret: str) -> bytes:
    """Give the SHA-256 of a secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()


class KeyFile:
    """The keys in a data directory, as plain functions for any thread but the event loop's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE

    def read(self) -> tuple[KeyRecord, ...]:
        """Give every key, the oldest first; none where there is no file.

        Raises SetupError when the file cannot be read, is damaged, or is of a newer version.
        """
        try:
            return _decoded(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise SetupError(f"The keys in {self.path} cannot be read: {error.strerror}.") from None
        except msgspec.ValidationError as error:
            raise SetupError(f"The keys in {self.path} cannot be read: {error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SetupError(f"The keys in {self.path} cannot be read: it is no whole JSON.") from None
        except RecursionError:
            raise SetupError(f"The keys in {self.path} cannot be read: it is nested too deeply.") from None

    def create(
        self,
        clock: Clock,
        name: str,
        *,
        scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES,
        expires_at: float | None = None,
        limits: Limits | None = None,
        speech: str | None = None,
    ) -> NewKey:
        """Make a key and keep its record. Raises SetupError for a bad name, and as ``read`` and writing do."""
        if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
            raise SetupError(f"{name!r} is no name for a key: give 1 to {LONGEST_NAME} characters that can be printed.")
        secret = new_secret()

        def add(records: list[KeyRecord]) -> KeyRecord:
            known = {record.id for record in records}
            # The end of it: clocks for tests count there.
            ids = iter(lambda: clock.new_id("")[-_ID_LENGTH:], None)
            record = KeyRecord(
                id=next(id for id in ids if id not in known),
                name=name,
                sha256=digest_of(secret).hex(),
                scopes=scopes,
                created_at=clock.now(),
                expires_at=expires_at,
                limits=limits or Limits(),
                speech=speech,
            )
            records.append(record)
            return record

        record = self._change(add)
        return NewKey(record, f"{_PREFIX}{record.id}_{secret}")

    def revoke(self, clock: Clock, which: str) -> KeyRecord:
        """Revoke the key of an id, or the only one of a name that is not revoked, and give its record.

        A key that was revoked before stays as it was. Raises SetupError when there is no such key, or several.
        """

        def end(records: list[KeyRecord]) -> KeyRecord:
            place = _place_of(which, records)
            if records[place].revoked_at is None:
                records[place] = msgspec.structs.replace(records[place], revoked_at=clock.now())
            return records[place]

        return self._change(end)

    def _change(self, work: Callable[[list[KeyRecord]], T]) -> T:
        """Read the file, let ``work`` change its records, and write it; other commands wait meanwhile."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                records = list(self.read())
                result = work(records)
                self._write(records)
                return result
        except OSError as error:
            raise SetupError(
                f"The keys cannot be kept in {self._folder}: {error.strerror}. "
                "Name a writable directory with --data-dir."
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own, which stays: keys.json is another file after each change.
        fd = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._hand_over(fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write(self, records: list[KeyRecord]) -> None:
        body = msgspec.json.format(msgspec.json.encode(_Book(VERSION, tuple(records))), indent=2)
        fd, name = tempfile.mkstemp(dir=self._folder, prefix=".keys-")
        try:
            with open(fd, "wb") as file:
                self._hand_over(fd)
                file.write(body + b"\n")
                file.flush()
                os.fsync(fd)
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _hand_over(self, fd: int) -> None:
        """Let a file that root makes belong to the owner of the directory, as whom the server runs."""
        if os.geteuid() == 0:
            owner = os.stat(self._folder)
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _decoded(body: bytes) -> tuple[KeyRecord, ...]:
    version = msgspec.json.decode(body, type=_Version).version
    if version != VERSION:
        raise msgspec.ValidationError(f"its version is {version}, and this offhook knows {VERSION}")
    keys = msgspec.json.decode(body, type=_Book).keys
    if len({key.id for key in keys}) < len(keys):
        raise msgspec.ValidationError("two keys have one id")
    return keys


def _place_of(which: str, records: list[KeyRecord]) -> int:
    for place, record in enumerate(records):
        if record.id == which:
            return place
    named = [place for place, record in enumerate(records) if record.name == which]
    left = [place for place in named if records[place].revoked_at is None]
    if len(left) > 1:
        ids = ", ".join(records[place].id for place in left)
        raise SetupError(f"{len(left)} keys have the name {which!r}; give the id of one: {ids}.")
    if not named:
        raise SetupError(f"There is no key with the id or name {which!r}; 'offhook keys list' shows those that exist.")
    return (left or named)[-1]


class KeyBook:
    """The keys in a data directory as a running server knows them: a change counts within a second.

    A file that is damaged, or in a directory that is not there, changes nothing: the last good keys stay. A file that
    was removed alone is one without keys.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._file = KeyFile(folder)
        self._clock = clock
        self._known: dict[str, tuple[KeyRecord, bytes]] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._complained = False
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys and follow them. Raises SetupError when they cannot be read."""
        try:
            self._stamp, records = await asyncio.to_thread(self._read)
        except OSError as error:
            raise SetupError(f"The keys in {self._file.path} cannot be read: {error.strerror}.") from None
        self._take(records)
        self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="keys that change")

    async def close(self) -> None:
        """Follow the keys no more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    def find(self, id: str) -> tuple[KeyRecord, bytes] | None:
        """Give the key of an id, whatever it is worth, and its digest."""
        return self._known.get(id)

    def now(self) -> float:
        """Give the time by which keys expire, in seconds since the epoch."""
        return self._clock.now()

    def _take(self, records: tuple[KeyRecord, ...]) -> None:
        self._known = {record.id: (record, bytes.fromhex(record.sha256)) for record in records}

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            try:
                stamp = await asyncio.to_thread(self._stamp_now)
                if stamp == self._stamp and not self._complained:
                    continue
                self._stamp, records = await asyncio.to_thread(self._read)
            except (SetupError, OSError) as error:
                self._complain(error)
                continue
            except Exception as error:
                # A defect: without this watcher a key that is revoked would stay good, and nobody would be told.
                self._complain(error, defect=True)
                continue
            if self._complained or records != tuple(record for record, _ in self._known.values()):
                log.info("the keys were read anew: there are %(keys)d", {"keys": len(records)})
            self._complained = False
            self._take(records)

    def _complain(self, error: Exception, *, defect: bool = False) -> None:
        """Tell the log, once until it is over, that the keys cannot be read; of a defect with its traceback."""
        if self._complained:
            return
        self._complained = True
        said = {"error": type(error).__name__ if defect else error}
        level = logging.ERROR if defect else logging.WARNING
        text = "the keys cannot be read; those known before stay good: %(error)s"
        log.log(level, text, said, exc_info=error if defect else None)

    def _read(self) -> tuple[tuple[int, int, int] | None, tuple[KeyRecord, ...]]:
        # Looked at first: what is written meanwhile is then seen the next time.
        return self._stamp_now(), self._file.read()

    def _stamp_now(self) -> tuple[int, int, int] | None:
        """Give what changes with the file; None where there is none. Raises OSError where its directory is away."""
        try:
            found = self._file.path.stat()
        except FileNotFoundError:
            # The server may have been started before anything was kept.
            if self._known:
                self._file.path.parent.stat()
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
