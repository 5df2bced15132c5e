"""Saved worlds: what saving, loading, a committed step and a fork cost."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.contestants import MSGSPEC
from benchmarks.rows import Row
from ecs_agent import World, append_message
from ecs_agent.components import ConversationComponent
from ecs_agent.serialization import WorldSerializer
from ecs_agent.store import open_world
from ecs_agent.types import EntityId, Message, TextPart


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it is for the floor: as many objects as one of ours."""

    role: str
    parts: tuple[TextPart, ...]


ROUNDS = 7
TEXT = "This is a message of an ordinary length, as people and models write them; it has some sixteen words."


def _least(function: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The least CPU time of some rounds, in milliseconds."""
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        function()
        least = min(least, time.process_time() - start)
    return least * 1e3


def saving(agents: int = 1_000, messages: int = 50, steps: int = 10_000) -> list[Row]:
    """All of it."""
    return [*save_and_load(agents, messages), *committed_steps(steps), *forks()]


def save_and_load(agents: int, messages: int) -> list[Row]:
    """A world of many agents to a file and back, beside the same texts by msgspec alone."""
    world = World()
    for _ in range(agents):
        world.spawn(ConversationComponent([Message("user" if number % 2 == 0 else "assistant", TEXT) for number in range(messages)], messages))
    plain = [[Said("user" if number % 2 == 0 else "assistant", (TextPart(TEXT),)) for number in range(messages)] for _ in range(agents)]
    decode = msgspec.json.Decoder(list[list[Said]]).decode
    name = f"{{}} {agents:,} agents of {messages} messages"
    with tempfile.TemporaryDirectory() as folder:
        ours, floor = Path(folder) / "world.json", Path(folder) / "plain.json"
        pairs = {
            "save": (lambda: WorldSerializer.save(world, ours), lambda: floor.write_bytes(msgspec.json.encode(plain))),
            "load": (lambda: WorldSerializer.load(ours), lambda: decode(floor.read_bytes())),
        }
        rows: list[Row] = []
        is_ours = not gc.get_freeze_count()
        gc.collect()
        if is_ours:
            gc.freeze()  # what was there before is not looked through again and again by the collector, which cost the floor more than its work
        for what, (own, bare) in pairs.items():
            own_ms, bare_ms = _least(own), _least(bare)
            rows.append(Row(name.format(what), own_ms, "ms CPU", own_ms / bare_ms))
            rows.append(Row(name.format(what), bare_ms, "ms CPU", 1.0, MSGSPEC.name))
        if is_ours:
            gc.unfreeze()
    return rows


def committed_steps(steps: int) -> list[Row]:
    """A message that is appended and committed, in a store that is new and in one that has grown."""

    async def measure() -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            async with open_world(Path(folder) / "steps.db") as world:
                entity = world.spawn(ConversationComponent(max_messages=steps))
                early = await _step(world, entity, steps // 20)
                await _step(world, entity, steps - steps // 10)
                return early, await _step(world, entity, steps // 20)

    early, late = asyncio.run(measure())
    return [
        Row(f"a committed step in the journal, the first {steps // 20:,}", early, "µs CPU/step"),
        Row(f"a committed step in the journal, after {steps - steps // 20:,}", late, "µs CPU/step"),
    ]


async def _step(world: World, entity: EntityId, steps: int, rounds: int = 5) -> float:
    """What one costs, in microseconds: in the cheapest of some rounds."""
    each, least = max(1, steps // rounds), float("inf")
    for _ in range(min(rounds, steps)):
        start = time.process_time()
        for _ in range(each):
            append_message(world, entity, Message("assistant", TEXT))
            await world.commit()
        least = min(least, (time.process_time() - start) / each * 1e6)
    return least


def forks(messages: int = 1_000, rounds: int = 200) -> list[Row]:
    """An agent once more, with its conversation."""

    async def measure(new_world: Callable[[], World]) -> float:
        async with new_world() as world:
            entity = world.spawn(ConversationComponent([Message("user", TEXT)] * messages))
            return _least(partial(world.fork, entity), rounds) * 1e3

    name = f"a fork of an agent of {messages:,} messages"
    return [
        Row(name, asyncio.run(measure(World)), "µs CPU"),
        Row(f"{name}, with a journal", asyncio.run(measure(open_world)), "µs CPU"),
    ]
