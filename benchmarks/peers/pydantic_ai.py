"""pydantic-ai: an agent's run, streamed as text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from pydantic_ai import Agent  # type: ignore[import-not-found]  # stands in an environment of its own
from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found]  # likewise
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]  # likewise

from benchmarks.asking import Ask, Take, each


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(api_key="bench", base_url=base_url) as client:
        agent = Agent(OpenAIChatModel("bench", provider=OpenAIProvider(openai_client=client)))

        async def one(take: Take) -> None:
            async with agent.run_stream("go") as result:
                async for text in result.stream_text(delta=True, debounce_by=None):
                    take(text)

        yield each(one)
