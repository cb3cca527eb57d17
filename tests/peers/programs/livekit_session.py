"""An AgentSession of LiveKit without a room, and a line of JSON for each thing that happens.

Run by the Python that has livekit-agents, as ``livekit_session.py ADDRESS KEY MODE``. The caller types; with ``early``
he speaks, to a speech recognition that is sure of the first word before it has the last.
"""

# What it imports is in an environment of its own, not in the one that is checked.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from livekit.agents import Agent, AgentSession, function_tool, stt
from livekit.agents.beta.tools import EndCallTool
from livekit.agents.stt import SpeechEventType
from livekit.agents.voice.io import AudioInput, TextOutput
from livekit.plugins.openai import LLM
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from typing_extensions import override

calls: list[dict[str, str]] = []
heard = asyncio.Event()
answered = asyncio.Event()
over = asyncio.Event()


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()


async def on_response(response: Any) -> None:
    say(asked=response.request.url.path, status=response.status_code)
    if response.request.method == "POST":
        answered.set()


class Screen(TextOutput):
    """Where the caller reads."""

    text = ""

    @override
    async def capture_text(self, text: str) -> None:
        self.text += text
        say(delta=text)
        heard.set()

    @override
    def flush(self) -> None:
        pass


class Bot(Agent):
    """An agent that can end the call, by a function with a name of its own."""

    @function_tool
    async def end_call(self) -> None:
        """End the telephone call."""
        calls.append({"name": "end_call", "arguments": "{}"})
        over.set()


class Silence(AudioInput):
    """A microphone into which nobody speaks."""

    @override
    async def __anext__(self) -> Any:
        return await asyncio.Event().wait()


class Ear(stt.STT):
    """Hears half a sentence for sure, and the other half once the model was asked about the first."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    @override
    async def _recognize_impl(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("only streams are heard here")

    @override
    def stream(self, *, conn_options: Any, **options: Any) -> Any:
        return Hearing(stt=self, conn_options=conn_options)


class Hearing(stt.RecognizeStream):
    """What the ear hears."""

    @override
    async def _run(self) -> None:
        self.hear(SpeechEventType.START_OF_SPEECH)
        self.hear(SpeechEventType.PREFLIGHT_TRANSCRIPT, "hello")
        await answered.wait()
        self.hear(SpeechEventType.FINAL_TRANSCRIPT, "hello and bye")
        self.hear(SpeechEventType.END_OF_SPEECH)
        await asyncio.Event().wait()

    def hear(self, kind: SpeechEventType, *texts: str) -> None:
        said = [stt.SpeechData(language="en", text=text, confidence=1.0) for text in texts]
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=said))


def options(mode: str) -> dict[str, Any]:
    """Give what the session is made of beside its model; no model is fetched for the end of a turn."""
    if mode == "early":
        return {"stt": Ear(), "turn_handling": {"turn_detection": "stt"}}
    # Told nothing to say, the tool ends the session once what came before its call is spoken.
    tools = [EndCallTool(end_instructions=None)] if mode == "prebuilt" else []
    return {"tools": tools, "turn_handling": {"turn_detection": None}}


async def main(address: str, key: str, mode: str) -> None:
    """Say one thing; with ``leave``, interrupt after the first words and live on."""
    screen = Screen(label="screen", next_in_chain=None)
    http = DefaultAsyncHttpxClient(event_hooks={"response": [on_response]})
    client = AsyncOpenAI(base_url=address, api_key=key, max_retries=0, http_client=http)
    llm = LLM(model="m", client=client, extra_headers={"X-LiveKit-Room-ID": "RM_1"})
    async with AgentSession(llm=llm, vad=None, **options(mode)) as session:
        session.once("close", lambda event: over.set())
        session.output.transcription = screen
        if mode == "early":
            session.input.audio = Silence(label="silence")
        await session.start((Agent if mode == "prebuilt" else Bot)(instructions="You are on the telephone."))
        if mode == "leave":
            speech = session.generate_reply(user_input="hello and bye")
            await heard.wait()
            await session.interrupt()
            await speech
            say(left=True)
            await asyncio.Event().wait()
        elif mode != "early":
            await session.run(user_input="hello and bye")
        await over.wait()
    say(text=screen.text, calls=calls)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
