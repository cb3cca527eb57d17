"""The node against the vendor page's own sample server, run verbatim from the page's text."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from offhook.node import Call, LLMNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Serves the page's Flask app on a free port; its own __main__ block has a fixed one and a reloader.
SERVE = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
sys.path.insert(0, sys.argv[1])
from sample import API_KEY, app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, API_KEY, flush=True)
server.serve_forever()
"""


@pytest.fixture
def sample(shared: Path, tmp_path: Path) -> Path:
    """Give a folder with the sample server as sample.py, letter by letter as the page has it."""
    page = shared / "seed" / "llm-standard-interface.txt"
    if not page.is_file():
        pytest.skip("the vendor's page is absent: seed/llm-standard-interface.txt in the shared folder")
    text = page.read_text(encoding="utf-8")
    (tmp_path / "sample.py").write_text(text[text.index("import json\n") :] + "\n", encoding="utf-8")
    return tmp_path


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Run the sample server in a process of its own; gives its base URL and key."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", SERVE, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        port, key = (await process.stdout.readline()).decode().split()
        yield f"http://127.0.0.1:{port}/v1", key
    finally:
        process.kill()
        await process.communicate()


async def test_the_sample_server_is_understood(sample: Path) -> None:
    """Against the page's sample the node speaks the whole text, issues one hangup, and the agent ends the call."""
    pieces: list[str] = []
    async with serving(sample) as (base_url, key), LLMNode("abc", key, base_url + "?task_id=1&room_id=2") as node:
        call = Call(node, caller="13800000001", callee="13800000002", user_data='{"aaaa":"bbbb"}', pace=False)
        turn = await call.say("明天天氣怎麼樣?", on_piece=pieces.append)
        async with LLMNode("abc", "wrong", base_url) as stranger:
            refused = await Call(stranger, pace=False).say("hello")
    answer = turn.answer
    assert "".join(pieces) == turn.text == turn.heard
    assert turn.text == "這是一個類比的AI助手流式響應。實際應用中,這裡應該調用真實的AI模型。"
    assert len(pieces) == len(turn.text)
    assert [call.name for call in answer.tool_calls] == ["hangup"]
    assert (answer.hangup, answer.finish_reason, answer.done, answer.error) == (True, "stop", True, None)
    assert call.ended == "agent"
    assert str(refused.answer.error) == "the endpoint answered 401: Unauthorized"
