"""A pipeline of Pipecat with its OpenAILLMService: writes a line of JSON for each thing that happens.

Run by the Python that has pipecat-ai, as ``pipecat_bot.py ADDRESS KEY MODE``.
"""

# What it imports is in an environment of its own, not in the one that is checked.
# mypy: disable-error-code="import-not-found,misc"

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from loguru import logger
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    EndFrame,
    InterruptionFrame,
    InterruptionWorkerFrame,
    LLMContextFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.workers.runner import WorkerRunner
from typing_extensions import override

calls: list[dict[str, str]] = []


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class Screen(FrameProcessor):
    """Where the caller reads; with ``leave``, cuts in after the first words."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.text = ""

    @override
    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.text += frame.text
            say(delta=frame.text)
            if self.mode == "leave":
                await self.push_frame(InterruptionWorkerFrame(), direction.UPSTREAM)
        elif isinstance(frame, InterruptionFrame):
            say(left=True)
        await self.push_frame(frame, direction)


async def end_call(params: Any) -> None:
    """End the pipeline once all that is in it has come through."""
    calls.append({"name": params.function_name, "arguments": json.dumps(dict(params.arguments))})
    await params.llm.push_frame(EndFrame())
    await params.pipeline_worker.stop_when_done()


async def main(address: str, key: str, mode: str) -> None:
    """Ask once; with ``leave``, interrupt after the first words and live on."""
    logger.remove()
    llm = OpenAILLMService(base_url=address, api_key=key, settings=OpenAILLMService.Settings(model="m"))
    llm.register_function("end_call", end_call)
    tool = FunctionSchema(name="end_call", description="End the telephone call.", properties={}, required=[])
    context = LLMContext([{"role": "user", "content": "hello and bye"}], tools=[tool])
    screen = Screen(mode)
    worker = PipelineWorker(Pipeline([llm, screen]), cancel_on_idle_timeout=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await worker.queue_frame(LLMContextFrame(context))
    await runner.run()
    say(text=screen.text, calls=calls)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
