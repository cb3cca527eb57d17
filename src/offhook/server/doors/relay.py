"""ConversationRelay's door: ``.../conversationrelay``, one WebSocket for each session of a call.

Sources: see ``dialects/conversation_relay.py``. The platform sends no conversation, so the session remembers it: what
the caller said, and of each reply what went out, or as much of it as was heard.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from offhook.dialects.base import read_id, read_object
from offhook.dialects.conversation_relay import (
    CONVERSATION_RELAY,
    Tokens,
    call_id_of,
    end,
    is_signed,
    request_of,
    secret_of,
    without_secret,
)
from offhook.errors import BadKey, OffhookError
from offhook.node.speaker import duration
from offhook.server.auth import SETTINGS
from offhook.server.door_address import parts_of
from offhook.server.doors.door import SocketDoor
from offhook.server.doors.session import POLICY, Asking, Ended, Session, model_of, with_key
from offhook.server.doors.spoken import reached
from offhook.turns.call import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Scope

    from offhook.clock import Timer
    from offhook.server.auth import Owner
    from offhook.server.door import Visit
    from offhook.server.doors.socket import SocketOutlet

log = logging.getLogger("offhook.server")

# Seconds after a digit in which another one belongs to the same number.
_BETWEEN_DIGITS = 2.0
# Seconds after a guess at what the caller says in which the whole of it comes, or another guess.
_BETWEEN_GUESSES = 5.0
# Seconds that the platform takes to begin to speak, and longer than it speaks by our count.
_MARGIN = 1.5
# So many messages are shown of a long session; the call itself remembers more.
_MOST_SAID = 100
_MOST_CHARACTERS = 256 * 1024
_MOST_DIGITS = 64


class RelayDoor(SocketDoor):
    """``.../conversationrelay``, with a key, with the platform's signature, or with a key among the parameters."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        # By call, those that are open.
        self._open: dict[str, set[RelaySession]] = {}

    @override
    def session(self, visit: Visit, path: str, scope: Scope, outlet: SocketOutlet) -> Session:
        key, model = parts_of(path)
        visit = with_key(visit, key)
        model = model or visit.query.get("model")
        if model is not None:
            model_of(model, self._reception)

        def check(given: str | None) -> Owner:
            return self._keys.check(with_key(visit, given).headers, visit.query, "chat")

        session = RelaySession(
            check,
            model,
            self._open,
            setup=self._setup,
            visit=visit,
            check=lambda: check(None),
            model="",
            outlet=outlet,
            reception=self._reception,
            clock=self._clock,
            on_refused=self.on_refused,
        )
        if self._is_signed(visit, scope):
            session.check = lambda: SETTINGS
            session.known = True
            return session
        try:
            session.check()
            session.known = True
        except BadKey:
            if _shows_key(visit):
                raise
            # It may yet come with the first frame.
        return session

    def _is_signed(self, visit: Visit, scope: Scope) -> bool:
        token = self._reception.options(CONVERSATION_RELAY).auth_token
        signature = visit.headers.get("x-twilio-signature")
        if not token or not signature:
            return False
        target = scope.get("raw_path") or scope["path"].encode()
        return is_signed(
            signature,
            token,
            host=visit.headers.get("host", ""),
            target=target.decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
        )


