"""A consumer that chose to hold producers back does: the model is read no faster than it reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.core import Block
from ecs_agent.testing import run
from ecs_agent.types import StreamDelta, StreamDeltaEvent


class Counting:
    """A provider that counts what was taken from it."""

    model = "counting"

    def __init__(self) -> None:
        self.taken = 0

    async def complete(self, messages: Any, **_: Any) -> AsyncIterator[StreamDelta]:
        return self._deltas()

    async def _deltas(self) -> AsyncIterator[StreamDelta]:
        for _ in range(1000):
            self.taken += 1
            yield StreamDelta(content="x")
        yield StreamDelta(finish_reason="stop", final=True)


def test_the_model_is_read_no_faster_than_the_consumer_reads() -> None:
    async def main() -> None:
        async with World() as world:
            provider, seen = Counting(), 0
            agent = spawn_agent(world, provider)
            append_message(world, agent.entity, "go")
            async with world.events(agent.entity, types=(StreamDeltaEvent,), policy=Block(limit=16)) as events:
                running = asyncio.ensure_future(Runner().run(world))
                async for fact in events:
                    seen += len(fact.payload.delta.content or "")
                    assert provider.taken <= seen + 16 + 64
                    await asyncio.sleep(0.01)
                    if fact.payload.delta.final:
                        break
            await running
            assert seen == 1000

    run(main)
