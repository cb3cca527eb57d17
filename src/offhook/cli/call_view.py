"""How ``offhook call`` shows a call: words and a table for a person, or JSON lines for a program."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.client.address import without_query
from offhook.errors import EndpointError, EndpointUnreachable, OffhookError
from offhook.node import AnswerRecord, Call, CallTurn
from offhook.node.platforms import Platform

# What a server sends is shown, never obeyed: a terminal acts on these.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class View(Protocol):
    """What a call is told to."""

    def begin(self, base_url: str, model_id: str) -> None:
        """The call begins."""

    def prompt(self) -> None:
        """A person may type."""

    def line(self, text: str) -> None:
        """A line that nobody typed is said by the caller."""

    def piece(self, text: str) -> None:
        """A piece of the reply."""

    def turn(self, turn: CallTurn) -> None:
        """A turn is over."""

    def answer(self, answer: AnswerRecord) -> None:
        """A single answer outside of a call is over."""

    def summary(self, call: Call, platform: Platform) -> None:
        """The call is over."""


def is_silent(turn: CallTurn) -> bool:
    """Tell whether a turn is a greeting that said nothing and ordered nothing: the caller is to speak first."""
    answer = turn.answer
    ordered = answer.hangup or answer.transfer is not None or bool(answer.to_app)
    return not turn.caller and not turn.text and not ordered and answer.error is None


def complain(message: str) -> None:
    """Write one line to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"offhook: {safe(message)}", style="red"))


def advice(error: OffhookError, base_url: str) -> str:
    """Give one line that says what went wrong and what to do."""
    message = safe(error.message).rstrip(".")
    status = error.http_status if isinstance(error, EndpointError) else None
    if isinstance(error, EndpointUnreachable):
        return f"{message}. Start a server with 'offhook serve', or give the base URL of one that runs."
    if status in (401, 403):
        return f"{message}. Give the server's key with --api-key."
    if status in (404, 405) and "model" in message.lower():
        return f"{message}. Give a ModelId that this server knows with --model-id."
    if status in (404, 405):
        return (
            f"{message}. Check the base URL {without_query(base_url)}: '/chat/completions' is appended to it, "
            "and most servers want it to end in /v1."
        )
    return f"{message}."


def safe(text: str) -> str:
    """Give a text without what a terminal would act on."""
    return _CONTROL.sub("\ufffd", text)


def milliseconds(seconds: float | None) -> str:
    """Give a time for a person, a dash for none."""
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


class PersonView:
    """Shows the call to a person. In a terminal with colours; plain text elsewhere."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False)
        self._open = False
        self._told: CallTurn | None = None

    def begin(self, base_url: str, model_id: str) -> None:
        self._say(f"Calling {without_query(base_url)}, model {model_id}.", "dim")
        if self._console.is_terminal:
            self._say(
                "Type what the caller says. Enter during a reply cuts in; /hangup or Ctrl-D ends the call.", "dim"
            )

    def prompt(self) -> None:
        self._console.print(Text("caller> ", style="bold cyan"), end="")

    def line(self, text: str) -> None:
        self._say(f"caller> {text}", "bold cyan")

    def piece(self, text: str) -> None:
        if not self._open:
            self._console.print(Text("agent>  ", style="bold green"), end="")
            self._open = True
        self._console.print(Text(safe(text)), end="")

    def turn(self, turn: CallTurn) -> None:
        self._close()
        self._told = turn
        self._timing(turn.answer, turn.finish)

    def answer(self, answer: AnswerRecord) -> None:
        self._close()
        self._timing(answer, answer.finish_reason or "-")

    def summary(self, call: Call, platform: Platform) -> None:
        self._close()
        turns = _audible(call)
        if not turns:
            return
        self._console.print()
        if turns[-1] is not self._told:
            # The order came when its turn had been shown.
            self._transfer(turns[-1].answer)
        self._console.print(_table(turns))
        if call.ended is not None:
            self._say(f"The {call.ended} ended the call.", "dim")
        if call.ended != "agent" and not platform.takes_hangup:
            page = f"docs/platforms/{platform.name.replace('_', '-')}.md"
            self._say(f"{platform.name} takes no hang-up from the agent, see {page}.", "dim")

    def _timing(self, answer: AnswerRecord, finish: str) -> None:
        for data in answer.to_app:
            self._say(f"        to the app: {_json(data)}", "dim")
        if answer.protected:
            self._say("        the caller cannot cut in", "dim")
        self._transfer(answer)
        first, total = milliseconds(answer.first_token), milliseconds(answer.total)
        # Where replies have no reason to end by, none is shown.
        ended = "" if finish == "-" else f"{finish}, "
        self._say(f"        first token {first} ms, total {total} ms, {ended}{len(answer.text)} characters", "dim")

    def _transfer(self, answer: AnswerRecord) -> None:
        if answer.transfer is not None:
            self._say(f"        transfer to {answer.transfer or 'a number that was not given'}", "dim")

    def _close(self) -> None:
        if self._open:
            self._console.print()
            self._open = False

    def _say(self, text: str, style: str) -> None:
        self._console.print(Text(safe(text), style=style))


def _audible(call: Call) -> list[CallTurn]:
    return [turn for turn in call.turns if not is_silent(turn)]


def _table(turns: Sequence[CallTurn]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("turn", "caller", "first token ms", "total ms", "finish", "chars"):
        table.add_column(name, justify="left" if name in ("caller", "finish") else "right", no_wrap=True)
    for turn in turns:
        table.add_row(
            str(turn.sentence_id),
            Text(_short(safe(turn.caller))),
            milliseconds(turn.answer.first_token),
            milliseconds(turn.answer.total),
            Text(safe(turn.finish)),
            str(len(turn.text)),
        )
    return table


class JsonView:
    """Writes one JSON object per turn to stdout, and one about the whole call."""

    def begin(self, base_url: str, model_id: str) -> None:
        pass

    def prompt(self) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def piece(self, text: str) -> None:
        pass

    def turn(self, turn: CallTurn) -> None:
        fields = {"turn": turn.sentence_id, "caller": turn.caller, "heard": turn.heard, "barge_in": turn.interrupted}
        _write({**fields, **_facts(turn.answer)})

    def answer(self, answer: AnswerRecord) -> None:
        _write(_facts(answer))

    def summary(self, call: Call, platform: Platform) -> None:
        turns = _audible(call)
        failed = sum(turn.answer.error is not None for turn in turns)
        fields = {"instance_id": call.instance_id, "turns": len(turns), "failed": failed, "ended_by": call.ended}
        # The order may have come when its turn had been shown.
        transfer = turns[-1].answer.transfer if turns and call.ended == "agent" else None
        _write({"summary": {**fields, "transfer": transfer}})


def _facts(answer: AnswerRecord) -> dict[str, Any]:
    return {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "hangup": answer.hangup,
        "transfer": answer.transfer,
        "protected": answer.protected,
        "to_app": answer.to_app,
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls],
        "first_byte_ms": _rounded(answer.first_byte),
        "first_token_ms": _rounded(answer.first_token),
        "total_ms": _rounded(answer.total),
        "chunks": answer.chunks,
        "done": answer.done,
        "disconnected": answer.interrupted,
        "usage": answer.usage,
        "error": None if answer.error is None else answer.error.message,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _write(fields: Mapping[str, Any]) -> None:
    sys.stdout.write(_json(fields) + "\n")
    sys.stdout.flush()


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
