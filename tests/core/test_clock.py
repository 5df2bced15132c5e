"""Clocks: two readings, from the machine or from the running loop."""

from __future__ import annotations

import asyncio
import time

from ecs_agent.core import Clock, LoopClock, SystemClock, World
from ecs_agent.core.row import EntityIdGenerator


def test_the_system_clock_reads_utc_nanoseconds_and_monotonic_seconds() -> None:
    clock: Clock = SystemClock()
    before, now, after = time.time_ns(), clock.now(), time.time_ns()
    assert before <= now <= after
    assert clock.monotonic() <= clock.monotonic()


async def test_the_loop_clock_is_the_time_of_the_loop_so_a_virtual_loop_gives_the_same_records_each_time() -> None:
    clock: Clock = LoopClock(start=5_000)
    assert clock.now() == 5_000 + round(asyncio.get_running_loop().time() * 1e9)
    begun, began = clock.monotonic(), clock.now()
    await asyncio.sleep(1.5)
    assert clock.monotonic() - begun == 1.5
    assert clock.now() - began == 1_500_000_000


async def test_facts_and_leases_read_the_clock_of_their_world() -> None:
    class Stopped:
        def now(self) -> int:
            return 42

        def monotonic(self) -> float:
            return 4.2

    world = World(clock=Stopped(), ids=EntityIdGenerator(start=7))
    entity = world.create_entity()
    assert entity == 7
    assert [fact.time for fact in world.log.read()] == [42]
