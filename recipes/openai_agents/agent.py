"""The telephone of a hotel, answered by an agent of the OpenAI Agents SDK.

  pip install offhook -r requirements.txt
  OPENAI_API_KEY=sk-... offhook serve agent.py:reply

OPENAI_BASE_URL names another service than OpenAI's, MODEL another model.
"""

import os

from agents import Agent, OpenAIChatCompletionsModel, Runner, StopAtTools, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

PROMPT = "You answer the telephone of a hotel. Say one or two sentences. At the end say goodbye and hang up."
# What is said when the caller has said nothing.
UNASKED = {"wake_up": "Good day, this is the hotel. What can I do for you?", "silence": "Are you still there?"}
ROLES = ("system", "user", "assistant")
FREE = {"friday": {"single": 2, "double": 0}, "saturday": {"single": 1, "double": 3}}

# Traces are sent to OpenAI, with all that callers say.
set_tracing_disabled(True)


@function_tool
def free_rooms(night: str) -> dict[str, int]:
    """Look up how many rooms are free on a night.

    Args:
        night: The day of the week.
    """
    return FREE.get(night.lower(), {})


@function_tool
def hang_up() -> str:
    """End the telephone call."""
    return ""


desk = Agent(
    name="desk",
    instructions=PROMPT,
    model=OpenAIChatCompletionsModel(os.environ.get("MODEL", "gpt-4.1-mini"), AsyncOpenAI(timeout=20)),
    tools=[free_rooms, hang_up],
    # Nothing is said after a goodbye.
    tool_use_behavior=StopAtTools(stop_at_tool_names=["hang_up"]),
)


async def reply(turn):
    if turn.kind in UNASKED:
        yield UNASKED[turn.kind]
        return
    told = [one for one in turn.history if one.role in ROLES and one.text]
    said = [{"role": one.role, "content": one.text} for one in told]
    over = False
    run = Runner.run_streamed(desk, said)
    try:
        async for event in run.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                yield event.data.delta
            elif event.type == "run_item_stream_event" and event.name == "tool_called":
                over |= event.item.raw_item.name == "hang_up"
    finally:
        # The run is a task of its own: left in the middle of a word by a caller who cuts in, it would go on to its end.
        run.cancel()
    if over:
        yield turn.hangup()
