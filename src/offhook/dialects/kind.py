"""What kind of turn a request asks for, and what its text is, when the last message is not the caller's. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.events import Kind, Message

TOOL_ROLES = frozenset({"tool", "function"})


def kind_of(history: Sequence[Message], said: Kind | None = None) -> tuple[Kind, str]:
    """Give the kind of turn that the messages make, and its text; ``said`` is the kind where the platform tells it.

    | last message | kind | text |
    | --- | --- | --- |
    | the caller's, with words or a picture | ``utterance`` | its words |
    | the caller's, empty | ``silence`` | empty |
    | a tool's (``tool``, ``function``) | ``tool_result`` | the caller's last words |
    | the agent's, and the caller has not spoken yet | ``wake_up`` | empty |
    | the agent's, after the caller's | ``silence`` | empty |
    | anybody else's (``system``, ``plugin``, ...) in a conversation that has begun | ``injected`` | its words |
    | anybody else's, before anybody spoke | ``wake_up`` | empty |
    """
    if said is not None:
        return said, "" if said in ("wake_up", "silence") else history[-1].text
    last = history[-1]
    if last.role == "user":
        if last.text.strip() or _has_other_parts(last):
            return "utterance", last.text
        return "silence", ""
    if last.role in TOOL_ROLES:
        return "tool_result", next((m.text for m in reversed(history) if m.role == "user"), "")
    if last.role == "assistant":
        return ("silence" if any(m.role == "user" for m in history) else "wake_up"), ""
    if any(m.role in ("user", "assistant") for m in history):
        return "injected", last.text
    return "wake_up", ""


def _has_other_parts(message: Message) -> bool:
    """Tell whether the content holds a part that is not text, such as a picture."""
    content = message.fields.get("content")
    return isinstance(content, list) and any(
        isinstance(p, dict) and p.get("type") not in (None, "text") for p in content
    )
