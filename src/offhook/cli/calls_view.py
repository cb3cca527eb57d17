"""How ``offhook calls`` shows records: a table and a transcript for a person, plain objects for a program."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from offhook.cli.call_view import safe
from offhook.store.base import CallRecord, CallSummary, EventRecord, StoredCall, TurnRecord
from offhook.turns.record import generated_at

# What changes the direction of a line or ends it: an order to a terminal that is no control character.
_ORDERS = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What a terminal acts on, of all that JSON lets stand as it is.
_RAW_IN_JSON = re.compile(f"[\x7f-\x9f]|{_ORDERS.pattern}")
_LABEL = 12
_STYLES = {"caller": "cyan", "agent": "green"}
# A pipe has no width: nothing is folded or left out.
_WIDE = 100_000
# On a terminal that is narrower than this the table tells less of when a call began.
_ROOMY = 110


def console() -> Console:
    """Give the console for standard output: as wide as the terminal, or as it takes."""
    made = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _WIDE
    return made


def shown(text: str) -> Text:
    """Give what somebody said as it may stand in a terminal: nothing in it is obeyed, by rich neither."""
    return Text(_ORDERS.sub("\ufffd", safe(text)))


def local(seconds: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Give a time since the epoch as it is on this machine's clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime(form)


def iso(seconds: float | None) -> str | None:
    """Give a time since the epoch as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def length_of(call: CallRecord) -> float:
    """Give how many seconds a call took: to its end where somebody ended it, else to its last turn."""
    end = call.ended_at if call.ended_at is not None and call.ended_by != "idle" else call.last_at
    return max(0.0, end - call.begun_at)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


# --- the list -----------------------------------------------------------------------------------------------------


