"""The package with one subscriber, who watches the events of the whole World."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from benchmarks.crew import Plan, Run, Take
from benchmarks.ours_crew import bare_watched as bare
from benchmarks.ours_crew import watched_crew
from ecs_agent import Agent, World
from ecs_agent.core import EventStream
from ecs_agent.types import EntityId, StreamDeltaEvent

__all__ = ["bare", "crew"]


async def _watch(events: EventStream, numbers: dict[EntityId, int], take: Take) -> None:
    async for envelope in events:
        event = envelope.payload
        if isinstance(event, StreamDeltaEvent) and event.delta.content:
            take(numbers[event.entity_id], event.delta.content)


@asynccontextmanager
async def watching(world: World, agents: Sequence[Agent], take: Take) -> AsyncIterator[None]:
    numbers = {agent.entity: number for number, agent in enumerate(agents)}
    async with world.events() as events:
        task = asyncio.create_task(_watch(events, numbers, take))
        yield
    await task


def crew(plan: Plan, take: Take) -> AbstractAsyncContextManager[Run]:
    return watched_crew(plan, take, watching)
