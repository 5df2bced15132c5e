"""Errors: what had arrived is kept, and the same agent answers the next time."""

import asyncio

from ecs_agent import ProviderError, World, spawn_agent
from ecs_agent.errors import RateLimitError
from ecs_agent.providers import FakeProvider


async def main() -> None:
    provider = FakeProvider([RateLimitError("the server asks to wait 2 seconds", retry_after=2.0), "Now it works."])
    async with World() as world:
        agent = spawn_agent(world, provider)
        for question in ("Hello?", "And now?"):
            try:
                print(await agent.ask(question))
            except ProviderError as error:
                print(f"{error.kind}: {error} (retryable: {error.retryable})")


asyncio.run(main())
