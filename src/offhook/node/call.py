"""A whole call played over a node, as the platform plays it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from offhook.node.platforms.base import Said
from offhook.node.playback import Playback
from offhook.node.record import AnswerRecord
from offhook.node.request import ExtendData
from offhook.node.speaker import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from offhook.node.answer import Answer
    from offhook.node.node import LLMNode
    from offhook.node.platforms.base import Order

EndedBy: TypeAlias = Literal["agent", "caller"]

# How many seconds before the caller has finished the platform asks for the first time, where it does.
_EARLY = 0.2


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
        if self.answer.hangup:
            return "hangup"
        return "transfer" if self.answer.transfer is not None else self.answer.finish_reason or "-"


class Call:
    """One call. ``turns`` is the log of what was said, ``ended`` who ended it.

    ``history_sync`` keeps what was heard instead of what was said, with the platform's mark where the caller cut in.
    ``pace`` True speaks at the usual pace, None or False hands text on as fast as it comes. ``user_data`` is sent as a
    string; anything else becomes its JSON text. ``system`` and ``greeting`` stand at the beginning of the history.
    ``early`` asks before the caller has finished as well, as platforms with a preliminary transcript do; ``barge_in``
    is what becomes of a connection when the caller cuts in. None for either is what the platform does.
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
        early: bool | None = None,
        barge_in: Literal["close", "open"] | None = None,
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
        platform = node.platform
        self._early = platform.drafting if early is None else early
        self._leave_open = platform.socket is None and (barge_in or platform.barge_in) == "open"
        self._sentences = 0
        self._history: list[dict[str, Any]] = []
        if system:
            self._history.append(self._message("system", system))
        if greeting:
            self._history.append(self._message("assistant", greeting, greeting=True))
        self._late: Order | None = None
        self._over = asyncio.Event()
        self._cut: asyncio.Future[None] | None = None
        self._answer: Answer | None = None
        # Replies that the caller cut in on, on connections that stay open.
        self._left: list[Answer] = []
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
        self._history.append(self._message("user", text))
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
        left, self._left = self._left, []
        self._cut = asyncio.get_running_loop().create_future()
        # Stays so when we are cancelled: whoever ends the program cuts in too.
        interrupted, heard = True, ""
        answer: Answer | None = None
        try:
            async with AsyncExitStack() as stack:
                for old in left:
                    stack.push_async_callback(old.interrupt)
                await self._ask_early(text, extend, stack)
                # A request needs a message; an empty prompt says nothing.
                answer = self._answer = self._node.ask(self._history or [self._message("system", "")], extend)
                answer.on_late = self._order
                playback = Playback(answer, self._node.clock, self._pace, on_piece)
                await answer.__aenter__()
                stack.push_async_callback(self._leave, answer)
                try:
                    interrupted = await self._play(answer, playback, self._cut, barge_in or BargeIn())
                finally:
                    heard = playback.heard()
        finally:
            self._cut = self._answer = None
            if answer is not None:
                turn = self._keep(text, answer, heard, interrupted)
        return turn

    async def _ask_early(self, text: str, extend: ExtendData, stack: AsyncExitStack) -> None:
        """Ask about what the caller has said so far, as platforms do that do not wait for the end."""
        platform = self._node.platform
        if self._sentences == 1:
            await self._node.prewarm()
        for words in platform.drafts(text) if self._early and text else ():
            answer = self._node.ask([*self._history[:-1], self._message("user", words)], extend)
            await answer.__aenter__()
            stack.push_async_callback(answer.interrupt)
            await self._node.clock.sleep(_EARLY)
            if platform.leaves:
                await answer.interrupt()

    async def _leave(self, answer: Answer) -> None:
        """Let an answer go, but for one that the caller cut in on where the connection stays open."""
        if answer not in self._left:
            await answer.interrupt()

    def barge_in(self) -> bool:
        """Cut in on the reply that is being played; tell whether there was one, and it may be interrupted."""
        if self._cut is None or (self._answer is not None and self._answer.protected):
            return False
        self._cut_now()
        return True

    def _cut_now(self) -> None:
        if self._cut is not None and not self._cut.done():
            self._cut.set_result(None)

    def hang_up(self) -> None:
        """End the call as the caller, in the middle of a reply too; a call that has ended stays as it is."""
        self._finish("caller")
        self._cut_now()

    async def wait_ended(self) -> None:
        """Return when the call has ended: some platforms are told to end it only once all has been spoken."""
        await self._over.wait()

    def _finish(self, by: EndedBy) -> None:
        if self.ended is None:
            self.ended = by
        self._over.set()
        self._drop_left()

    def _order(self, order: Order) -> None:
        """Take an order that comes when the reply is complete."""
        if self._cut is not None:
            self._late = order
        elif self.turns and self.ended is None:
            turn = self.turns[-1]
            self.turns[-1] = msgspec.structs.replace(turn, answer=_with(turn.answer, order))
            self._finish("agent")

    def _drop_left(self) -> None:
        """Disconnect what was left open; the call is over."""
        for answer in self._left:
            answer.disconnect()

    async def _play(self, answer: Answer, playback: Playback, cut: asyncio.Future[None], barge_in: BargeIn) -> bool:
        """Play until the end or the barge-in; tell whether it was the barge-in."""
        loop = asyncio.get_running_loop()
        play = loop.create_task(playback.play(barge_in.characters), name="playback")
        tasks: list[asyncio.Task[Any]] = [play]
        if barge_in.seconds is not None:
            tasks.append(loop.create_task(_after(self._node, barge_in.seconds), name="barge-in"))
        try:
            await asyncio.wait({*tasks, cut}, return_when=asyncio.FIRST_COMPLETED)
            if not play.done() and not cut.done() and answer.protected:
                # The caller speaks, and is heard once the reply is over.
                waiting: set[asyncio.Future[Any]] = {play, cut}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            interrupted = play.result() if play.done() else True
            if interrupted:
                if self._leave_open and self.ended is None:
                    self._left.append(answer)
                else:
                    answer.cut_in(playback.heard())
            return interrupted
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _keep(self, caller: str, answer: Answer, heard: str, interrupted: bool) -> CallTurn:
        result = _with(answer.result, self._late)
        self._late = None
        turn = CallTurn(
            sentence_id=self._sentences,
            caller=caller,
            text=result.text,
            heard=heard,
            interrupted=interrupted,
            answer=result,
        )
        kept = self._message("assistant", result.text, heard=heard, interrupted=interrupted)
        if kept["content"]:
            self._history.append(kept)
        # A caller who cuts in on the goodbye wants to go on.
        if (result.hangup or result.transfer is not None) and not interrupted:
            self._finish("agent")
        self.turns.append(turn)
        return turn

    def _message(
        self,
        role: Literal["user", "assistant", "system"],
        text: str,
        *,
        heard: str = "",
        interrupted: bool = False,
        greeting: bool = False,
    ) -> dict[str, Any]:
        """Give what was said as the platform keeps it."""
        said = Said(
            role=role,
            text=text,
            heard=heard,
            interrupted=interrupted,
            greeting=greeting,
            sync=self._history_sync,
            # What the caller says begins the next turn.
            turn=self._sentences + (role == "user"),
            at=self._node.clock.now(),
        )
        return self._node.platform.message(said)


def _with(record: AnswerRecord, order: Order | None) -> AnswerRecord:
    """Give a record with what ended the call behind the reply."""
    if order is None:
        return record
    if order.kind == "transfer":
        return msgspec.structs.replace(record, transfer=order.to)
    return msgspec.structs.replace(record, hangup=record.hangup or order.kind == "hangup")


async def _after(node: LLMNode, seconds: float) -> None:
    await node.clock.sleep(seconds)
