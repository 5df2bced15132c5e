"""Changes in place that a signature did not announce are found, and are still the call's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ecs_agent.core import ComponentChanged, Read, Runner, World, system


@dataclass(slots=True)
class Number:
    value: int = 0


async def test_writing_what_was_only_to_be_read_is_found_and_does_not_spin() -> None:
    calls = 0

    @system
    async def careless(number: Read[Number]) -> None:
        nonlocal calls
        calls += 1
        number.value += 1

    world = World()
    world.register_system(careless)
    entity = world.create_entity()
    world.add_component(entity, Number())
    await asyncio.wait_for(Runner().run(world), 5)
    assert calls == 1
    assert [e.payload for e in world.log.read() if isinstance(e.payload, ComponentChanged)] == [ComponentChanged(entity, Number(1))]
