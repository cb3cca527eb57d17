"""A Python function as a tool: its name, what it is for, the JSON Schema of its parameters, and arguments for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar, get_origin, get_type_hints, overload

import msgspec
from msgspec import UNSET, UnsetType

from offhook.errors import SetupError
from offhook.events import Turn
from offhook.tools.docstring import first_paragraph, parameter_lines

F = TypeVar("F", bound=Callable[..., Any])
# One phrase, several, or those of several languages ("zh", "en-GB").
Filler: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]]

_MARK = "__offhook_tool__"
# What model services take as a function's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_POINTER = re.compile(r"#/\$defs/(.*)")


class ToolMarks(NamedTuple):
    """What was said with ``@tool``; see there."""

    name: str | None = None
    side_effect: bool = False
    timeout: float | None = None
    filler: Filler | None = None
    description: str | None = None


class BadArguments(Exception):
    """The arguments of a call are not those of the tool; the message is written for the model."""


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call.

    ``parameters`` is a JSON Schema; ``turn`` names the parameter that is given the turn, None where there is none.
    ``timeout`` is in seconds, None for the house's. ``fillers`` holds phrases by language, those under "" for any.
    """

    function: Callable[..., Any]
    name: str
    description: str
    parameters: dict[str, Any]
    decoder: msgspec.json.Decoder[msgspec.Struct]
    turn: str | None = None
    side_effect: bool = False
    timeout: float | None = None
    fillers: dict[str, tuple[str, ...]] = {}

    def definition(self) -> dict[str, Any]:
        """Give the tool as OpenAI's chat completions want it in ``tools``."""
        about = {"description": self.description} if self.description else {}
        return {"type": "function", "function": {"name": self.name, **about, "parameters": self.parameters}}

    def decode(self, text: str) -> dict[str, Any]:
        """Give the arguments by name, as the types of the function, from what a model wrote; unknown ones are left out.

        A number may be written as a string. Raises BadArguments, in words for the model.
        """
        try:
            values = self.decoder.decode(text.encode() if text.strip() else b"{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadArguments(str(error) or type(error).__name__) from None
        given = ((name, getattr(values, name)) for name in values.__struct_fields__)
        return {name: value for name, value in given if value is not UNSET}


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    side_effect: bool = False,
    timeout: float | None = None,
    filler: Filler | None = None,
    description: str | None = None,
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    side_effect: bool = False,
    timeout: float | None = None,
    filler: Filler | None = None,
    description: str | None = None,
) -> F | Callable[[F], F]:
    """Mark a function, async or plain, as a tool for the model, and give it back as it is.

    Its name and the first paragraph of its docstring tell the model what it does, its annotations and the docstring's
    ``Args:`` or ``:param x:`` lines what to give; a parameter annotated ``Turn`` is given the turn. What it returns is
    what the model reads. What it raises is told to the model, name and message, and never to the caller.

    ``side_effect`` says that it changes something in the world: it is then run at most once for a call of the model,
    also when the turn is asked for again or the process dies. ``timeout`` is in seconds. ``filler`` is said while the
    caller waits for it.
    """
    marks = ToolMarks(name, side_effect, timeout, filler, description)

    def mark(given: F) -> F:
        setattr(given, _MARK, marks)
        return given

    return mark if function is None else mark(function)


def is_tool(value: object) -> bool:
    """Tell whether a function was marked with ``tool``."""
    return isinstance(getattr(value, _MARK, None), ToolMarks)


