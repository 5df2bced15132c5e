"""Cancelling: leaving the block stops the model; what was said is kept and marked, and the conversation goes on."""

import asyncio

from ecs_agent import TextDelta, World, spawn_agent
from ecs_agent.providers import FakeProvider


async def main() -> None:
    provider = FakeProvider(["Once upon a time there was a very long story.", "Gladly."])
    async with World() as world:
        agent = spawn_agent(world, provider)
        said = ""
        async with agent.run("Tell me a story.") as run:
            async for event in run:
                if isinstance(event, TextDelta):
                    said += event.text
                if said.endswith("time"):
                    break
        last = agent.messages[-1]
        print(repr(last.content), "interrupted:", last.interrupted)
        print(await agent.ask("Something shorter, please."))


asyncio.run(main())
