"""``offhook call``: a person, or a script, talks to any OpenAI-specification endpoint as a workflow would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

import msgspec
import typer

from offhook.cli.call_view import JsonView, PersonView, View, advice, complain
from offhook.cli.lines import Lines
from offhook.config import is_loopback, load
from offhook.errors import EndpointError, EndpointUnreachable, OffhookError, SetupError
from offhook.node import Call, CallTurn, LLMNode
from offhook.server.keyfile import read_key

_STDIN = 0
HANGUP = "/hangup"
# What is sent as ModelId when neither the user nor the server's list of models names one.
ANY_MODEL = "default"


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was asked for; the fields are the command's options."""

    base_url: str
    api_key: str | None = None
    model_id: str | None = None
    caller: str | None = None
    callee: str | None = None
    user_data: str | None = None
    instance_id: str | None = None
    history_sync: bool = False
    script: Path | None = None
    resend: Path | None = None
    as_json: bool = False
    pace: bool = False


class Source(Protocol):
    """Where the caller's lines come from."""

    on_arrival: Callable[[], object] | None

    async def next(self) -> str | None:
        """Give the next line, None at the end."""


class ScriptLines:
    """The lines of a script: comments (``#``) and empty lines left out."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.split("\n"))
        self._lines = deque(line for line in lines if line and not line.startswith("#"))
        self.on_arrival: Callable[[], object] | None = None

    async def next(self) -> str | None:
        return self._lines.popleft() if self._lines else None


async def run_call(options: CallOptions) -> int:
    """Play the call and give the exit code: 0, 1 when a turn failed, 2 when the options cannot work.

    When cancelled (Ctrl-C), the reply is disconnected and the summary is shown before the cancellation goes on.
    """
    view: View = JsonView() if options.as_json else PersonView()
    try:
        script = await asyncio.to_thread(_read_script, options.script) if options.script else None
        key = options.api_key or await asyncio.to_thread(own_server_key, options.base_url)
        async with LLMNode(options.model_id or ANY_MODEL, key, options.base_url) as node:
            if options.resend is not None:
                return await _resend(node, options, view)
            if options.model_id is None:
                node.model_id = await _first_model(node)
            view.begin(options.base_url, node.model_id)
            return await _converse(node, options, view, script)
    except SetupError as error:
        complain(error.message)
        return 2
    except OffhookError as error:
        complain(advice(error, options.base_url))
        return 1


def _read_script(path: Path) -> ScriptLines:
    try:
        return ScriptLines(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"The script {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"The script {str(path)!r} is not UTF-8 text.") from error


def own_server_key(base_url: str) -> str | None:
    """Give the key of this machine's own server, for a base URL on this machine; it is sent nowhere else."""
    if not is_loopback(urlsplit(base_url).hostname or ""):
        return None
    settings = load({}).settings
    return settings.api_key[0] if settings.api_key else read_key(Path(settings.data_dir))


async def _first_model(node: LLMNode) -> str:
    """Give the first model that the endpoint lists. Raises what stands in the way of every request."""
    try:
        listed = (await node.client.get_json()).get("data")
    except EndpointError as error:
        if isinstance(error, EndpointUnreachable) or error.http_status in (401, 403):
            raise
        # Many endpoints have no list, the vendor's sample among them.
        return ANY_MODEL
    for model in listed if isinstance(listed, list) else []:
        if isinstance(model, dict) and isinstance(model.get("id"), str):
            return str(model["id"])
    return ANY_MODEL


async def _resend(node: LLMNode, options: CallOptions, view: View) -> int:
    async with node.resend(options.resend or Path()) as answer:
        async for piece in answer:
            view.piece(piece)
    result = answer.result
    view.answer(result)
    if result.error is not None:
        complain(advice(result.error, options.base_url))
    return 0 if result.error is None else 1


async def _converse(node: LLMNode, options: CallOptions, view: View, script: ScriptLines | None) -> int:
    call = Call(
        node,
        instance_id=options.instance_id,
        caller=options.caller,
        callee=options.callee,
        user_data=options.user_data,
        history_sync=options.history_sync,
        pace=options.pace,
    )
    try:
        if script is not None:
            return await _talk(call, script, view, options.base_url, typed=False)
        lines = Lines(_STDIN)
        lines.open()
        try:
            typed = os.isatty(_STDIN)
            return await _talk(call, lines, view, options.base_url, typed=typed)
        finally:
            lines.close()
    finally:
        view.summary(call)


