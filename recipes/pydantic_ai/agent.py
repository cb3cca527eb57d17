"""The telephone of a garage, answered by an agent of pydantic-ai.

  pip install offhook -r requirements.txt
  OPENAI_API_KEY=sk-... offhook serve agent.py:reply

OPENAI_BASE_URL names another service than OpenAI's, MODEL another model.
"""

import os

from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    AgentRunResultEvent,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    ToolOutput,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel

PROMPT = "You answer the telephone of a garage. Say one or two sentences. At the end say goodbye and hang up."
# What is said when the caller has said nothing.
UNASKED = {"wake_up": "Hello, this is the garage. What can I do for you?", "silence": "Are you still there?"}
ROLES = ("system", "user", "assistant")
CARS = {"B 1234": "ready", "M 77": "waiting for a part until Thursday"}


class HangUp(BaseModel):
    """End the telephone call."""


garage = Agent(
    OpenAIChatModel(os.environ.get("MODEL", "gpt-4.1-mini")),
    instructions=PROMPT,
    # The run ends with words, or with a goodbye.
    output_type=[str, ToolOutput(HangUp, name="hang_up")],
)


@garage.tool_plain
def state_of_car(plate: str) -> str:
    """Look up how far the work on a car is.

    Args:
        plate: The number plate.
    """
    return CARS.get(plate.upper(), "no such car is here")


def message(role: str, text: str) -> ModelRequest | ModelResponse:
    """Give one message of the conversation so far."""
    if role == "assistant":
        return ModelResponse(parts=[TextPart(text)])
    return ModelRequest(parts=[SystemPromptPart(text) if role == "system" else UserPromptPart(text)])


async def reply(turn):
    if turn.kind in UNASKED:
        yield UNASKED[turn.kind]
        return
    said = [message(one.role, one.text) for one in turn.history if one.role in ROLES and one.text]
    over = False
    # When the caller cuts in, the run ends with the turn, and with it the request to the model.
    async with garage.run_stream_events(message_history=said) as events:
        async for event in events:
            match event:
                case PartStartEvent(part=TextPart(content=words)) if words:
                    yield words
                case PartDeltaEvent(delta=TextPartDelta(content_delta=words)) if words:
                    yield words
                case AgentRunResultEvent(result=result):
                    over = isinstance(result.output, HangUp)
    if over:
        yield turn.hangup()
