"""The package `ecs-agent` 0.1.0, whose import name this project shares: its model's completion, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.asking import Ask, Take, each
from ecs_agent.providers import ApiFormat, OpenAIModel, ProviderConfig  # type: ignore[attr-defined]  # its names, not ours
from ecs_agent.types import Message


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    model = OpenAIModel(ProviderConfig("bench", base_url, "bench", ApiFormat.OPENAI_CHAT_COMPLETIONS), model="bench")

    async def one(take: Take) -> None:
        async for delta in await model.complete([Message(role="user", content="go")], stream=True):
            if delta.content:
                take(delta.content)

    yield each(one)
