"""Many agents in one world, none of which waits for another, watched as one stream of events."""

import asyncio
import time

from ecs_agent import World, spawn_agent
from ecs_agent.providers import FakeProvider
from ecs_agent.types import StreamEndEvent


async def main() -> None:
    async with World() as world:
        crew = [spawn_agent(world, FakeProvider([f"Report {number}: all is well."], by="chunk", delay=0.02)) for number in range(200)]
        done = 0

        async def count(_: StreamEndEvent) -> None:
            nonlocal done
            done += 1

        world.event_bus.subscribe(StreamEndEvent, count)
        start = time.perf_counter()
        reports = await asyncio.gather(*[agent.ask("Report!") for agent in crew])
        print(f"{done} agents, the last said {reports[-1]!r}, together {time.perf_counter() - start:.2f} s")


asyncio.run(main())
