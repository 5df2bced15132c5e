"""The package at provider level: `async for` over the deltas of a completion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.asking import Ask, Take, each
from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import Message


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with OpenAIProvider(api_key="bench", base_url=base_url, model="bench") as provider:

        async def one(take: Take) -> None:
            async for delta in await provider.complete([Message("user", "go")], stream=True):
                if delta.content:
                    take(delta.content)

        yield each(one)
