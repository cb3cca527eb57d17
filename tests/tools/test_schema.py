"""A function tells the model what it is for and what to give, and takes what the model gives."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from offhook.errors import SetupError
from offhook.tools.docstring import first_paragraph, parameter_lines
from offhook.tools.schema import BadArguments, describe, is_tool, tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from offhook.events import Turn


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Place:
    x: int
    y: float = 1.0


class Address(TypedDict, total=False):
    street: str


class Node(msgspec.Struct):
    value: int
    parts: list[Node] = []


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the JSON Schema of a function's parameters, without its type."""
    schema = dict(describe(function).parameters)
    assert schema.pop("type") == "object"
    return schema


# --- the definition -----------------------------------------------------------------------------------------------


def test_a_function_as_the_model_sees_it() -> None:
    """Name, first paragraph, types and the docstring's lines make the definition; the turn is no part of it."""

    @tool
    async def look_up(turn: Turn, order: str, limit: Annotated[int, Meta(ge=1)] = 3) -> str:
        """Look up an order
        of the caller.

        It asks the shop.

        Args:
            order: The number of the order,
                as printed.
            limit (int): How many lines.
            turn: not told

        Returns:
            order: not this one
        """
        return ""

    assert describe(look_up).definition() == {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look up an order of the caller.",
            "parameters": {
                "type": "object",
                "properties": {
                    "order": {"type": "string", "description": "The number of the order, as printed."},
                    "limit": {"type": "integer", "minimum": 1, "default": 3, "description": "How many lines."},
                },
                "required": ["order"],
            },
        },
    }
    assert describe(look_up).turn == "turn"


def test_a_function_without_anything() -> None:
    """A function without parameters and docstring has an empty schema and no description."""

    def ping() -> None: ...

    assert describe(ping).definition()["function"] == {
        "name": "ping",
        "parameters": {"type": "object", "properties": {}},
    }


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"title": "Colour", "enum": ["blue", "red"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (datetime.date, {"type": "string", "format": "date"}),
        (Address, {"title": "Address", "type": "object", "properties": {"street": {"type": "string"}}, "required": []}),
        (
            list[Place],
            {
                "type": "array",
                "items": {
                    "title": "Place",
                    "type": "object",
                    "properties": {"x": {"type": "integer"}, "y": {"type": "number", "default": 1.0}},
                    "required": ["x"],
                },
            },
        ),
    ],
)
def test_types_become_schemas(hint: Any, schema: dict[str, Any]) -> None:
    """Each type has the schema of its JSON form, written out where it stands."""

    def take(value: Any) -> None: ...

    take.__annotations__["value"] = hint
    assert parameters(take) == {"properties": {"value": schema}, "required": ["value"]}


def test_a_tuple_has_its_items() -> None:
    """A tuple is an array of as many items, each of its type."""

    def take(pair: tuple[int, str]) -> None: ...

    (schema,) = parameters(take)["properties"].values()
    assert (schema["prefixItems"], schema["minItems"]) == ([{"type": "integer"}, {"type": "string"}], 2)


def test_a_type_that_holds_itself_is_pointed_to() -> None:
    """Where a type holds itself the schema points to a definition of it."""

    def take(node: Node) -> None: ...

    schema = parameters(take)
    assert schema["properties"]["node"]["properties"]["parts"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["value"] == {"type": "integer"}


def test_what_stands_at_the_type_wins() -> None:
    """A description in the annotation is taken before the docstring's, that before one of the type's class."""

    class Documented(msgspec.Struct):
        """Of the class."""

    def take(
        one: Annotated[str, Meta(description="Own.")],
        two: Documented,
        three: Annotated[int, Meta(description="Mine.")] = 1,
    ) -> None:
        """Take.

        :param one: Docstring's.
        :param Documented two: Docstring's
            own.
        :param three: Docstring's.
        :return: nothing
        """

    take.__annotations__["two"] = Documented
    properties = parameters(take)["properties"]
    assert [properties[name]["description"] for name in ("one", "two", "three")] == [
        "Own.",
        "Docstring's own.",
        "Mine.",
    ]


def test_defaults_are_told_where_json_has_them() -> None:
    """A parameter with a default is not required; the default is told if it can be."""

    def take(colour: Colour = Colour.RED, when: object = object(), none: str | None = None) -> None: ...

    take.__annotations__["when"] = Any
    schema = parameters(take)
    assert "required" not in schema
    assert {name: field.get("default", "-") for name, field in schema["properties"].items()} == {
        "colour": "red",
        "when": "-",
        "none": None,
    }


def test_a_turn_that_only_the_type_checker_knows() -> None:
    """An annotation Turn is known also where the module does not import it when it runs."""
    source = "from __future__ import annotations\ndef take(turn: Turn, x: int) -> None: ..."
    space: dict[str, Any] = {}
    exec(source, space)
    assert describe(space["take"]).turn == "turn"


def test_marks_are_kept_and_change_nothing() -> None:
    """The decorator gives the function back as it is, and what it was told is in the description."""

    def look() -> None:
        """Look."""

    marked = tool(name="see", side_effect=True, timeout=2, filler=("a", "b"), description="See.")(look)
    spec = describe(marked)
    assert marked is look
    assert is_tool(look) and not is_tool(test_marks_are_kept_and_change_nothing) and not is_tool(None)
    assert (spec.name, spec.description, spec.side_effect, spec.timeout) == ("see", "See.", True, 2)
    assert spec.fillers == {"": ("a", "b")}


def test_a_method_and_a_wrapped_function_are_tools() -> None:
    """A bound method has no self for the model, and a decorator that wraps hides nothing."""

    class Shop:
        @tool
        def find(self, order: str) -> str:
            return order

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    expected = {"properties": {"order": {"type": "string"}}, "required": ["order"]}
    assert parameters(Shop().find) == expected
    assert parameters(logged(Shop().find)) == expected
    assert is_tool(logged(Shop().find))


# --- mistakes -----------------------------------------------------------------------------------------------------


def many(*names: str) -> None: ...
def named(**names: str) -> None: ...
def positional(name: str, /) -> None: ...
def untyped(name) -> None: ...  # type: ignore[no-untyped-def]  # the mistake that is tested
def odd(value: threading_lock) -> None: ...  # type: ignore[name-defined]  # noqa: F821  the mistake that is tested
def hidden(value: Decimal) -> None: ...
def several(value: Node | Address | Place) -> None: ...
def turns(turn: Turn | None) -> None: ...
def streams() -> Any:
    yield 1


def 查询(name: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (many, "write out each one in place of"),
        (named, "write out each one in place of"),
        (positional, "leave the / out"),
        (untyped, "write name: str"),
        (odd, "'threading_lock' is not defined"),
        (hidden, "outside of 'if TYPE_CHECKING:'"),
        (several, "use str, int, float"),
        (turns, "use str, int, float"),
        (streams, "write return in place of yield"),
        (查询, r"write @tool\(name=...\)"),
        (tool(name="a b")(lambda: None), "cannot be named 'a b'"),
        (tool(name="a", timeout=0)(lambda: None), "seconds above 0"),
        (tool(name="a", filler=["ok", " "])(lambda: None), "is no phrase"),
        (functools.partial(print), "cannot be named ''"),
        (len, "leave the / out"),
    ],
)
def test_a_mistake_is_told_in_one_line(function: Callable[..., Any], said: str) -> None:
    """What cannot be told to a model is a mistake of set-up; the line says what to write."""
    with pytest.raises(SetupError, match=said) as caught:
        describe(function)
    assert "\n" not in str(caught.value)


