"""Pick up the phone with your own LLM.

The public names; each is loaded when it is first asked for, so that ``import offhook`` loads no web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offhook.events import Attempt as Attempt
    from offhook.events import CallContext as CallContext
    from offhook.events import Command as Command
    from offhook.events import Event as Event
    from offhook.events import Finish as Finish
    from offhook.events import Message as Message
    from offhook.events import OpenCall as OpenCall
    from offhook.events import Params as Params
    from offhook.events import Text as Text
    from offhook.events import ToolCall as ToolCall
    from offhook.events import Turn as Turn
    from offhook.events import Usage as Usage
    from offhook.tools.schema import tool as tool

_HOME = {
    "Attempt": "offhook.events",
    "CallContext": "offhook.events",
    "Command": "offhook.events",
    "Event": "offhook.events",
    "Finish": "offhook.events",
    "Message": "offhook.events",
    "OpenCall": "offhook.events",
    "Params": "offhook.events",
    "Text": "offhook.events",
    "ToolCall": "offhook.events",
    "Turn": "offhook.events",
    "Usage": "offhook.events",
    "tool": "offhook.tools.schema",
}

__all__ = [
    "Attempt",
    "CallContext",
    "Command",
    "Event",
    "Finish",
    "Message",
    "OpenCall",
    "Params",
    "Text",
    "ToolCall",
    "Turn",
    "Usage",
    "__version__",
    "tool",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'offhook' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