async def _talk(call: Call, source: Source, view: View, base_url: str, *, typed: bool) -> int:
    """Play every line; ``typed`` means that a person types them and may cut in with Enter."""
    failed = cut = False
    while call.ended is None:
        # After a barge-in the line that cut in is still to be read: an empty one, or what is said next.
        if typed and not cut:
            view.prompt()
        cut = False
        line = await source.next()
        if line is None or line.strip() == HANGUP:
            call.hang_up()
            break
        if not (line := line.strip()):
            continue
        if typed:
            source.on_arrival = call.barge_in
        else:
            view.line(line)
        try:
            turn = await call.say(line, on_piece=view.piece)
        finally:
            source.on_arrival = None
        view.turn(turn)
        cut = typed and turn.interrupted
        if turn.answer.error is not None:
            failed = True
            complain(advice(turn.answer.error, base_url))
            if _hopeless(turn):
                break
    return 1 if failed else 0


def _hopeless(turn: CallTurn) -> bool:
    """Tell whether every further turn would fail in the same way."""
    error = turn.answer.error
    if isinstance(error, EndpointUnreachable):
        return turn.answer.first_byte is None
    return isinstance(error, EndpointError) and error.http_status in (401, 403, 404, 405)


def _opt(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


# The options of the command, with their help.
_BaseUrl = Annotated[
    str, typer.Argument(metavar="BASE_URL", help="Base URL of the endpoint; /chat/completions is appended to it.")
]
_ApiKey = Annotated[str | None, _opt("API-KEY of the endpoint [default: that of this machine's own server].")]
_ModelId = Annotated[str | None, _opt("ModelId to ask for [default: the first that the endpoint lists].")]
_Caller = Annotated[str | None, _opt("Calling number (callerNumber).")]
_Callee = Annotated[str | None, _opt("Called number (calleeNumber).")]
_UserData = Annotated[str | None, _opt("Business data of the call (userData), usually a JSON text.")]
_InstanceId = Annotated[str | None, _opt("Id of the call (instanceId) [default: a new one].")]
_Sync = Annotated[bool, _opt("Keep in the history what was heard, as HistorySyncWithTTS does.", "--history-sync")]
_Script = Annotated[Path | None, _opt("File with one line of the caller per line; # begins a comment.")]
_Resend = Annotated[Path | None, _opt("Send one request again that 'serve --capture' kept, and stop.")]
_Json = Annotated[bool, _opt("Print one JSON object per turn and one summary, and nothing else.", "--json")]
_Pace = Annotated[bool, _opt("Show the reply at the pace of speech, not as fast as it comes.", "--pace/--no-pace")]


def call(
    base_url: _BaseUrl = "http://127.0.0.1:8083/v1",
    api_key: _ApiKey = None,
    model_id: _ModelId = None,
    caller: _Caller = None,
    callee: _Callee = None,
    user_data: _UserData = None,
    instance_id: _InstanceId = None,
    history_sync: _Sync = False,
    script: _Script = None,
    resend: _Resend = None,
    as_json: _Json = False,
    pace: _Pace = False,
) -> None:
    """Call an endpoint as the workflow does: type what the caller says and see the reply stream, with its timing.

    Works against any OpenAI-specification endpoint. Enter during a reply is a barge-in; /hangup or Ctrl-D ends the
    call. Lines from a pipe are played one after the other. Exit code: 0, 1 when a turn failed, 2 when an option
    cannot work, 130 after Ctrl-C.

    \b
    Examples:
      offhook call
      offhook call http://127.0.0.1:8083/v1 --api-key k --model-id abc
      printf 'hello\\ngoodbye\\n' | offhook call --json
    """
    options = CallOptions(
        base_url=base_url,
        api_key=api_key,
        model_id=model_id,
        caller=caller,
        callee=callee,
        user_data=user_data,
        instance_id=instance_id,
        history_sync=history_sync,
        script=script,
        resend=resend,
        as_json=as_json,
        pace=pace,
    )
    try:
        code = asyncio.run(run_call(options))
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    raise typer.Exit(code)
