"""No agent starves: floods share the loop evenly, and a flood does not hold up those who wait for the clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.testing import run
from ecs_agent.types import StreamDelta

DELTAS = 2_000


class Flood:
    """A provider that never makes anybody wait, and counts how far each of its streams was read."""

    model = "flood"

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.first_done: dict[str, int] = {}

    async def complete(self, messages: Any, **_: Any) -> AsyncIterator[StreamDelta]:
        return self._deltas(messages[-1].content)

    async def _deltas(self, who: str) -> AsyncIterator[StreamDelta]:
        for _ in range(DELTAS):
            self.read[who] += 1
            yield StreamDelta(content="x")
        if not self.first_done:
            self.first_done = dict(self.read)
        yield StreamDelta(finish_reason="stop", final=True)


def test_streams_that_never_wait_make_the_same_progress() -> None:
    async def main() -> None:
        async with World() as world:
            provider = Flood()
            for number in range(100):
                append_message(world, spawn_agent(world, provider).entity, str(number))
            await Runner().run(world)
            progress = provider.first_done.values()
            assert len(progress) == 100
            assert min(progress) >= DELTAS - 64  # one share of the loop behind at most

    run(main)


def test_a_flood_lets_the_clock_be_heard() -> None:
    async def main() -> None:
        async with World() as world:
            provider, ticks = Flood(), 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0)
                    ticks += 1

            append_message(world, spawn_agent(world, provider).entity, "only")
            ticking = asyncio.ensure_future(tick())
            await Runner().run(world)
            ticking.cancel()
            assert ticks >= DELTAS // 64

    run(main)
