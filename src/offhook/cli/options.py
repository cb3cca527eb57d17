"""Turns every setting into a flag of a command, so that a setting is described in one place."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer

from offhook.config import FIELDS, PREFIX, TABLES, Settings

# Tables have no form as a flag; the agent is the command's argument.
_NO_FLAG = TABLES | {"agent"}


# What the commands that take every setting have in common beside them.
AgentArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="AGENT", help="Who answers: module:function, file.py:function, or testline.", show_default=False
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        help="Settings file [default: offhook.toml where there is one] [env: OFFHOOK_CONFIG]", show_default=False
    ),
]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` a flag for every setting, as keyword arguments that are None (or empty) where not given."""
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    hints = typing.get_type_hints(command, include_extras=True)
    flags = [_flag(field) for field in msgspec.structs.fields(Settings) if field.name not in _NO_FLAG]
    parameters = [p.replace(annotation=hints[p.name]) for p in own] + flags

    def run(**values: Any) -> None:
        command(**values)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions take one, mypy does not know
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Give those of a command's values that are settings."""
    return {name: value for name, value in values.items() if name in FIELDS}


def _flag(field: msgspec.structs.FieldInfo) -> inspect.Parameter:
    kind, description = _unpack(field.type)
    many = typing.get_origin(kind) is list
    default = field.default
    shown = "" if default in (None, "", False, msgspec.NODEFAULT) or many else f" [default: {default}]"
    option = typer.Option(
        "--" + field.name.replace("_", "-"),
        help=f"{description}{shown} [env: {PREFIX}{field.name.upper()}]",
        show_default=False,
        metavar="<str>" if many else None,
    )
    value: Any = list[str] if many else kind | None
    annotation: Any = Annotated[value, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _unpack(annotation: Any) -> tuple[Any, str]:
    """Give the type without its metadata, and the description in it."""
    base, *extra = typing.get_args(annotation)
    description = next((meta.description for meta in extra if isinstance(meta, msgspec.Meta) and meta.description), "")
    if typing.get_origin(base) is Annotated:
        base = typing.get_args(base)[0]
    plain = [arg for arg in typing.get_args(base) if arg is not type(None)]
    if type(None) in typing.get_args(base) and len(plain) == 1:
        base = plain[0]
    if typing.get_origin(base) is typing.Literal:
        base = str  # A wrong word is refused where all settings are checked, with the right ones named.
    return base, description
