"""What kind of turn the messages make."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.dialects.kind import kind_of
from offhook.events import Kind, Message
from offhook.wire.chat import text_of

SYSTEM, HELLO = ("system", "Be kind."), ("assistant", "Hello, how can I help?")
ASKED = ("user", "What is the weather?")
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}}]

CASES: dict[str, tuple[list[tuple[str, Any]], Kind, str]] = {
    "an utterance": ([SYSTEM, HELLO, ASKED], "utterance", "What is the weather?"),
    "the first utterance": ([ASKED], "utterance", "What is the weather?"),
    "an utterance in parts": ([("user", [{"type": "text", "text": "Look"}])], "utterance", "Look"),
    "a picture without words": ([("user", PICTURE)], "utterance", ""),
    "an empty utterance": ([HELLO, ("user", "  ")], "silence", ""),
    "nothing after the agent's words": ([ASKED, HELLO], "silence", ""),
    "a tool's result": ([ASKED, ("assistant", None), ("tool", "Sunny.")], "tool_result", "What is the weather?"),
    "a function's result": ([ASKED, ("function", "Sunny.")], "tool_result", "What is the weather?"),
    "a tool's result before anybody spoke": ([("tool", "x")], "tool_result", ""),
    "a prompt alone": ([SYSTEM], "wake_up", ""),
    "a prompt and a greeting": ([SYSTEM, HELLO], "wake_up", ""),
    "an injected instruction": (
        [ASKED, HELLO, ("system", "Say that we close soon.")],
        "injected",
        "Say that we close soon.",
    ),
    "injected after a greeting": ([HELLO, ("developer", "Ask for the name.")], "injected", "Ask for the name."),
    "injected by a plugin": ([ASKED, ("plugin", "x=1")], "injected", "x=1"),
}


@pytest.mark.parametrize(("messages", "kind", "text"), CASES.values(), ids=CASES.keys())
def test_the_last_message_decides(messages: list[tuple[str, Any]], kind: Kind, text: str) -> None:
    """The kind and the text follow from the last message and who spoke before."""
    history = [Message(role=r, text=text_of(c), fields={"role": r, "content": c}) for r, c in messages]
    assert kind_of(history) == (kind, text)
