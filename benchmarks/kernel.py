"""The kernel and the agent loop: queries, idle worlds, turns, and what an agent adds to a delta."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.rows import Row
from ecs_agent import Entity, Runner, World, append_message, spawn_agent, system, tool
from ecs_agent.core import EventStream
from ecs_agent.types import EntityId, Message, StreamDelta, ToolCall, Usage


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


class Scripted:
    """An in-process provider that costs as little as possible."""

    model = "bench"

    def __init__(self, answers: Callable[[Sequence[Message]], list[StreamDelta]]) -> None:
        self._answers = answers

    async def complete(self, messages: Sequence[Message], **_: Any) -> Any:
        async def deltas() -> AsyncIterator[StreamDelta]:
            for delta in self._answers(messages):
                yield delta

        return deltas()


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _tool_then_text(messages: Sequence[Message]) -> list[StreamDelta]:
    if messages[-1].role == "tool":
        return [StreamDelta(content="5", finish_reason="stop", final=True)]
    return [StreamDelta(tool_calls=[ToolCall("c", "add", {"a": 2, "b": 3})], finish_reason="tool_calls", usage=Usage(1, 1, 2), final=True)]


async def _turns(agents: int) -> tuple[float, float]:
    provider = Scripted(_tool_then_text)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with World() as world:
        spawned = [spawn_agent(world, provider, tools=[add]) for _ in range(agents)]
        memory = (tracemalloc.get_traced_memory()[0] - before) / agents
        tracemalloc.stop()
        for agent in spawned:
            append_message(world, agent.entity, "2 + 3?")
        start = time.process_time()
        await Runner().run(world)
        return (time.process_time() - start) / agents * 1e6, memory


def turns() -> list[Row]:
    """A run of two turns with a tool call in between, without a network."""
    rows: list[Row] = []
    for agents in (100, 1_000, 5_000):
        cpu, memory = asyncio.run(_turns(agents))
        rows.append(Row(f"a run with one tool call, {agents:,} agents", cpu, "µs CPU/agent"))
        rows.append(Row(f"memory of an agent at rest, {agents:,} agents", memory, "bytes"))
    return rows


async def _watch(events: EventStream) -> None:
    async for _ in events:
        pass


async def _deltas(agents: int, deltas: int, watched: bool) -> float:
    pieces = [StreamDelta(content=" token") for _ in range(deltas)]
    pieces.append(StreamDelta(finish_reason="stop", final=True))
    provider = Scripted(lambda _: pieces)

    async def alone() -> None:
        async for _ in await provider.complete([]):
            pass

    start = time.process_time()
    for _ in range(agents):
        await alone()
    bare = time.process_time() - start
    async with World() as world:
        for _ in range(agents):
            append_message(world, spawn_agent(world, provider).entity, "go")
        events = world.events()
        watching = asyncio.create_task(_watch(events)) if watched else None
        if watching is None:
            events.close()
        start = time.process_time()
        await Runner().run(world)
        events.close()
        if watching is not None:
            await watching
        spent = time.process_time() - start
    return (spent - bare) / (agents * deltas) * 1e6


def delta_cost() -> list[Row]:
    """What an agent adds to the provider's cost of a delta."""
    return [
        Row(
            f"what {agents:,} {'agents add' if agents > 1 else 'agent adds'}, {'one subscriber' if watched else 'no subscriber'}",
            asyncio.run(_deltas(agents, 200_000 // agents, watched)),
            "µs CPU/delta",
        )
        for agents in (1, 1_000, 5_000)
        for watched in (False, True)
    ]


@system
async def nothing(me: Entity, a: A) -> None:
    """Do nothing."""


def ticks() -> list[Row]:
    """A run in which each entity has one call to make."""

    async def measure(entities: int) -> float:
        world = World()
        world.register_system(nothing)
        for _ in range(entities):
            world.add_component(world.create_entity(), A())
        start = time.process_time()
        await Runner().run(world)
        return (time.process_time() - start) / entities * 1e6

    return [Row(f"one call of a no-op entity system, {n:,} entities", asyncio.run(measure(n)), "µs CPU/call") for n in (1_000, 10_000)]


def idle() -> list[Row]:
    """A world at rest, served for a second."""

    async def measure() -> float:
        async with World() as world:
            world.register_system(nothing)
            for _ in range(10_000):
                world.add_component(world.create_entity(), A())
            serving = asyncio.ensure_future(Runner().serve(world))
            await asyncio.sleep(1)
            start = time.process_time()
            await asyncio.sleep(1)
            spent = time.process_time() - start
        await serving
        return spent * 1e3

    return [Row("an idle world of 10,000 entities", asyncio.run(measure()), "ms CPU/s")]
