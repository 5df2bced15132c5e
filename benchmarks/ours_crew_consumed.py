"""The package with a live consumer for each agent: a task of its own that iterates over the events of that agent alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from benchmarks.crew import Plan, Run, Take
from benchmarks.ours_crew import bare_watched as bare
from benchmarks.ours_crew import watched_crew
from ecs_agent import Agent, World
from ecs_agent.core import EventStream
from ecs_agent.types import StreamDeltaEvent

__all__ = ["bare", "crew"]


async def _consume(events: EventStream, number: int, take: Take) -> None:
    async for envelope in events:
        event = envelope.payload
        if isinstance(event, StreamDeltaEvent) and event.delta.content:
            take(number, event.delta.content)


@asynccontextmanager
async def watching(world: World, agents: Sequence[Agent], take: Take) -> AsyncIterator[None]:
    streams = [world.events(agent.entity) for agent in agents]
    tasks = [asyncio.create_task(_consume(events, number, take)) for number, events in enumerate(streams)]
    yield
    for events in streams:
        events.close()
    await asyncio.gather(*tasks)


def crew(plan: Plan, take: Take) -> AbstractAsyncContextManager[Run]:
    return watched_crew(plan, take, watching)
