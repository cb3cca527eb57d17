"""What was finished is kept: servers that are killed in mid-call, and what the next one has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash import Crash, Servers, crash, locked, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 1
# Ten rounds; the last one leaves its turns in the spool.
ROUNDS = ("fair", "slow", "late", "slow", "hasty", "fair", "slow", "late", "slow", "locked")


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Give servers that are forked from one process."""
    with Servers() as started:
        yield started


def test_what_was_finished_survives_ten_kills(servers: Servers, tmp_path: Path) -> None:
    """Every turn whose end a client received is in the store once, with its text, after each of ten kills."""
    kills, found = crash(servers, tmp_path, SEED, ROUNDS)
    assert found.wrong == [], table(kills)
    assert found.seen == sum(kill.seen for kill in kills)
    # Else nothing was tried: kills hit replies that waited for their end, and turns in the spool and in the store.
    assert sum(kill.ending for kill in kills) >= 10, table(kills)
    assert sum(kill.waiting for kill in kills) >= 10, table(kills)
    assert sum(kill.spooled for kill in kills) < found.seen, table(kills)


def test_without_the_wait_it_is_lost(servers: Servers, tmp_path: Path) -> None:
    """The same rounds lose turns when the end of a reply does not wait for its record."""
    kills, found = crash(servers, tmp_path, SEED, ROUNDS, held=False)
    assert found.missing, table(kills)


def test_the_spool_alone_is_enough(servers: Servers, tmp_path: Path) -> None:
    """Where the commit is not waited for at all, the spool keeps what was finished."""
    kills, found = crash(servers, tmp_path, SEED, ["hasty"] * 3)
    assert found.wrong == [], table(kills)
    assert sum(kill.spooled for kill in kills) > 0, table(kills)


def test_a_kill_while_the_database_is_locked(servers: Servers, tmp_path: Path) -> None:
    """Turns that ended while another process held the database come out of the spool after the kill."""
    kills, found = crash(servers, tmp_path, SEED, ["locked", "locked"])
    assert found.wrong == [], table(kills)
    assert [kill.spooled for kill in kills] == [kill.seen for kill in kills], table(kills)
    assert [kill.waiting for kill in kills] == [kill.seen for kill in kills], table(kills)


def test_a_kill_while_the_spool_has_much_to_do(servers: Servers, tmp_path: Path) -> None:
    """Replies wait for a spool that is slower than the longest commit, and nothing is said to be lost."""
    before = servers.log.count("lost")
    kills, found = crash(servers, tmp_path, SEED, ["tough", "tough"])
    assert found.wrong == [], table(kills)
    assert [kill.spooled for kill in kills] == [kill.seen for kill in kills], table(kills)
    assert servers.log.count("lost") == before


def test_a_kill_while_the_spool_is_emptied(servers: Servers, tmp_path: Path) -> None:
    """A server that is killed again and again while it takes up the spool leaves each turn in the store once."""
    plan = Crash(servers, tmp_path, SEED)
    plan.start()
    with locked(plan.database):
        plan.talk(200)
        plan.kill()
    assert len(plan.waiting()) >= 200
    for place in (("commit", 1), ("committed", 1), ("forgotten", 1), ("committed", 2), ("forgotten", 70)):
        assert not plan.start(die=place), f"it did not come to {place}"
        assert plan.waiting()
    assert plan.start()
    assert plan.find().wrong == []
    assert plan.waiting() == set()
    plan.stop()


@pytest.mark.parametrize("weather", [{"slow": 0.008}, {"commit_wait": 0.0, "look_again": 60.0}], ids=["store", "spool"])
def test_a_server_that_ends_in_good_order_leaves_nothing_in_the_spool(
    servers: Servers, tmp_path: Path, weather: dict[str, float]
) -> None:
    """After SIGTERM in mid-call every turn is in the store, wherever it stood by then."""
    plan = Crash(servers, tmp_path, SEED)
    plan.start(**weather)
    plan.talk(100)
    plan.stop()
    found = plan.find()
    assert found.wrong == []
    assert found.seen >= 100
    assert plan.waiting() == set()
