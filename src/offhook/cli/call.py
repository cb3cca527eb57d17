"""``offhook call``: a person, or a script, talks to any OpenAI-specification endpoint as a platform would."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
import typer
from yarl import URL

from offhook.cli.call_view import JsonView, PersonView, View, advice, complain, is_silent
from offhook.cli.lines import Lines
from offhook.config import is_loopback, load
from offhook.errors import EndpointError, EndpointUnreachable, OffhookError, SetupError
from offhook.node import BargeIn, Call, CallTurn, LLMNode
from offhook.node.platforms import PLATFORMS, Platform, platform_of
from offhook.node.platforms.base import FactName
from offhook.node.speaker import duration
from offhook.server.keyfile import read_key

_STDIN = 0
HANGUP = "/hangup"
# What is sent as ModelId when neither the user nor the server's list of models names one.
ANY_MODEL = "default"
# How many seconds the greeting of a server that speaks first may take, or be missing.
_GREETING = 20.0
# How many seconds a caller with nothing left to say stays on the line, once all is spoken.
_STAY = 3.0
# The options that tell of the call, by what the platform may have a field for.
_TELLING: dict[FactName, str] = {
    "instance_id": "--instance-id",
    "caller_number": "--caller",
    "callee_number": "--callee",
    "user_data": "--user-data",
}


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was asked for; the fields are the command's options."""

    base_url: str
    platform: str = "alibaba_ims"
    api_key: str | None = None
    model_id: str | None = None
    caller: str | None = None
    callee: str | None = None
    user_data: str | None = None
    instance_id: str | None = None
    history_sync: bool = False
    early: bool | None = None
    barge_in: Literal["close", "open"] | None = None
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
        platform = platform_of(options.platform)
        # A WebSocket is for one ModelId, which its address names where the server has several.
        model_id = options.model_id or ("" if platform.socket else ANY_MODEL)
        async with LLMNode(model_id, key, options.base_url, platform=platform) as node:
            if options.resend is not None:
                return await _resend(node, options, view)
            if options.model_id is None and platform.socket is None:
                node.model_id = await _first_model(node)
            _tell_unsent(platform, options)
            # The path of a WebSocket may hold the key.
            at = str(URL(options.base_url).origin()) if platform.socket else options.base_url
            view.begin(at, node.model_id or "its own")
            return await _converse(node, options, view, script)
    except SetupError as error:
        complain(error.message)
        return 2
    except OffhookError as error:
        complain(advice(error, options.base_url))
        return 1


def _tell_unsent(platform: Platform, options: CallOptions) -> None:
    """Say once which of the options this platform has no field for."""
    given = {"instance_id": options.instance_id, "caller_number": options.caller}
    given |= {"callee_number": options.callee, "user_data": options.user_data}
    unsent = [flag for name, flag in _TELLING.items() if given[name] is not None and name not in platform.sends]
    if unsent:
        complain(f"{platform.name} has no field for {', '.join(unsent)}; the server is not told.")


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
        early=options.early,
        barge_in=options.barge_in,
    )
    try:
        if node.platform.greeted:
            greeting = await call.wake_up(on_piece=view.piece, barge_in=BargeIn(seconds=_GREETING))
            if not is_silent(greeting):
                view.turn(greeting)
            if greeting.answer.error is not None:
                complain(advice(greeting.answer.error, options.base_url))
                return 1
        if script is not None:
            return await _talk(call, script, view, options.base_url, platform=node.platform)
        lines = Lines(_STDIN)
        lines.open()
        try:
            typed = os.isatty(_STDIN)
            return await _talk(call, lines, view, options.base_url, platform=node.platform, typed=typed)
        finally:
            lines.close()
    finally:
        view.summary(call, node.platform)


async def _talk(
    call: Call, source: Source, view: View, base_url: str, *, platform: Platform, typed: bool = False
) -> int:
    """Play every line; ``typed`` means that a person types them and may cut in with Enter."""
    failed = cut = False
    while call.ended is None:
        # After a barge-in the line that cut in is still to be read: an empty one, or what is said next.
        if typed and not cut:
            view.prompt()
        cut = False
        line = await _next(source, call)
        if line is None and platform.ends_late and call.turns:
            await _stay(call)
        if call.ended is not None:
            break
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


