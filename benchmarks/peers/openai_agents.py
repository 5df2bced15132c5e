"""openai-agents: an agent's run over chat completions, its text deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents import Agent, OpenAIChatCompletionsModel, Runner  # type: ignore[import-not-found]  # stands in an environment of its own
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from benchmarks.asking import Ask, Take, each


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(api_key="bench", base_url=base_url) as client:
        agent = Agent(name="bench", model=OpenAIChatCompletionsModel(model="bench", openai_client=client))

        async def one(take: Take) -> None:
            async for event in Runner.run_streamed(agent, "go").stream_events():
                if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                    take(event.data.delta)

        yield each(one)
