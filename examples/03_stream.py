"""A provider on its own: deltas as they arrive, then the finish reason and the usage."""

import asyncio

from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import Message


async def main() -> None:
    async with OpenAIProvider() as provider:  # OPENAI_API_KEY, OPENAI_BASE_URL and LLM_MODEL from the environment
        stream = await provider.complete([Message("user", "Tell me a short story.")], stream=True)
        async with stream:
            async for delta in stream:
                if delta.content:
                    print(delta.content, end="", flush=True)
                if delta.finish_reason:
                    print(f"\n[{delta.finish_reason}, {delta.usage.total_tokens if delta.usage else 'unknown'} tokens]")
        print(stream.timing)


asyncio.run(main())
