"""The package at agent level: agents in one World, whose answers are stored, and which nobody watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.asking import Ask, Take
from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.components import ErrorComponent
from ecs_agent.providers import OpenAIProvider


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with OpenAIProvider(api_key="bench", base_url=base_url, model="bench") as provider:

        async def ask(streams: int, take: Take) -> Counter[str]:
            async with World() as world:
                agents = [spawn_agent(world, provider) for _ in range(streams)]
                for agent in agents:
                    append_message(world, agent.entity, "go")
                await Runner().run(world)
                for agent in agents:
                    take("".join(message.content or "" for message in agent.messages if message.role == "assistant"))
                return Counter(failure.error for _, (failure,) in world.query(ErrorComponent))

        yield ask
