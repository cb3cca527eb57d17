"""A model service as data: what is taken from a table, and what is refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offhook.config import load
from offhook.errors import SetupError
from offhook.upstream.spec import Price, UpstreamSpec, cost_of, spec_of_url, specs_of

if TYPE_CHECKING:
    from pathlib import Path

LEAST: dict[str, Any] = {"name": "a", "base_url": "http://host/v1"}


def test_a_name_and_an_address_are_enough() -> None:
    """Everything else has a default that suits a plain OpenAI-specification service."""
    assert specs_of([LEAST, {**LEAST, "name": "b"}]) == (UpstreamSpec(**LEAST), UpstreamSpec(**{**LEAST, "name": "b"}))
    assert specs_of([]) == ()


def test_every_field_can_be_given() -> None:
    """The table of an entry is taken as it stands, a price too."""
    table = {
        **LEAST,
        "model": "m",
        "key": "k",
        "key_header": "api-key",
        "headers": {"x-tenant": "1"},
        "body": {"enable_thinking": False},
        "weight": 2,
        "price": {"prompt": 1.5, "completion": 2},
        "connect_timeout": 1,
        "first_useful": 2,
        "hedge_after": 0,
        "stall_after": 3,
        "call_id_as": "header:x-session",
        "usage": False,
        "omit": ["seed"],
        "max_tokens_as": "max_completion_tokens",
        "thinks_first": True,
        "connections": 0,
    }
    [spec] = specs_of([table])
    assert spec == UpstreamSpec(**{**table, "price": Price(1.5, 2.0)})
    assert set(table) == set(UpstreamSpec.__struct_fields__) - {"key_file"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"base_url": None}, "base_url"),
        ({"base_ur": "x"}, "no field 'base_ur'"),
        ({"base_url": "host/v1"}, "'host/v1' must look like"),
        ({"base_url": "http://user:pass@host/v1"}, "name or password"),
        ({"name": ""}, "length"),
        ({"name": 7}, "name"),
        ({"weight": 0}, "weight"),
        ({"weight": "heavy"}, "weight"),
        ({"price": {"prompt": -1}}, "price"),
        ({"price": {"input": 1}}, "input"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"first_useful": 0}, "first_useful"),
        ({"hedge_after": -1}, "hedge_after"),
        ({"stall_after": 0}, "stall_after"),
        ({"connections": 65}, "connections"),
        ({"headers": {"x": 1}}, "headers"),
        ({"headers": {"a b": "1"}}, "header 'a b'"),
        ({"headers": {"x": "1\r\ny: 2"}}, "header 'x'"),
        ({"key_header": "api key"}, "header 'api key'"),
        ({"key_header": "api-key", "key": "k\n"}, "header 'api-key'"),
        ({"key": "k\n"}, "key"),
        ({"body": {"model": "m"}}, "'model'"),
        ({"body": {"stream": False}}, "'stream'"),
        ({"omit": ["messages"]}, "'messages'"),
        ({"call_id_as": "cookie"}, "call_id_as = 'cookie'"),
        ({"call_id_as": "header:"}, "call_id_as = 'header:'"),
        ({"call_id_as": "header:a b"}, "header 'a b'"),
        ({"call_id_as": "user:x"}, "call_id_as = 'user:x'"),
        ({"key": "k", "key_file": "file"}, "key beside key_file"),
        ({"key_file": "no/such/file"}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_one_line_that_names_the_entry(more: dict[str, Any], words: str) -> None:
    """Each mistake is told with the name of its entry, or its number where it has none, and without the key."""
    table = {name: value for name, value in {**LEAST, **more}.items() if value is not None}
    with pytest.raises(SetupError) as raised:
        specs_of([{"name": "fine", "base_url": "http://host/v1"}, table])
    assert f"[[upstream]] {table['name']!r}" in str(raised.value)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "pass@" not in str(raised.value)
    assert "k\\n" not in str(raised.value)


def test_an_entry_without_a_name_is_named_by_its_number() -> None:
    """The second entry of the file is number 2."""
    with pytest.raises(SetupError, match=r"\[\[upstream\]\] 'number 2': .*name"):
        specs_of([LEAST, {"base_url": "http://host/v1"}])


def test_a_name_stands_once() -> None:
    """Two services of one name could not be told apart in the records."""
    with pytest.raises(SetupError, match="'a' stands there twice"):
        specs_of([LEAST, LEAST])


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    """The file holds the key and white space around it; an empty one is refused."""
    file = tmp_path / "key"
    file.write_text(" secret\n")
    [spec] = specs_of([{**LEAST, "key_file": str(file)}])
    assert spec.key == "secret"
    file.write_text("\n")
    with pytest.raises(SetupError, match=r"'a': its key file .* is empty"):
        specs_of([{**LEAST, "key_file": str(file)}])


def test_a_key_is_taken_from_the_environment(tmp_path: Path) -> None:
    """``key_env`` names a variable; one that is not set, and a second key, are refused by the entry's name."""
    file = tmp_path / "offhook.toml"
    file.write_text('[[upstream]]\nname = "a"\nbase_url = "http://host/v1"\nkey_env = "A_KEY"\n')
    loaded = load({}, config=str(file), environ={"A_KEY": "secret"})
    assert specs_of(loaded.settings.upstream_table)[0].key == "secret"
    with pytest.raises(SetupError, match=r"'a' takes its key from A_KEY, which is not set"):
        load({}, config=str(file), environ={})
    file.write_text(file.read_text() + 'key = "x"\n')
    with pytest.raises(SetupError, match=r"'a' has key_env beside another key"):
        load({}, config=str(file), environ={"A_KEY": "secret"})


def test_the_name_of_an_address_holds_no_key() -> None:
    """A service that is given by its URL alone is named by host and port; path, query and user are left out."""
    assert spec_of_url("https://u:p@host:8000/v1?api-key=secret", model="m", key="k").name == "host:8000"


def test_cost_is_per_million_tokens() -> None:
    """Prompt and completion have a price each, and without a price there is no cost."""
    assert cost_of(Price(2.0, 8.0), 1_000_000, 500_000) == 6.0
    assert cost_of(Price(), 1, 1) == 0.0
    assert cost_of(None, 1, 1) is None
