"""A system prompt has places that are filled in from the turn."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.agents.prompt import NAMES, check, fill_in
from offhook.errors import SetupError
from offhook.events import CallContext, Turn
from offhook.turns.live import CancelSignal


def turn(**call: Any) -> Turn:
    return Turn(text="hello", cancelled=CancelSignal(), call=CallContext(**call), id="3", model="abc")


CALL: dict[str, Any] = {
    "id": "call-1",
    "room": "room-1",
    "caller": "13800000001",
    "callee": "13800000002",
    "platform": "alibaba_ims",
    "user_data": {"name": "张三", "address": {"city": "杭州"}, "vip": True, "age": 0, "tags": ["a", 1], "none": None},
    "query": {"tenant": "one"},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{call_id}} {{turn_id}} {{room}}", "call-1 3 room-1"),
        ("{{caller}} calls {{callee}}", "13800000001 calls 13800000002"),
        ("{{platform}}/{{model}}", "alibaba_ims/abc"),
        ("{{ caller }}{{caller }}{{\tcaller}}", "13800000001" * 3),
        ("{{user_data.name}} in {{user_data.address.city}}", "张三 in 杭州"),
        ("{{user_data.address}}", '{"city":"杭州"}'),
        ("{{user_data.vip}} {{user_data.age}} {{user_data.tags}}", 'true 0 ["a",1]'),
        ("{{query.tenant}}", "one"),
        ("{{user_data.name|friend}}", "张三"),
        ("{{user_data.title|friend}}", "friend"),
        ("{{user_data.title| dear friend }}", "dear friend"),
        ("{{user_data.title}}{{user_data.none}}{{user_data.name.first}}{{query.nothing}}", ""),
        ("no place { here } {{}} {{ }} }}", "no place { here } {{}} {{ }} }}"),
        ("{{user_data.name}}\n\n{{caller}}", "张三\n\n13800000001"),
        ("", ""),
    ],
)
def test_places_are_filled_in(template: str, text: str) -> None:
    """Names, paths and defaults give what the turn knows; everything else stays as it is."""
    assert fill_in(template, turn(**CALL)) == text


def test_what_is_not_known_is_the_default_or_nothing() -> None:
    """A call of which nothing is known leaves only the defaults."""
    template = "Hello {{caller|friend}}, {{user_data.name|you}}{{room}}."
    assert fill_in(template, turn()) == "Hello friend, you."


def test_user_data_that_is_text_is_text() -> None:
    """User data that was no JSON is filled in as it came, and has nothing inside."""
    assert fill_in("{{user_data}}|{{user_data.name|no}}", turn(user_data="plain text")) == "plain text|no"


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    """A caller's data cannot hold places of its own: the template is read once."""
    data = {"name": "{{caller}}", "more": "\\1 \\g<0>"}
    assert fill_in("{{user_data.name}} {{user_data.more}}", turn(user_data=data, caller="138")) == (
        "{{caller}} \\1 \\g<0>"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_accepted(name: str) -> None:
    """The names that exist pass the check, with and without a path and a default."""
    check(f"{{{{{name}}}}} {{{{ {name}.a.b | x }}}}")


@pytest.mark.parametrize("template", ["{{callr}}", "{{user.name}}", "{{caller}} {{Caller}}", "{{.name}}"])
def test_a_name_that_no_turn_has_is_refused_with_those_there_are(template: str) -> None:
    """A typing error is found when the server is set up, in one line."""
    with pytest.raises(SetupError, match=r"there are: call_id, .*user_data") as raised:
        check(template)
    assert "\n" not in str(raised.value)
