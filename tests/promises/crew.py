"""A crew for the promises: agents that talk and call tools, each by a script and a timetable of its own, and ways in which an agent goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from ecs_agent import Agent, Entity, World, spawn_agent, system, tool
from ecs_agent.components import ConversationComponent
from ecs_agent.core import LoopClock
from ecs_agent.errors import StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.types import EntityId, StreamDelta, ToolCall, Usage


@tool
async def look_up(word: str, seconds: float) -> str:
    """Takes its time, then answers."""
    await asyncio.sleep(seconds)
    return f"{word} was found"


@tool
async def leave() -> str:
    """Tries to end the process."""
    raise SystemExit(1)


@tool
async def cancel_myself() -> str:
    """Cancels the task it runs in."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return "never"


@tool
async def stay() -> str:
    """Swallows its cancel for a while."""
    for _ in range(20):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            continue
    return "late"


def healthy(world: World, number: int) -> Agent:
    """One of those who do their work."""
    draw = Random(number)
    answers: list[Any] = []
    for turn in range(draw.randint(1, 3)):
        call = ToolCall(f"c{number}-{turn}", "look_up", {"word": f"word {number}.{turn}", "seconds": draw.uniform(0, 0.3)})
        answers.append(Script("let me see ", tool_calls=[call], usage=Usage(10, 5, 15)))
    answers.append(Script(f"agent {number} says " + "so " * draw.randint(5, 30), usage=Usage(20, 30, 50)))
    return spawn_agent(world, FakeProvider(answers, delay=draw.uniform(0.001, 0.02), by="word"), tools=[look_up], temperature=number / 100)


class Endless:
    """A provider whose answers never end well."""

    model = "endless"

    def __init__(self, deltas: Callable[[], AsyncIterator[StreamDelta]]) -> None:
        self._deltas = deltas

    async def complete(self, messages: Any, **_: Any) -> AsyncIterator[StreamDelta]:
        return self._deltas()


async def _flood() -> AsyncIterator[StreamDelta]:
    for _ in range(5_000):
        yield StreamDelta(content="flood ")
    yield StreamDelta(finish_reason="stop", final=True)


async def _silence() -> AsyncIterator[StreamDelta]:
    yield StreamDelta(content="I think")
    await asyncio.sleep(1e9)


async def _calls_for_ever() -> AsyncIterator[StreamDelta]:
    yield StreamDelta(tool_calls=[ToolCall("again", "look_up", {"word": "x", "seconds": 0.0})], finish_reason="tool_calls", final=True)


async def _exit() -> AsyncIterator[StreamDelta]:
    yield StreamDelta(content="bye")
    raise SystemExit(3)


async def _cancels() -> AsyncIterator[StreamDelta]:
    yield StreamDelta(content="oh")
    raise asyncio.CancelledError


async def _breaks() -> AsyncIterator[StreamDelta]:
    yield StreamDelta(content="half")
    raise StreamInterruptedError("the connection was lost")


def _asks(name: str) -> FakeProvider:
    return FakeProvider([Script(tool_calls=[ToolCall("c", name, {})]), Script("done")], delay=0.001)


@dataclass(slots=True)
class Bomb:
    """What a broken system of the application works on."""

    fuse: int = 0


@system(priority=1)
async def explode(me: Entity, bomb: Bomb, conversation: ConversationComponent) -> None:
    """A system of the application that destroys its own agent's state and then fails."""
    conversation.messages.clear()
    await asyncio.sleep(0.01)
    raise LookupError("boom")


FAILURES: dict[str, Callable[[World], Agent]] = {
    "the stream breaks": lambda world: spawn_agent(world, Endless(_breaks)),
    "the provider hangs": lambda world: spawn_agent(world, Endless(_silence)),
    "the provider exits": lambda world: spawn_agent(world, Endless(_exit)),
    "the provider cancels": lambda world: spawn_agent(world, Endless(_cancels)),
    "the provider floods": lambda world: spawn_agent(world, Endless(_flood)),
    "tools are called for ever": lambda world: spawn_agent(world, Endless(_calls_for_ever), tools=[look_up]),
    "a tool exits": lambda world: spawn_agent(world, _asks("leave"), tools=[leave]),
    "a tool cancels": lambda world: spawn_agent(world, _asks("cancel_myself"), tools=[cancel_myself]),
    "a tool swallows its cancel": lambda world: spawn_agent(world, _asks("stay"), tools=[stay]),
    "a system explodes": lambda world: _with_bomb(spawn_agent(world, _asks("nothing"))),
}


def _with_bomb(agent: Agent) -> Agent:
    agent.world.add_component(agent.entity, Bomb())
    return agent


def new_world(seed: int = 1) -> World:
    """A world on the loop's time, with the broken system in it."""
    world = World(clock=LoopClock(), rng=Random(seed))
    world.register_system(explode)
    return world


def log_of(world: World, entity: EntityId) -> list[tuple[Any, ...]]:
    """An entity's own log, without the places in the world's and the times."""
    return [
        (fact.seq, fact.run, fact.turn, fact.attempt, fact.kind, fact.type, repr(fact.payload)) for fact in world.log.read() if fact.entity == entity
    ]
