"""Hello: an agent is an entity in a World, and its answer streams."""

import asyncio

from ecs_agent import TextDelta, World, spawn_agent
from ecs_agent.providers import FakeProvider


async def main() -> None:
    provider = FakeProvider(["Hello! I am an entity, and these letters are a stream."])
    async with World() as world:
        agent = spawn_agent(world, provider, system_prompt="Be brief.")
        async for event in agent.run("Who are you?"):
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)
    print()


asyncio.run(main())
