"""Components and short words for the tests of the scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.core.conftest import CountingLoop

from ecs_agent.core import Entity, Runner, RunResult, World, system
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


class Counting:
    """An entity system without a predicate: it runs once after each change."""

    def __init__(self) -> None:
        self.calls: list[EntityId] = []

    @system
    async def __call__(self, me: Entity, work: Work, style: Style | None) -> None:
        self.calls.append(me.id)


@dataclass(frozen=True)
class Happened:
    number: int = 0


@system
async def wait(work: Work) -> None:
    """Takes as many seconds as there is to do."""
    await asyncio.sleep(work.todo)


def loop_turns() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    return loop.turns


def change_later(seconds: float, change: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(seconds, change, *arguments)


class Noting:
    """A world system that notes when it ran, and does what it is given to do."""

    def __init__(self, log: list[Any], name: str = "world", act: Callable[[World], Awaitable[object]] | None = None) -> None:
        self.log = log
        self.__name__ = name
        self.act = act

    async def process(self, world: World) -> None:
        self.log.append(self.__name__)
        if self.act is not None:
            await self.act(world)


def entity_system(name: str, log: list[Any], seconds: Callable[[Work], float] = lambda _: 0.0) -> Any:
    @system
    async def one(me: Entity, work: Work) -> None:
        log.append(f"{name} {me.id} begins")
        await asyncio.sleep(seconds(work))
        log.append(f"{name} {me.id} ends")

    return named(one, name)


@dataclass(frozen=True)
class Said:
    text: str
