"""Components and short words for the tests of the scheduler."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ecs_agent.core import Runner, RunResult, World
from ecs_agent.types import EntityId

T = TypeVar("T")

GRACE = 0.5
"""Seconds of virtual time after which the tests give up on a call that will not end."""


@dataclass(slots=True)
class Work:
    """What most systems here work on."""

    todo: int = 0
    done: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Style:
    name: str = "plain"


@dataclass(slots=True)
class Ban:
    """Keeps systems away that say so."""


def spawn(world: World, *components: object) -> EntityId:
    """An entity with components."""
    entity = world.create_entity()
    for component in components:
        world.add_component(entity, component)
    return entity


async def run(world: World, max_ticks: int | None = None, *, deadline: float | None = None) -> RunResult:
    """A run with little patience."""
    return await Runner(grace=GRACE).run(world, max_ticks, deadline=deadline)


async def begin(world: World) -> asyncio.Task[RunResult]:
    """A run in the background, after its first calls have begun."""
    task = asyncio.ensure_future(run(world))
    await turns(5)
    return task


async def turns(count: int) -> None:
    """Let the loop turn that often."""
    for _ in range(count):
        await asyncio.sleep(0)


def now() -> float:
    """Seconds of virtual time."""
    return asyncio.get_running_loop().time()


def told(world: World, kind: type[T]) -> list[T]:
    """The events of a type so far."""
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, kind)]


def named(system: Any, name: str) -> Any:
    """Give a system a name for the messages."""
    system.__name__ = name
    return system