def table_of(summaries: Sequence[CallSummary], *, width: int) -> Table:
    """Give the list of calls for a person, to be printed so many columns wide."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    begun = "%Y-%m-%d %H:%M:%S" if width >= _ROOMY else "%m-%d %H:%M"
    for name in ("call", "platform", "caller", "begun", "length", "turns", "failed", "ended by"):
        # Where all do not fit only the ids are cut: the beginning of one is enough for ``show``.
        justify: Literal["left", "right"] = "right" if name in ("length", "turns", "failed") else "left"
        table.add_column(name, justify=justify, no_wrap=name != "call", overflow="ellipsis")
    for one in summaries:
        call = one.call
        table.add_row(
            shown(call.id),
            shown(call.platform),
            shown(call.caller or "-"),
            local(call.begun_at, begun),
            _clock(length_of(call)),
            str(one.turns),
            Text(str(one.failed), style="red" if one.failed else ""),
            shown(_ended(call)),
        )
    return table


def _ended(call: CallRecord) -> str:
    """Give what ended a call and who hung up, as far as that is known."""
    if call.hung_up_by is None:
        return call.ended_by or "-"
    return f"{call.ended_by or '-'} ({call.hung_up_by})"


def summary_object(summary: CallSummary) -> dict[str, Any]:
    """Give a call of the list for a program: no user data, and nothing of what was said."""
    call = summary.call
    return {
        "id": call.id,
        "platform": call.platform,
        "named": call.named,
        "room": call.room,
        "caller": call.caller,
        "callee": call.callee,
        "begun_at": iso(call.begun_at),
        "last_at": iso(call.last_at),
        "ended_at": iso(call.ended_at),
        "ended_by": call.ended_by,
        "hung_up_by": call.hung_up_by,
        "duration": call.duration,
        "length": round(length_of(call), 6),
        "turns": summary.turns,
        "failed": summary.failed,
    }


# --- one call -----------------------------------------------------------------------------------------------------


def show_call(out: Console, stored: StoredCall) -> None:
    """Print a call and its transcript with the timings of each turn."""
    call = stored.call
    _say(out, "call", call.id, indent=0, style="bold")
    failed = sum(turn.reason == "failed" for turn in stored.turns)
    for label, value in (
        ("platform", call.platform),
        ("room", call.room),
        ("caller", call.caller),
        ("callee", call.callee),
        ("begun", local(call.begun_at)),
        ("length", _clock(length_of(call))),
        ("ended by", call.ended_by or "-"),
        ("hung up by", call.hung_up_by),
        ("duration", None if call.duration is None else _clock(call.duration)),
        ("turns", f"{len(stored.turns)}, {failed} failed" if failed else str(len(stored.turns))),
        ("cost", _cost(stored.turns)),
        ("user data", call.user_data),
        ("state", call.state),
    ):
        if value is not None:
            _say(out, label, value, indent=0)
    for turn in stored.turns:
        out.print()
        _show_turn(out, turn)
    if stored.spoken:
        out.print()
        out.print(Text("as the platform reported it", style="bold"), soft_wrap=True)
        for one in stored.spoken:
            _say(out, one.role, one.text, style=_STYLES.get(one.role, ""))


def _show_turn(out: Console, turn: TurnRecord) -> None:
    name = "turn" if turn.turn_id is None else f"turn {turn.turn_id}"
    kind = "" if turn.kind == "utterance" else f", {turn.kind.replace('_', ' ')}"
    head = shown(f"{local(turn.received_at, '%H:%M:%S')}  {name}, {turn.which}{kind}, model {turn.model}")
    head.stylize("bold")
    out.print(head, soft_wrap=True)
    for label, text, style in _said(turn):
        _say(out, label, text, style=style)
    for label, text in _happened(turn):
        _say(out, label, text)
    failed = turn.reason in ("failed", "content_filter")
    _say(out, turn.reason, _timing(turn), style="red" if failed else "dim")


def _said(turn: TurnRecord) -> Iterator[tuple[str, str, str]]:
    """Give what either side said, and what of it did not arrive: label, text, style."""
    yield "injected" if turn.kind == "injected" else "caller", turn.said or "-", "cyan"
    asides = [
        (event.data["why"], f"{event.data['text'].strip()}  {_at(event.at)}")
        for event in turn.events
        if event.kind == "aside"
    ]
    yield from ((why, text, "yellow") for why, text in asides if why == "filler")
    heard = len(turn.sent) if turn.heard is None else turn.heard
    if turn.sent[:heard] or not asides:
        yield "agent", turn.sent[:heard] or "-", "green"
    if turn.sent[heard:]:
        yield "not heard", turn.sent[heard:], "dim"
    sent = generated_at(turn, len(turn.sent)) if turn.sent else 0
    if turn.generated[sent:]:
        yield "not sent", turn.generated[sent:], "dim"
        yield "cut", f"after {sent} of {len(turn.generated)} characters", ""
    if turn.heard is not None:
        yield "heard", f"{turn.heard} of {len(turn.sent)} characters sent", ""
    yield from ((why, text, "yellow") for why, text in asides if why != "filler")


def _happened(turn: TurnRecord) -> Iterator[tuple[str, str]]:
    """Give what happened in a turn beside words: label, text. How an attempt ended is told where it began."""
    ended = {event.data["number"]: event.data for event in turn.events if event.kind == "attempt_ended"}
    for event in turn.events:
        if event.kind == "attempt":
            yield "attempt", f"{_attempt(event.data, ended.get(event.data.get('number')))}  {_at(event.at)}"
        elif event.kind == "tool_run":
            yield "tool run", f"{_tool_run(event.data)}  {_at(event.data['at'])}"
        elif event.kind not in ("attempt_ended", "aside"):
            yield event.kind.replace("_", " "), _event(event)


def _attempt(begun: Mapping[str, Any], ended: Mapping[str, Any] | None) -> str:
    """Give an attempt at a model service: which, how it ended, how long it took and what it cost."""
    told = [f"{begun['upstream']} {begun['model']}"]
    if begun.get("round", 1) > 1:
        told.append(f"round {begun['round']}")
    if begun.get("hedge"):
        told.append("hedge")
    if ended is None:
        return ", ".join([*told, "no end known"])
    told.append(f"{ended['outcome']} {ended['code']}" if ended["code"] else ended["outcome"])
    told.append(_milliseconds(ended["seconds"]))
    if ended["first_useful"] is not None:
        told.append(f"first useful {_milliseconds(ended['first_useful'])}")
    if ended["prompt_tokens"] or ended["completion_tokens"]:
        about = "about " if ended["estimated"] else ""
        told.append(f"tokens {about}{ended['prompt_tokens']} in, {ended['completion_tokens']} out")
    if ended["cost"] is not None:
        told.append(f"cost {_money(ended['cost'])}")
    return ", ".join(told)


def _tool_run(run: Mapping[str, Any]) -> str:
    outcome = f"{run['outcome']} {run['code']}" if run["code"] else run["outcome"]
    return f"{run['name']} {run['arguments']}, {outcome}, {_milliseconds(run['seconds'])}"


def _cost(turns: Iterable[TurnRecord]) -> str | None:
    """Give what turns cost together, for a person; None where no price is known."""
    costs = [turn.cost for turn in turns if turn.cost is not None]
    return _money(sum(costs)) if costs else None


def _money(cost: float) -> str:
    return f"{cost:.6f}".rstrip("0").rstrip(".")


def _event(event: EventRecord) -> str:
    told = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in event.data.items()
        if value not in (None, "", {})
    )
    return f"{told}  {_at(event.at)}".strip()


def _at(seconds: float) -> str:
    return f"(at {_milliseconds(seconds)})"


def _timing(turn: TurnRecord) -> str:
    marks = (
        ("first useful", turn.first_useful),
        ("first byte", turn.first_byte),
        ("cancelled", turn.cancelled),
        ("end", turn.ended),
    )
    told = [f"{name} {_milliseconds(seconds)}" for name, seconds in marks if seconds is not None]
    if turn.prompt_tokens is not None or turn.completion_tokens is not None:
        told.append(f"tokens {_count(turn.prompt_tokens)} in, {_count(turn.completion_tokens)} out")
    if (cost := _cost([turn])) is not None:
        told.append(f"cost {cost}")
    if turn.error is not None:
        told.insert(0, turn.error)
    return ", ".join(told) or "-"


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else str(tokens)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _say(out: Console, label: str, text: str, *, indent: int = 2, style: str = "") -> None:
    """Print a label and a text beside it, whose further lines stand below its first."""
    margin = indent + _LABEL
    told = shown(text)
    told.stylize(style)
    head = shown(label)
    head.pad_left(indent)
    head.pad_right(max(1, margin - head.cell_len))
    for line in told.wrap(out, max(20, out.width - margin)):
        line.rstrip()
        out.print(head + line, soft_wrap=True)
        head = Text(" " * margin)


def call_object(stored: StoredCall) -> dict[str, Any]:
    """Give all that is kept of a call for a program: times in ISO 8601, lengths in seconds, digests in hexadecimal."""
    call = msgspec.structs.asdict(stored.call)
    call |= {name: iso(call[name]) for name in ("begun_at", "last_at", "ended_at", "connected_at")}
    call["state"] = None if stored.call.state is None else msgspec.json.decode(stored.call.state)
    call["length"] = round(length_of(stored.call), 6)
    spoken = [{**msgspec.structs.asdict(one), "at": iso(one.at)} for one in stored.spoken]
    return {"call": call, "turns": [_turn_object(turn) for turn in stored.turns], "spoken": spoken}


def _turn_object(turn: TurnRecord) -> dict[str, Any]:
    fields = msgspec.structs.asdict(turn)
    fields["received_at"] = iso(turn.received_at)
    fields |= {"digest": turn.digest.hex(), "spoken": turn.spoken.hex()}
    plain: dict[str, Any] = msgspec.to_builtins(fields)
    return plain


def json_text(value: Any) -> str:
    """Give JSON that a terminal may be shown: what it would act on is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
