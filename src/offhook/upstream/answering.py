"""An attempt from its beginning to its end: up to its first useful event, then to its last, watched for silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offhook.errors import UpstreamError, UpstreamTimeout
from offhook.events import Attempt, AttemptEnded, Outcome
from offhook.upstream.spec import cost_of
from offhook.upstream.translate import Translator
from offhook.wire.chat import text_of
from offhook.wire.tokens import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offhook.clock import Clock, Timer
    from offhook.events import Event
    from offhook.upstream import attempt
    from offhook.upstream.attempt import Upstream


# Seconds that the usage may come after the end of an answer.
_FOR_USAGE = 1.0


class Answering:
    """What one service says to one request. Times are the clock's monotonic seconds.

    ``place`` is the service's among those of the line, ``deadline`` when it must have something useful; ``stall_after``
    is in seconds. ``first_useful`` is in seconds from the beginning, None until then.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_finished",
        "_moved",
        "_moved_at",
        "_over",
        "_prompt",
        "_spec",
        "_stall_after",
        "_stalled",
        "_timer",
        "_translator",
        "began",
        "deadline",
        "first_useful",
        "model",
        "number",
        "place",
    )

    def __init__(
        self,
        upstream: Upstream,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        clock: Clock,
        *,
        place: int,
        number: int,
        stall_after: float,
        spoken: bool = False,
        tags: tuple[str, ...] = (),
    ) -> None:
        self._spec = upstream.spec
        self._attempt: attempt.Attempt = upstream.attempt(body, headers)
        self._translator = Translator(thinks_first=self._spec.thinks_first, spoken=spoken, tags=tags)
        self._clock = clock
        self._stall_after = stall_after
        self._timer: Timer | None = None
        self._prompt = body.get("messages", ())
        self._moved = 0
        self._finished = self._over = self._stalled = False
        self.model: str = body["model"]
        self.place = place
        self.number = number
        self.began = self._moved_at = self.deadline = clock.monotonic()
        self.first_useful: float | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self._spec.name

    async def qualify(self) -> list[Event]:
        """Give what was said up to the first useful event, the whole answer where it has its calls at the end.

        Raises an UpstreamError when the service fails before.
        """
        await self._attempt.__aenter__()
        events: list[Event] = []
        while not self._translator.useful:
            read = await self.read()
            if read is None:
                break
            events.extend(read)
        self.first_useful = self._clock.monotonic() - self.began
        if self._translator.done:
            # What came in one read with the end, tool calls and all.
            events.extend(await self.read() or ())
        return events

    async def read(self) -> list[Event] | None:
        """Give the next events, None after the last. Raises an UpstreamError when the service breaks off or stalls."""
        translator = self._translator
        if self._over:
            return None
        if not translator.done:
            try:
                read = await self._attempt.read()
            except UpstreamError:
                # Let go here, or lost when nothing but the usage was to come.
                if not (self._stalled or translator.finished):
                    raise
                read = None
            if self._stalled and not translator.finished:
                raise UpstreamTimeout("The model service fell silent in the middle.", detail=self.name)
            if read is not None:
                events = translator.feed(read)
                if translator.moved != self._moved:
                    self._moved, self._moved_at = translator.moved, self._clock.monotonic()
                if translator.finished and not self._finished:
                    self._hasten()
                return events
        self._over = True
        return translator.flush()

    def watch(self) -> None:
        """From now on take a silence longer than ``stall_after`` for the end."""
        if not self._over:
            self._moved_at = self._clock.monotonic()
            self._timer = self._clock.call_later(self._stall_after, self._look)

    def pause(self) -> None:
        """Watch no more, until ``watch``: nobody reads."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Let the connection go at once: kept after the end of the body, else aborted."""
        self.pause()
        self._attempt.close()

    async def finish(self) -> None:
        """Read the end of the body, so that the connection can serve again."""
        await self._attempt.finish()

    def begun(self, *, round: int, hedge: bool) -> Attempt:
        """Give the event for its beginning."""
        return Attempt(upstream=self.name, model=self.model, number=self.number, round=round, hedge=hedge)

    def ended(self, outcome: Outcome, code: str | None = None) -> AttemptEnded:
        """Give the event for its end. A service that was left, or had begun, is taken to have read the prompt."""
        usage = self._translator.usage
        if usage is not None:
            prompt, completion = usage.prompt_tokens, usage.completion_tokens
        elif outcome == "failed" and not self._translator.estimated():
            prompt = completion = 0
        else:
            prompt = sum(estimate(_words(message)) for message in self._prompt)
            completion = self._translator.estimated()
        return AttemptEnded(
            number=self.number,
            upstream=self.name,
            outcome=outcome,
            seconds=self._clock.monotonic() - self.began,
            first_useful=self.first_useful,
            code=code,
            prompt_tokens=prompt,
            completion_tokens=completion,
            estimated=usage is None and prompt > 0,
            cost=cost_of(self._spec.price, prompt, completion),
        )

    def _hasten(self) -> None:
        """Wait for the usage, after which nothing comes, no longer than a moment: tool calls wait for it too."""
        self._finished = True
        self._stall_after = min(self._stall_after, _FOR_USAGE)
        if self._timer is not None:
            self.pause()
            self.watch()

    def _look(self) -> None:
        """See whether it is silent for too long; look again when it could be, otherwise."""
        left = self._moved_at + self._stall_after - self._clock.monotonic()
        if left > 0:
            self._timer = self._clock.call_later(left, self._look)
        else:
            self._stalled = True
            self._attempt.close()


def _words(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return text_of(content) if isinstance(content, str | list) else ""
