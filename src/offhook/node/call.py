"""A whole call played over a node, as the platform plays it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from offhook.dialects.alibaba_ims import INTERRUPTED
from offhook.node.playback import Playback
from offhook.node.record import AnswerRecord
from offhook.node.request import ExtendData
from offhook.node.speaker import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offhook.node.answer import Answer
    from offhook.node.node import LLMNode

EndedBy: TypeAlias = Literal["agent", "caller"]


class BargeIn(msgspec.Struct, frozen=True):
    """When the caller cuts in: so many seconds after the end of the own words, or after so many characters heard."""

    seconds: float | None = None
    characters: int | None = None


class CallTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One utterance and the reply to it.

    ``text`` is what the reply said, ``heard`` as much of it as the caller heard; ``interrupted`` tells of a barge-in,
    also one that came while a complete reply was still being spoken.
    """

    sentence_id: int
    caller: str
    text: str
    heard: str
    interrupted: bool
    answer: AnswerRecord

    @property
    def finish(self) -> str:
        """How it ended, in one word for a table."""
        if self.answer.error is not None:
            return "error"
        if self.interrupted:
            return "barge-in"
        return "hangup" if self.answer.hangup else self.answer.finish_reason or "-"


class Call:
    """One call. ``turns`` is the log of what was said, ``ended`` who ended it.

    ``history_sync`` keeps what was heard instead of what was said, with the platform's mark where the caller cut in.
    ``pace`` True speaks at the usual pace, None or False hands text on as fast as it comes. ``user_data`` is sent as a
    string; anything else becomes its JSON text. ``system`` and ``greeting`` stand at the beginning of the history.
    """

    def __init__(
        self,
        node: LLMNode,
        *,
        instance_id: str | None = None,
        channel_id: str | None = None,
        caller: str | None = None,
        callee: str | None = None,
        user_data: str | Mapping[str, Any] | Sequence[Any] | None = None,
        history_sync: bool = False,
        system: str | None = None,
        greeting: str | None = None,
        pace: Pace | bool | None = True,
    ) -> None:
        self._node = node
        self._extend = ExtendData(
            instance_id=instance_id or node.clock.new_id(""),
            channel_id=channel_id or node.clock.new_id("room-"),
            caller_number=caller,
            callee_number=callee,
            user_data=user_data
            if user_data is None or isinstance(user_data, str)
            else msgspec.json.encode(user_data).decode(),
        )
        self._history_sync = history_sync
        self._pace = pace if isinstance(pace, Pace) else Pace() if pace else None
        self._history: list[dict[str, Any]] = []
        if system:
            self._history.append({"role": "system", "content": system})
        if greeting:
            self._history.append({"role": "assistant", "content": greeting})
        self._sentences = 0
        self._cut: asyncio.Future[None] | None = None
        self.turns: list[CallTurn] = []
        self.ended: EndedBy | None = None

    @property
    def instance_id(self) -> str:
        """The id of the call, as every request carries it."""
        return self._extend.instance_id or ""

    @property
    def history(self) -> list[dict[str, Any]]:
        """The conversation so far, as the next request will carry it (but for the window)."""
        return list(self._history)

    async def say(
        self, text: str, *, on_piece: Callable[[str], None] | None = None, barge_in: BargeIn | None = None
    ) -> CallTurn:
        """Say one utterance and play the reply to its end, to the barge-in, or to what went wrong (see its ``answer``).

        Raises RuntimeError after the end of the call and while another utterance is being answered.
        """
        self._check_free()
        self._history.append({"role": "user", "content": text})
        return await self._ask(text, on_piece, barge_in)

    async def wake_up(
        self, *, on_piece: Callable[[str], None] | None = None, barge_in: BargeIn | None = None
    ) -> CallTurn:
        """Let the agent speak first, before the caller has said anything, and play it as ``say`` does.

        Raises RuntimeError when ``say`` would, and after the first turn.
        """
        self._check_free()
        if self.turns:
            raise RuntimeError("a call wakes up only once, at its beginning")
        return await self._ask("", on_piece, barge_in)

    def _check_free(self) -> None:
        if self.ended is not None:
            raise RuntimeError(f"the call was ended by the {self.ended}")
        if self._cut is not None:
            raise RuntimeError("another utterance is being answered; barge in first")

    async def _ask(self, text: str, on_piece: Callable[[str], None] | None, barge_in: BargeIn | None) -> CallTurn:
        self._sentences += 1
        extend = msgspec.structs.replace(self._extend, sentence_id=self._sentences)
        # A request needs a message; an empty prompt says nothing.
        answer = self._node.ask(self._history or [{"role": "system", "content": ""}], extend)
        playback = Playback(answer, self._node.clock, self._pace, on_piece)
        self._cut = asyncio.get_running_loop().create_future()
        # Stays so when we are cancelled: whoever ends the program cuts in too.
        interrupted, heard = True, ""
        try:
            async with answer:
                try:
                    interrupted = await self._play(answer, playback, self._cut, barge_in or BargeIn())
                finally:
                    heard = playback.heard()
        finally:
            self._cut = None
            turn = self._keep(text, answer, heard, interrupted)
        return turn

    def barge_in(self) -> bool:
        """Cut in on the reply that is being played; tell whether there was one."""
        if self._cut is None:
            return False
        if not self._cut.done():
            self._cut.set_result(None)
        return True

    def hang_up(self) -> None:
        """End the call as the caller, in the middle of a reply too; a call that has ended stays as it is."""
        if self.ended is None:
            self.ended = "caller"
        self.barge_in()

    async def _play(self, answer: Answer, playback: Playback, cut: asyncio.Future[None], barge_in: BargeIn) -> bool:
        """Play until the end or the barge-in; tell whether it was the barge-in."""
        loop = asyncio.get_running_loop()
        play = loop.create_task(playback.play(barge_in.characters), name="playback")
        tasks: list[asyncio.Task[Any]] = [play]
        if barge_in.seconds is not None:
            tasks.append(loop.create_task(_after(self._node, barge_in.seconds), name="barge-in"))
        try:
            await asyncio.wait({*tasks, cut}, return_when=asyncio.FIRST_COMPLETED)
            interrupted = play.result() if play.done() else True
            if interrupted:
                answer.disconnect()
            return interrupted
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _keep(self, caller: str, answer: Answer, heard: str, interrupted: bool) -> CallTurn:
        result = answer.result
        turn = CallTurn(
            sentence_id=self._sentences,
            caller=caller,
            text=result.text,
            heard=heard,
            interrupted=interrupted,
            answer=result,
        )
        said = result.text
        if self._history_sync:
            said = heard + INTERRUPTED if interrupted and heard else heard
        if said:
            self._history.append({"role": "assistant", "content": said})
        # A caller who cuts in on the goodbye wants to go on.
        if result.hangup and not interrupted and self.ended is None:
            self.ended = "agent"
        self.turns.append(turn)
        return turn


async def _after(node: LLMNode, seconds: float) -> None:
    await node.clock.sleep(seconds)