class RelaySession(Session):
    """One session. ``known`` tells that it has shown whose it is."""

    dialect = CONVERSATION_RELAY

    def __init__(
        self,
        check_with: Callable[[str | None], Owner],
        named: str | None,
        sessions: dict[str, set[RelaySession]],
        *,
        setup: float,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.known = False
        self._check_with = check_with
        self._named = named
        self._sessions = sessions
        self._call: str | None = None
        self._patience = setup
        self._waiting: Timer | None = None
        self._setup: Mapping[str, Any] | None = None
        self._name = ""
        self._count = 0
        self._said: list[dict[str, Any]] = []
        # The turn whose reply is not among what was said yet, and the one whose reply is the last that is.
        self._last: Asking | None = None
        self._before: Asking | None = None
        self._digits = ""
        self._more_digits: Timer | None = None
        # What the session ends with, once its words are spoken.
        self._handoff: Mapping[str, Any] | None = None
        self._ending: Timer | None = None

    @override
    def opened(self) -> None:
        self._waiting = self.later(self._patience, self._nobody)

    def _nobody(self) -> None:
        raise Ended(POLICY, "No setup message came.")

    @override
    def hear(self, frame: Mapping[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "setup":
            self._begin(frame)
            return
        if self._setup is None:
            if not self.known:
                raise Ended(POLICY, "No key came along.")
            self.puzzled("it came before the setup message")
            return
        match kind:
            case "prompt":
                self._prompt(frame)
            case "interrupt":
                self._interrupt(frame)
            case "dtmf":
                self._digit(frame)
            case "error":
                # Its description may repeat what was said.
                log.warning("the platform refused a frame (platform %(platform)s)", {"platform": self.dialect.name})
            case "info":
                pass
            case _:
                self.puzzled("it has no type that is known")

    @override
    def closed(self) -> None:
        for timer in (self._waiting, self._more_digits, self._ending):
            if timer is not None:
                timer.cancel()
        if self._leave_call() and not self.reception.stopping:
            self.reception.end_call(self.call_key, "disconnect")

    @override
    def last_words(self) -> None:
        if self._handoff is not None:
            self._end()

    def _enter_call(self, key: str | None) -> None:
        if key is not None:
            self._call = self.call_key = key
            self._sessions.setdefault(key, set()).add(self)

    def _leave_call(self) -> bool:
        """Be a session of the call no more; tell whether none is left of it."""
        if self._call is None:
            return False
        others = self._sessions.get(self._call, set())
        others.discard(self)
        if others:
            return False
        self._sessions.pop(self._call, None)
        return True

    def _begin(self, setup: Mapping[str, Any]) -> None:
        if self._setup is not None:
            self.puzzled("it is a second setup message")
            return
        self._stop_waiting()
        try:
            owner = self._introduce(secret_of(setup))
            named = self._named or read_object(setup.get("customParameters")).get("model")
            self.model = model_of(named if isinstance(named, str) else None, self.reception)
        except OffhookError as error:
            self._on_refused(error.code)
            raise Ended(POLICY, "The key is not good." if isinstance(error, BadKey) else "Not served here.") from None
        self.known = True
        self._setup = without_secret(setup)
        self._enter_call(key_of(call_id_of(setup), owner.tenant))
        # No session has another's turns, whatever it is called.
        self._name = "/".join(filter(None, (read_id(setup.get("sessionId")), self.visit.request_id)))
        if self.reception.options(CONVERSATION_RELAY).begin and not self.reception.goes_on(call_id_of(setup), owner):
            self._ask("begin", "")

    def _introduce(self, key: str | None) -> Owner:
        if not self.known:
            self.check = lambda: self._check_with(key)
        return self.check()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def _prompt(self, frame: Mapping[str, Any]) -> None:
        text = frame.get("voicePrompt")
        if not isinstance(text, str):
            self.puzzled("it is a prompt without words")
        elif frame.get("last") is False:
            # A guess at what the caller is saying: he is not hung up on before it is known.
            if self._ending is not None:
                self._ending.cancel()
                self._ending = self.later(_BETWEEN_GUESSES, self._end)
        else:
            self._stay()
            self._note_digits()
            self._ask("prompt", text)

    def _interrupt(self, frame: Mapping[str, Any]) -> None:
        utterance = frame.get("utteranceUntilInterrupt")
        heard = utterance if isinstance(utterance, str) else None
        self._stay()
        if heard and self._cut_before(heard):
            return
        if self._last is not None:
            self._last.leave()
        self._settle(heard, cut=True)

    def _cut_before(self, heard: str) -> bool:
        """Take that the reply before was cut, where the one that is asked for has not begun to be spoken."""
        if self._last is None or self._before is None or self._last.reader.text:
            return False
        said = next((one for one in reversed(self._said) if one["role"] == "assistant"), None)
        until = None if said is None or "interrupted" in said else reached(heard, said["content"])
        if said is None or until is None:
            return False
        self._before.heard(until)
        said |= {"content": said["content"][:until], "heard": until, "interrupted": True}
        return True

    def _digit(self, frame: Mapping[str, Any]) -> None:
        digit = frame.get("digit")
        if not isinstance(digit, str) or len(digit) != 1:
            self.puzzled("it is a key press without a key")
            return
        self._stay()
        if self._more_digits is not None:
            self._more_digits.cancel()
        self._digits += digit
        if digit == "#" or len(self._digits) >= _MOST_DIGITS:
            self._dialled()
        else:
            self._more_digits = self.later(_BETWEEN_DIGITS, self._dialled)

    def _dialled(self) -> None:
        digits, self._digits = self._digits, ""
        self._ask("dtmf", digits)

    def _note_digits(self) -> None:
        if self._more_digits is not None:
            self._more_digits.cancel()
        if self._digits:
            self._settle()
            self._said.append({"role": "user", "content": self._digits})
            self._digits = ""

    def _ask(self, asked: str, text: str) -> None:
        assert self._setup is not None
        self._settle()
        if asked != "begin":
            self._said.append({"role": "user", "content": text})
        self._forget_oldest()
        self._count += 1
        turn = f"{self._name}/{self._count}"
        tokens = Tokens()
        asking = self.ask(request_of(self._setup, self._said, turn=turn, asked=asked, model=self.model), tokens)
        asking.reader.on_over = lambda: self._spoken(asking, tokens)
        self._last = asking

    def _forget_oldest(self) -> None:
        del self._said[:-_MOST_SAID]
        characters = sum(len(one["content"]) for one in self._said)
        while characters > _MOST_CHARACTERS and len(self._said) > 1:
            characters -= len(self._said.pop(0)["content"])

    def _settle(self, heard: str | None = None, *, cut: bool = False) -> None:
        """Enter the last reply among what was said, as far as it went out; what comes of it now is not wanted."""
        asking, self._last = self._last, None
        if asking is not None:
            text = asking.reader.text
            if cut:
                asking.reader.mute()
            else:
                # The platform reads on in the same reply until it is told that it is over.
                asking.reader.cut()
            self._before = asking if text else self._before
        elif cut and heard and not any(one["role"] == "assistant" for one in self._said):
            # A greeting that the platform was told to speak by itself.
            text = heard
        else:
            return
        reply: dict[str, Any] = {"role": "assistant", "content": text}
        if cut:
            reply["interrupted"] = True
            until = None if heard is None else reached(heard, text)
            if until is not None:
                if asking is not None:
                    asking.heard(until)
                reply |= {"content": text[:until], "heard": until}
        if text:
            self._said.append(reply)

    def _spoken(self, asking: Asking, tokens: Tokens) -> None:
        """End the session, where the reply says so, once its words have had time to be spoken."""
        if tokens.handoff is None:
            return
        begun = asking.reader.first_byte
        passed = 0.0 if begun is None else self.clock.monotonic() - begun
        words = asking.reader.text
        wait = max(0.0, duration(words) + _MARGIN - passed) if words.strip() else 0.0
        self._stay()
        self._handoff = tokens.handoff
        self._ending = self.later(wait, self._end)

    def _end(self) -> None:
        handoff = self._handoff
        self._stay()
        if handoff is not None:
            self.outlet.frame(end(handoff))

    def _stay(self) -> None:
        """End the session no more: the caller has something to say."""
        self._handoff = None
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None


def _shows_key(visit: Visit) -> bool:
    return "authorization" in visit.headers or "api-key" in visit.headers or "api-key" in visit.query