# --- arguments ----------------------------------------------------------------------------------------------------


def take(
    text: str,
    number: int,
    colour: Colour = Colour.RED,
    place: Place | None = None,
    when: datetime.date | None = None,
    yes: bool = False,
) -> None: ...


def test_arguments_have_the_types_of_the_function() -> None:
    """JSON becomes what the annotations say, numbers written as strings too; what was not given is left to Python."""
    decoded = describe(take).decode(
        '{"text":"3","number":"3","colour":"blue","place":{"x":"1"},"when":"2026-01-31","yes":"true","more":{"a":1}}'
    )
    assert decoded == {
        "text": "3",
        "number": 3,
        "colour": Colour.BLUE,
        "place": Place(1),
        "when": datetime.date(2026, 1, 31),
        "yes": True,
    }
    assert describe(take).decode('{"text":"","number":1}') == {"text": "", "number": 1}


def test_no_arguments_may_be_an_empty_text() -> None:
    """Model services write nothing, or white space, where a function has no parameters."""

    def ping() -> None: ...

    assert [describe(ping).decode(text) for text in ("", " \n", "{}", '{"x":1}')] == [{}] * 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"text":"a","number":"x"}', "`$.number`"),
        ('{"text":"a"}', "`number`"),
        ('{"text":"a","number":1,"colour":"green"}', "`$.colour`"),
        ('{"text":"a","number":1,"place":{}}', "`$.place`"),
        ("[]", "object"),
        ('{"text":"\ud800","number":1}', ""),
    ],
)
def test_wrong_arguments_are_told_by_their_place(text: str, said: str) -> None:
    """The words for the model name the argument that is wrong."""
    with pytest.raises(BadArguments) as caught:
        describe(take).decode(text)
    assert said in str(caught.value)


@given(st.text())
def test_no_text_gets_through_as_anything_else(text: str) -> None:
    """Whatever a model writes as arguments, it is arguments or an error for the model."""
    try:
        decoded = describe(take).decode(text)
    except BadArguments:
        return
    assert set(decoded) >= {"text", "number"}


# --- docstrings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("docstring", "first", "lines"),
    [
        ("", "", {}),
        ("One.\nTwo.\n\nThree.", "One. Two.", {}),
        ("Do it.\n:param a: one\n:param str b: two\n  more\n:returns: x", "Do it.", {"a": "one", "b": "two more"}),
        ("Do it.\nArgs:\n  a: one", "Do it.", {"a": "one"}),
        (
            "Do.\n\nArgs:\n    a (str, optional): one: two\n        more\n\n    *b: three\n    no entry\n"
            "        x: deeper\n    c:\n        four\nNotes:\n    d: none",
            "Do.",
            {"a": "one: two more", "b": "three", "c": "four"},
        ),
        ("Args:\n    a: one", "", {"a": "one"}),
        ("Do.\n\nParameters:\n\ta: tabbed", "Do.", {"a": "tabbed"}),
        ("Do.\n\n    Args:\n        a: not a section", "Do.", {}),
    ],
)
def test_docstrings_are_read(docstring: str, first: str, lines: dict[str, str]) -> None:
    """The first paragraph and the lines of parameters are found, in both styles."""
    assert (first_paragraph(docstring), parameter_lines(docstring)) == (first, lines)


@given(st.text(alphabet=" \n:ab(*Args)param\t"))
def test_no_docstring_breaks_anything(docstring: str) -> None:
    """Any text can be read as a docstring, and gives single lines."""
    assert "\n" not in first_paragraph(docstring)
    assert all("\n" not in line and line for line in parameter_lines(docstring).values())
