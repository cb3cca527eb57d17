"""The model agent: OpenAI-specification model services behind the line, and the tools that they may use."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import TYPE_CHECKING, Any

from offhook.agents.commands import DEFINITIONS, command_of, offered_by
from offhook.agents.prompt import check, fill_in
from offhook.errors import ToolError
from offhook.events import Finish, Text, ToolCall, Usage
from offhook.tools.ledger import Occasion
from offhook.upstream.failover import Ask
from offhook.upstream.translate import request_body, request_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offhook.agents.base import ReplyWriter
    from offhook.events import CommandName, Event, OpenCall, Turn
    from offhook.tools.run import Toolbox
    from offhook.upstream.failover import Answer, Failover
    from offhook.upstream.spec import UpstreamSpec


# After so many reads the loop gets its turn: a service that says everything at once never makes us wait.
_BURST = 16


class ModelAgent:
    """Asks a model and passes its words on as they come; reasoning is never spoken.

    ``system_prompt`` is a template (see ``agents/prompt.py``) and stands before the platform's messages. ``toolbox``
    holds the functions that the model may call, ``rounds`` bounds how often in one turn; ``hold`` is ``tools_hold``.
    ``commands`` are the orders to the platform that the model is offered beside them where the platform takes them:
    ``hangup``, ``transfer``.
    Raises SetupError when the prompt asks for a name that no turn has.
    """

    def __init__(
        self,
        failover: Failover,
        *,
        system_prompt: str | None = None,
        toolbox: Toolbox | None = None,
        commands: Sequence[CommandName] = (),
        rounds: int = 5,
        hold: float = 0.3,
    ) -> None:
        check(system_prompt or "")
        self.failover = failover
        self._system_prompt = system_prompt
        self.toolbox = toolbox
        self._functions = [*(toolbox.definitions if toolbox else ())]
        self._commands = tuple(commands)
        self.rounds = rounds
        self.hold = hold
        self._warming: asyncio.Task[None] | None = None

    @property
    def attends(self) -> bool:
        return False

    async def call_started(self, call: OpenCall) -> None:
        """Do nothing: a model keeps nothing of a call."""

    async def call_ended(self, call: OpenCall) -> None:
        """Do nothing: a model keeps nothing of a call."""

    async def start(self) -> None:
        """Begin to make the first connections; nobody waits for them."""
        self._warming = asyncio.get_running_loop().create_task(self.failover.warm_up(), name="first connections")

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self.toolbox is not None:
            await self.toolbox.close()
        await self.failover.close()

    async def answer(self, turn: Turn, reply: ReplyWriter) -> None:
        request = _Conversation(self, turn, reply)
        while await request.go_on():
            pass

    def body(self, turn: Turn, spec: UpstreamSpec, more: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
        """Give the request for one service; in the ``last`` round the model has to answer."""
        prompt = fill_in(self._system_prompt, turn) if self._system_prompt else None
        tools = [] if "tools" in spec.omit else self._offered(turn)
        body = request_body(turn, spec, system_prompt=prompt, tools=tools, more=more)
        if last and "tools" in body:
            body["tool_choice"] = "none"
        elif more and body.get("tool_choice") != "none":
            # What the request wanted called was called: told again, the model would never come to its answer.
            body.pop("tool_choice", None)
        return body

    def _offered(self, turn: Turn) -> list[dict[str, Any]]:
        """Give the tools that the model is told of: no order that the platform does not take."""
        if not self._commands:
            return self._functions
        return [*self._functions, *(DEFINITIONS[name] for name in self._commands if turn.can(name))]


class _Conversation:
    """The model requests of one turn: more than one where the model asks for tools that are run here."""

    def __init__(self, agent: ModelAgent, turn: Turn, reply: ReplyWriter) -> None:
        self._agent = agent
        self._turn = turn
        self._reply = reply
        self._more: list[dict[str, Any]] = []
        self._round = 0
        self._number = 1
        # The last character of what was said in the rounds before.
        self._last_said = ""
        self._prompt_tokens = self._completion_tokens = 0
        self._occasion = Occasion(turn.call_uid, turn.key, speculative=turn.speculative)

    async def go_on(self) -> bool:
        """Ask the model once and pass its words on; tell whether it is to be asked again.

        Raises an UpstreamError when no service answers, ToolError when the model asks for tools too often.
        """
        self._round += 1
        last = self._round > self._agent.rounds
        turn = self._turn
        ask = Ask(
            body=lambda spec: self._agent.body(turn, spec, self._more, last=last),
            headers=lambda spec: request_headers(turn, spec),
            key=turn.call.id or turn.uid,
            note=self._reply.note,
            round=self._round,
            first_number=self._number,
            spoken=bool(self._last_said),
            tags=self._reply.tags,
        )
        said: list[str] = []
        calls: list[ToolCall] = []
        async with self._agent.failover.ask(ask) as answer:
            self._reply.at_end(answer.note_cancelled)
            try:
                finish = await self._pass_on(answer, said, calls)
            finally:
                self._reply.at_end(None)
            self._number = answer.number
            answer.note_end()
            ours = [call for call in calls if self._is_ours(call)]
            if not ours:
                # Tool calls and the end are not held up by the end of the body.
                self._end(calls, finish)
            await answer.finish()
        if not ours:
            return False
        if last:
            raise ToolError(f"The model asked for tools more than {self._agent.rounds} times in one turn.")
        self._last_said = "".join(said)[-1:] or self._last_said
        await self._run(ours, said)
        theirs = [call for call in calls if call not in ours]
        if theirs:
            # What it asked of the platform ends the turn; what it asked of us was done before.
            self._end(theirs, finish)
        return not theirs

    async def _pass_on(self, answer: Answer, said: list[str], calls: list[ToolCall]) -> Finish:
        reply = self._reply
        finish = Finish()
        reads = 0
        while (events := await answer.read()) is not None:
            spoken: list[Event] = []
            for event in events:
                if type(event) is Text:
                    spoken.append(event if said else self._parted(event))
                    said.append(event.text)
                elif type(event) is ToolCall:
                    calls.append(event)
                elif type(event) is Usage:
                    spoken.append(self._added_up(event))
                elif type(event) is Finish:
                    finish = event
            if spoken:
                reply.write(*spoken)
                if reply.blocked:
                    answer.pause()
                    await reply.drain()
                    answer.resume()
            reads += 1
            if reads % _BURST == 0:
                await asyncio.sleep(0)
        return finish

    def _parted(self, first: Text) -> Text:
        """Give the first words of a round, parted from those before: a model begins each without a space."""
        sides = self._last_said, first.text[0]
        if not self._last_said or any(side.isspace() or _is_wide(side) for side in sides):
            return first
        return Text(f" {first.text}")

    def _added_up(self, usage: Usage) -> Usage:
        """Give the tokens of the turn so far."""
        self._prompt_tokens += usage.prompt_tokens
        self._completion_tokens += usage.completion_tokens
        return Usage(self._prompt_tokens, self._completion_tokens)

    def _is_ours(self, call: ToolCall) -> bool:
        """Tell whether a call is to be answered here: it is one of our tools, or nobody's: no platform acts on that."""
        toolbox = self._agent.toolbox
        if toolbox is None:
            return False
        if call.name in toolbox.names:
            return True
        return call.name not in offered_by(self._turn) and call.name not in DEFINITIONS

    def _end(self, calls: list[ToolCall], finish: Finish) -> None:
        if calls:
            # Elsewhere whoever asked acts on its own calls, by their ids.
            acts = self._reply.telephone
            self._reply.write(*((command_of(call, self._turn) if acts else None) or call for call in calls))
        self._reply.close(finish)

    async def _run(self, calls: list[ToolCall], said: list[str]) -> None:
        """Run what the model asked for, and put question and answers behind the conversation."""
        toolbox, turn = self._agent.toolbox, self._turn
        assert toolbox is not None, "only tools of ours are run"
        self._reply.rest()
        named: list[ToolCall] = []
        for number, call in enumerate(calls):
            # Some services name none of them, or all the same.
            own = call.id and all(call.id != other.id for other in named)
            id = call.id if own else f"call_{self._round}_{number}"
            named.append(ToolCall(name=call.name, arguments=call.arguments, id=id))
        for call in named:
            if (phrase := toolbox.filler_of(call.name, turn.language)) is not None:
                self._reply.fill(phrase)
                break
        results = await toolbox.run(named, turn, hold=self._agent.hold, occasion=self._occasion, ended=self._reply.note)
        self._more.append(
            {
                "role": "assistant",
                "content": "".join(said) or None,
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in named
                ],
            }
        )
        self._more.extend(
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(named, results, strict=True)
        )


def _is_wide(character: str) -> bool:
    """Tell whether it is of a script that parts nothing by spaces, such as Chinese."""
    return unicodedata.east_asian_width(character) in "WF"