async def _next(source: Source, call: Call) -> str | None:
    """Give the next line; None at the end, and when the call ends before there is one."""
    loop = asyncio.get_running_loop()
    line = loop.create_task(source.next())
    ended = loop.create_task(call.wait_ended())
    try:
        await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
        return line.result() if line.done() else None
    finally:
        line.cancel()
        ended.cancel()


async def _stay(call: Call) -> None:
    """Stay on the line until what was said last is spoken: the platform may be told to end the call only then."""
    try:
        async with asyncio.timeout(duration(call.turns[-1].text) + _STAY):
            await call.wait_ended()
    except TimeoutError:
        # Nobody ends it.
        return


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
_Platform = Annotated[
    str, typer.Option(metavar="NAME", help=f"Whose node to play: {', '.join(PLATFORMS)}.", show_default=True)
]
_Caller = Annotated[str | None, _opt("Calling number, where the platform sends one (callerNumber).")]
_Callee = Annotated[str | None, _opt("Called number, where the platform sends one (calleeNumber).")]
_UserData = Annotated[str | None, _opt("Business data of the call (userData), usually a JSON text.")]
_InstanceId = Annotated[str | None, _opt("Id of the call (instanceId) [default: a new one].")]
_Early = Annotated[
    bool | None,
    _opt(
        "Ask before the caller has finished too, as Volcengine's Prefill and LiveKit's preemptive generation do "
        "[default: as the platform].",
        "--early/--no-early",
    ),
]
_BargeIn = Annotated[
    Literal["close", "open"] | None,
    _opt("What becomes of the connection when the caller cuts in [default: as the platform]."),
]
_Sync = Annotated[bool, _opt("Keep in the history what was heard, as HistorySyncWithTTS does.", "--history-sync")]
_Script = Annotated[Path | None, _opt("File with one line of the caller per line; # begins a comment.")]
_Resend = Annotated[Path | None, _opt("Send one request again that 'serve --capture' kept, and stop.")]
_Json = Annotated[bool, _opt("Print one JSON object per turn and one summary, and nothing else.", "--json")]
_Pace = Annotated[bool, _opt("Show the reply at the pace of speech, not as fast as it comes.", "--pace/--no-pace")]


def call(
    base_url: _BaseUrl = "http://127.0.0.1:8083/v1",
    platform: _Platform = "alibaba_ims",
    api_key: _ApiKey = None,
    model_id: _ModelId = None,
    caller: _Caller = None,
    callee: _Callee = None,
    user_data: _UserData = None,
    instance_id: _InstanceId = None,
    history_sync: _Sync = False,
    early: _Early = None,
    barge_in: _BargeIn = None,
    script: _Script = None,
    resend: _Resend = None,
    as_json: _Json = False,
    pace: _Pace = False,
) -> None:
    """Call an endpoint as a platform does: type what the caller says and see the reply stream, with its timing.

    Works against any OpenAI-specification endpoint. retell and conversation_relay speak WebSocket: give the wss:// URL,
    or http(s)://host:port for the door of an offhook server. Enter during a reply is a barge-in; /hangup or Ctrl-D
    ends the call. Lines from a pipe are played one after the other. Exit code: 0, 1 when a turn failed, 2 when an
    option cannot work, 130 after Ctrl-C.

    \b
    Examples:
      offhook call
      offhook call http://127.0.0.1:8083/v1 --api-key k --model-id abc
      offhook call --platform vapi --caller +15550001
      printf 'hello\\ngoodbye\\n' | offhook call --json
    """
    options = CallOptions(
        base_url=base_url,
        platform=platform,
        api_key=api_key,
        model_id=model_id,
        caller=caller,
        callee=callee,
        user_data=user_data,
        instance_id=instance_id,
        history_sync=history_sync,
        early=early,
        barge_in=barge_in,
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
