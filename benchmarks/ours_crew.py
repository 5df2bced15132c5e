"""The package: agents in one World, whose answers become state and log, and which nobody watches.

The other two ways, one subscriber to the whole World and a live consumer for each agent, stand in files of their own; they differ in `watching`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

from benchmarks.crew import ARGUMENTS, PIECE, QUESTION, Plan, Run, Take, paced
from ecs_agent import Agent, Runner, World, append_message, spawn_agent, tool
from ecs_agent.types import Message, StreamDelta, ToolCall, Usage


class Fake:
    """A model in this process that costs as little as possible: what it says was made beforehand."""

    model = "bench"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._answer = [*[StreamDelta(content=PIECE)] * plan.deltas, StreamDelta(finish_reason="stop", usage=Usage(1, 1, 2), final=True)]
        call = ToolCall("c", "add", ARGUMENTS)
        self._request = [StreamDelta(tool_calls=[call], finish_reason="tool_calls", usage=Usage(1, 1, 2), final=True)]

    async def complete(self, messages: Sequence[Message], **_: Any) -> Any:
        asks = self._plan.tool and messages[-1].role != "tool"
        return paced(self._plan, self._request if asks else self._answer)


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Watching(Protocol):
    """How the agents of a world are watched while they run."""

    def __call__(self, world: World, agents: Sequence[Agent], take: Take) -> AbstractAsyncContextManager[None]: ...


async def bare(plan: Plan, take: Take) -> None:
    async for _ in await Fake(plan).complete([Message("user", QUESTION)]):
        pass
    take(0, plan.text)


async def bare_watched(plan: Plan, take: Take) -> None:
    async for delta in await Fake(plan).complete([Message("user", QUESTION)]):
        if delta.content:
            take(0, delta.content)


@asynccontextmanager
async def watched_crew(plan: Plan, take: Take, watching: Watching | None, new_world: Callable[[], World] = World) -> AsyncIterator[Run]:
    provider = Fake(plan)
    async with new_world() as world:
        agents = [spawn_agent(world, provider, tools=[add] if plan.tool else []) for _ in range(plan.agents)]

        async def run() -> None:
            async with watching(world, agents, take) if watching else nullcontext():
                for agent in agents:
                    append_message(world, agent.entity, QUESTION)
                await Runner().run(world)
            await world.commit()
            for number, agent in enumerate(agents):
                answer = agent.messages[-1].content
                if watching is None:
                    take(number, answer)
                elif answer != plan.text:
                    raise AssertionError(f"agent {number} holds {len(answer)} characters of {len(plan.text)}")

        yield run


def crew(plan: Plan, take: Take) -> AbstractAsyncContextManager[Run]:
    return watched_crew(plan, take, None)
