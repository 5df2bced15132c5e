"""The kernel: queries, ticks, idle worlds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.rows import Row
from ecs_agent import Entity, Runner, World, system
from ecs_agent.types import EntityId


@dataclass(slots=True)
class A:
    value: int = 0


@dataclass(slots=True)
class B:
    value: int = 0


def _best(function: Callable[[], object], rounds: int = 20) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def queries(entities: int = 100_000) -> list[Row]:
    """A query over many entities: clean, and after a change."""
    rows: list[Row] = []
    for share in (100, 2):
        world = World()
        created = [world.create_entity() for _ in range(entities)]
        for number, entity in enumerate(created):
            world.add_component(entity, A())
            if number % share == 0:
                world.add_component(entity, B())
        name = f"query {entities:,} entities, {100 / share:.0f} % match"
        rows.append(Row(f"{name}, clean", _best(partial(world.query, A, B)), "µs"))

        def changed(world: World = world, entity: EntityId = created[-1]) -> None:
            world.add_component(entity, A())
            world.query(A, B)

        rows.append(Row(f"{name}, after a change", _best(changed, 5), "µs"))
    return rows


@system
async def nothing(me: Entity, a: A) -> None:
    """Do nothing."""


class Nothing:
    """A world system that does nothing."""

    async def process(self, world: World) -> None:
        pass


def ticks() -> list[Row]:
    """A run in which each entity has one call to make, and ticks of ten systems that have nothing to do."""
    rows = [Row(f"one call of a no-op entity system, {n:,} entities", asyncio.run(_calls(n)), "µs CPU/call") for n in (1_000, 10_000)]
    for of, kind in (("entity", [system(_no_op()) for _ in range(10)]), ("world", [Nothing() for _ in range(10)])):
        for touched in (True, False) if of == "entity" else (True,):
            name = f"a tick of 10 no-op {of} systems{'' if touched else ', none of them due'}"
            rows.append(Row(name, min(asyncio.run(one_tick(kind, touched)) for _ in range(10)), "µs CPU/tick"))
    return rows


def _no_op() -> Callable[[Entity, A], Awaitable[None]]:
    async def nothing(me: Entity, a: A) -> None:
        """Do nothing."""

    return nothing


async def _calls(entities: int) -> float:
    world = World()
    world.register_system(nothing)
    for _ in range(entities):
        world.add_component(world.create_entity(), A())
    start = time.process_time()
    await Runner().run(world)
    return (time.process_time() - start) / entities * 1e6


async def one_tick(systems: Sequence[object], touched: bool, ticks: int = 500) -> float:
    """The time of `world.process()` with one entity; one that is touched before is due for all of its systems."""
    async with World() as world:
        for each in systems:
            world.register_system(each)
        entity = world.create_entity()
        world.add_component(entity, A())
        await world.process()
        spent = 0.0
        for _ in range(ticks):
            if touched:
                world.touch(entity, A)
            start = time.process_time()
            await world.process()
            spent += time.process_time() - start
    return spent / ticks * 1e6


def idle() -> list[Row]:
    """A world at rest, served for a second."""

    async def measure() -> float:
        async with World() as world:
            world.register_system(nothing)
            for _ in range(10_000):
                world.add_component(world.create_entity(), A())
            serving = asyncio.ensure_future(Runner().serve(world))
            await asyncio.sleep(3)  # a second after the start everyone is looked at once more
            start = time.process_time()
            await asyncio.sleep(1)
            spent = time.process_time() - start
        await serving
        return spent * 1e3

    return [Row("an idle world of 10,000 entities", asyncio.run(measure()), "ms CPU/s")]
