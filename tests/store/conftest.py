"""The stores under test: every test that takes ``store`` runs over each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from offhook.store.memory import MemoryStore
from offhook.store.sql import SqlStore
from tests.store.samples import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from offhook.store.base import Store


class Clock:
    """A time that stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


class MakeSqlite(Protocol):
    """Makes stores on one file, not yet started."""

    def __call__(self, *, lock_wait: float = 1.0, close_wait: float = 5.0, most_pages: int | None = None) -> SqlStore:
        """Give another store on the file."""


@pytest.fixture
def now() -> Clock:
    """Give the time of the stores under test."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give where the database of this test is, in a folder that does not exist yet."""
    return tmp_path / "data" / "offhook.db"


@pytest.fixture
def make(file: Path, now: Clock) -> MakeSqlite:
    """Give what makes stores on the file of this test."""

    def made(*, lock_wait: float = 1.0, close_wait: float = 5.0, most_pages: int | None = None) -> SqlStore:
        return SqlStore(file, now=now, lock_wait=lock_wait, close_wait=close_wait, most_pages=most_pages)

    return made


@pytest.fixture
async def sqlite(make: MakeSqlite) -> AsyncIterator[SqlStore]:
    """Give a store on SQLite, open."""
    store = make()
    await store.start()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, make: MakeSqlite) -> AsyncIterator[Store]:
    """Give each store in turn, open and empty."""
    store: Store = MemoryStore() if request.param == "memory" else make()
    await store.start()
    yield store
    await store.close()
