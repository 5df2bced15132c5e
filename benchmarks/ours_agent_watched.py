"""The package at agent level with one subscriber, who watches the events of the whole World."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.asking import Ask, Take
from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.components import ErrorComponent
from ecs_agent.core import EventStream
from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import StreamDeltaEvent


async def _watch(events: EventStream, take: Take) -> None:
    async for envelope in events:
        event = envelope.payload
        if isinstance(event, StreamDeltaEvent) and event.delta.content:
            take(event.delta.content)


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with OpenAIProvider(api_key="bench", base_url=base_url, model="bench") as provider:

        async def ask(streams: int, take: Take) -> Counter[str]:
            async with World() as world, world.events() as events:
                watching = asyncio.create_task(_watch(events, take))
                for _ in range(streams):
                    append_message(world, spawn_agent(world, provider).entity, "go")
                await Runner().run(world)
                events.close()
                await watching
                return Counter(failure.error for _, (failure,) in world.query(ErrorComponent))

        yield ask