def describe(function: Callable[..., Any]) -> ToolSpec:
    """Give the tool that a function is, marked or not.

    Raises SetupError, in one line that says what to write, when its parameters cannot be told to a model.
    """
    marks: ToolMarks = getattr(function, _MARK, ToolMarks())
    name = marks.name or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name):
        raise SetupError(
            f"A tool cannot be named {name!r}: write @tool(name=...) with up to 64 letters (a-z), digits, - and _."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SetupError(f"The tool {name} must return its result once: write return in place of yield.")
    if marks.timeout is not None and marks.timeout <= 0:
        raise SetupError(f"The tool {name} has no time: write @tool(timeout=...) with seconds above 0.")
    docstring = inspect.getdoc(function) or ""
    turn, fields, defaults = _fields(name, function)
    parameters = _schema(name, fields, defaults, parameter_lines(docstring))
    return ToolSpec(
        function=function,
        name=name,
        description=first_paragraph(docstring) if marks.description is None else marks.description,
        parameters=parameters,
        decoder=msgspec.json.Decoder(msgspec.defstruct(name, fields, kw_only=True), strict=False),
        turn=turn,
        side_effect=marks.side_effect,
        timeout=marks.timeout,
        fillers=_fillers(name, marks.filler),
    )


_Field: TypeAlias = tuple[str, Any] | tuple[str, Any, Any]


def _fields(name: str, function: Callable[..., Any]) -> tuple[str | None, list[_Field], dict[str, Any]]:
    """Give which parameter takes the turn, the others as fields of a struct, and their defaults."""
    hints = _hints(name, function)
    turn = None
    fields: list[_Field] = []
    defaults = {}
    for parameter in inspect.signature(function).parameters.values():
        where = f"The parameter {parameter.name!r} of the tool {name}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SetupError(f"{where} has no name for the model: write out each one in place of *args and **kwargs.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise SetupError(f"{where} cannot be given by its name: leave the / out.")
        if parameter.name not in hints:
            raise SetupError(f"{where} has no type: write {parameter.name}: str, or what it is.")
        hint = hints[parameter.name]
        if hint is Turn:
            turn = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint | UnsetType, UNSET))
            defaults[parameter.name] = parameter.default
    return turn, fields, defaults


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    own = inspect.unwrap(function)
    # Often imported for the type checker alone.
    known = {} if "Turn" in getattr(own, "__globals__", {}) else {"Turn": Turn}
    try:
        return get_type_hints(own, localns=known, include_extras=True)
    except NameError as error:
        raise SetupError(
            f"A type of the tool {name} is not there when it runs ({error}): import it outside of 'if TYPE_CHECKING:'."
        ) from None
    except (TypeError, ValueError) as error:
        raise SetupError(f"{name} is no function with types that can be read ({error}): write def f(x: str).") from None


def _schema(
    name: str, fields: Sequence[_Field], defaults: Mapping[str, Any], lines: Mapping[str, str]
) -> dict[str, Any]:
    properties = {}
    used: dict[str, Any] = {}
    for parameter, hint, *_ in fields:
        try:
            (schema,), found = msgspec.json.schema_components([hint])
        except TypeError as error:
            said = str(error).partition("\n")[0].rstrip(".")
            raise SetupError(
                f"The parameter {parameter!r} of the tool {name} has a type that JSON does not know: use str, int, "
                f"float, bool, list, dict, Literal, Enum, TypedDict or a dataclass ({said})."
            ) from None
        schema = _inline(schema, found, used, ())
        if parameter in lines and not _describes_itself(hint):
            schema["description"] = lines[parameter]
        if parameter in defaults and (default := _plain(defaults[parameter])) is not UNSET:
            schema["default"] = default
        properties[parameter] = schema
    made: dict[str, Any] = {"type": "object", "properties": properties}
    required = [parameter for parameter, *_ in fields if parameter not in defaults]
    if required:
        made["required"] = required
    if used:
        made["$defs"] = used
    return made


def _inline(schema: Any, known: Mapping[str, Any], used: dict[str, Any], inside: tuple[str, ...]) -> Any:
    """Put what is pointed to in its place: not every model service follows pointers. ``used`` gets what cannot be."""
    if isinstance(schema, list):
        return [_inline(item, known, used, inside) for item in schema]
    if not isinstance(schema, dict):
        return schema
    pointer = _POINTER.fullmatch(str(schema.get("$ref", "")))
    if pointer is None:
        return {key: _inline(item, known, used, inside) for key, item in schema.items()}
    name = pointer[1]
    if name in inside:  # It holds itself.
        used.update(known)
        return dict(schema)
    rest = {key: item for key, item in schema.items() if key != "$ref"}
    return {**_inline(known[name], known, used, (*inside, name)), **rest}


def _describes_itself(hint: Any) -> bool:
    """Tell whether a description stands at the type itself."""
    if get_origin(hint) is Annotated:
        return any(isinstance(item, msgspec.Meta) and item.description is not None for item in hint.__metadata__)
    # With a default there is a union around it.
    parts = getattr(hint, "__args__", ())
    return UnsetType in parts and any(map(_describes_itself, parts))


def _plain(value: Any) -> Any:
    """Give a default as JSON has it, UNSET where it does not."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return UNSET


def _fillers(name: str, filler: Filler | None) -> dict[str, tuple[str, ...]]:
    given: Mapping[str, str | Sequence[str]]
    if filler is None:
        given = {}
    elif isinstance(filler, Mapping):
        given = filler
    else:
        given = {"": filler}
    made = {
        str(language).lower().replace("_", "-"): (phrases,) if isinstance(phrases, str) else tuple(phrases)
        for language, phrases in given.items()
    }
    if not all(isinstance(phrase, str) and phrase.strip() for phrases in made.values() for phrase in phrases):
        raise SetupError(f"A filler of the tool {name} is no phrase: write @tool(filler='One moment.').")
    return {language: phrases for language, phrases in made.items() if phrases}
