"""The telephone of a hairdresser, answered by a graph of LangGraph.

  pip install offhook -r requirements.txt
  OPENAI_API_KEY=sk-... offhook serve agent.py:reply

OPENAI_BASE_URL names another service than OpenAI's, MODEL another model.
"""

import os
from contextlib import aclosing

from langchain_core.messages import AIMessageChunk, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

PROMPT = "You answer the telephone of a hairdresser. Say one or two sentences. At the end say goodbye and hang up."
# What is said when the caller has said nothing.
UNASKED = {"wake_up": "Hello, this is the hairdresser's. What can I do for you?", "silence": "Are you still there?"}
ROLES = ("system", "user", "assistant")
FREE = {"monday": ["nine", "half past two"], "tuesday": [], "wednesday": ["eleven"]}


@tool
def free_times(day: str) -> list[str]:
    """Look up when a haircut is possible on a day of the week."""
    return FREE.get(day.lower(), [])


@tool
def hang_up() -> None:
    """End the telephone call."""


model = ChatOpenAI(model=os.environ.get("MODEL", "gpt-4.1-mini"), timeout=20).bind_tools([free_times, hang_up])


async def think(state: MessagesState) -> dict:
    return {"messages": [await model.ainvoke([SystemMessage(PROMPT), *state["messages"]])]}


def after(state: MessagesState) -> str:
    """Tell what follows the model's words: nothing after a goodbye."""
    names = {call["name"] for call in state["messages"][-1].tool_calls}
    return "tools" if names and "hang_up" not in names else END


builder = StateGraph(MessagesState)
builder.add_node("think", think)
builder.add_node("tools", ToolNode([free_times]))
builder.add_edge(START, "think")
builder.add_conditional_edges("think", after, ["tools", END])
builder.add_edge("tools", "think")
graph = builder.compile()


async def reply(turn):
    if turn.kind in UNASKED:
        yield UNASKED[turn.kind]
        return
    said = [(one.role, one.text) for one in turn.history if one.role in ROLES and one.text]
    over = False
    # When the caller cuts in, the stream is closed with the turn, and with it the request to the model.
    async with aclosing(graph.astream({"messages": said}, stream_mode="messages")) as chunks:
        async for chunk, _ in chunks:
            if isinstance(chunk, AIMessageChunk):
                over |= any(call["name"] == "hang_up" for call in chunk.tool_call_chunks)
                if chunk.text:
                    yield str(chunk.text)
    if over:
        yield turn.hangup()
