"""The page on upstreams names everything that there is, and what it shows works."""

from __future__ import annotations

import tomllib

import pytest

from offhook.config import FIELDS, Settings
from offhook.events import Attempt, AttemptEnded
from offhook.upstream.failover import Rules
from offhook.upstream.spec import Price, UpstreamSpec, specs_of
from tests import documents

PAGE = documents.DOCS / "upstreams.md"
SETTINGS = {name for name in FIELDS if name.startswith("failover_")}


@pytest.mark.parametrize(
    "names",
    [
        {*UpstreamSpec.__struct_fields__, "key_env"},
        set(Price.__struct_fields__),
        SETTINGS,
        set(Attempt.__struct_fields__),
        set(AttemptEnded.__struct_fields__),
    ],
    ids=["entry", "price", "settings", "attempt", "attempt_ended"],
)
def test_every_name_has_a_row(names: set[str]) -> None:
    """Each field of an entry, each setting and each recorded field begins a row of a table."""
    assert names - documents.named_in_rows(PAGE) == set()
    assert names


def test_the_defaults_are_those_of_the_code() -> None:
    """What the tables of entry and settings say of defaults is what holds without a word."""
    entry = UpstreamSpec(name="a", base_url="http://host/v1")
    told = {row[0].strip("`"): row[-2].strip("`") for row in documents.rows(PAGE) if len(row) in (3, 4)}
    for name in ("weight", "connect_timeout", "connections"):
        assert float(told[name]) == getattr(entry, name)
    assert told["call_id_as"] == entry.call_id_as
    assert (told["usage"], told["thinks_first"]) == (str(entry.usage).lower(), str(entry.thinks_first).lower())
    rules = Rules()
    for name in SETTINGS - {"failover_open_for"}:
        assert float(told[name]) == getattr(rules, name.removeprefix("failover_")) == getattr(Settings(), name)


@pytest.mark.parametrize("block", documents.blocks("toml", path=PAGE), ids=str)
def test_shown_entries_work(block: documents.Block) -> None:
    """Each entry that is shown is one that the server takes, but for its key's file."""
    tables = tomllib.loads(block.text)["upstream"]
    specs = specs_of([{name: value for name, value in table.items() if name != "key_file"} for table in tables])
    assert len(specs) == len(tables) > 0
