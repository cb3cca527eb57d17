"""What of a call is in the store, where that is not said by another test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from offhook.testing import live_server
from tests.raw import chat_body, request

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from offhook.events import Turn


def body(id: int, text: str = "hello", **fields: Any) -> dict[str, Any]:
    """Give a turn of the call c1."""
    return chat_body(text, extendData={"instanceId": "c1", "sentenceId": id}, **fields)


def test_a_reply_that_is_answered_whole_was_sent() -> None:
    """The record of a request that is not streamed has what went out, all of it, and when."""
    with live_server(lambda turn: "Hello.") as server:
        assert request(server.base_url, body(1, stream=False)).status == 200
        server.wait_for_turns()
        [record] = server.records("c1")
    assert (record.generated, record.sent, record.map) == ("Hello.", "Hello.", ((0, 0),))
    assert record.first_byte is not None


def test_an_emptied_state_stays_empty_after_a_restart(tmp_path: Path) -> None:
    """What an agent takes out of its state does not come back from the store."""
    seen: list[dict[str, Any]] = []

    def reply(turn: Turn) -> str:
        seen.append(dict(turn.state))
        turn.state = {"pin": "1234"} if turn.text == "set" else {}
        return "Hello."

    settings: dict[str, Any] = {"store": "sqlite", "data_dir": str(tmp_path)}
    with live_server(reply, **settings) as server:
        for id, text in ((1, "set"), (2, "clear")):
            request(server.base_url, body(id, text))
    with live_server(reply, **settings) as server:
        request(server.base_url, body(3, "look"))
    assert seen == [{}, {"pin": "1234"}, {}]


def test_an_agent_that_changes_the_folder_moves_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative data directory is the one that it was when the server started, for the spool too."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    with live_server(lambda turn: "Hello.", store="sqlite", data_dir="data") as server:
        request(server.base_url, body(1))
        monkeypatch.chdir(there)
        with closing(sqlite3.connect(here / "data" / "offhook.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            request(server.base_url, body(2))
            assert list((here / "data" / "offhook.db-spool").iterdir())
    assert list(there.iterdir()) == []
