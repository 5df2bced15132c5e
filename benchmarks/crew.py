"""What contestants at the level of agents have in common: what each agent is answered, by a fake model in its own process.

It imports nothing but the standard library: it also runs in the environments of the peers. A contestant is a module with two functions: `bare`
reads one answer from its fake model as such; `crew` makes agents and gives a function that has all of them answered side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

T = TypeVar("T")
Take: TypeAlias = Callable[[int, str], object]
"""Takes a piece of text that has arrived, of the agent with this number."""
Run: TypeAlias = Callable[[], Awaitable[object]]
"""Has each agent answered once; what it returns holds what the agents remember, where nothing else does."""

PIECE = " token"
QUESTION = "2 + 3?"
ARGUMENTS = {"a": 2, "b": 3}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a crew.

    Args:
        agents: how many there are.
        deltas: how many pieces of text an answer has.
        read: after how many of them a stream lets go of the event loop, as one that waits for its socket does; 0 = never.
        latency: seconds before the first of them.
        tool: the model first asks for a tool, in a response of its own.
        apart: each agent is an object of its own, also where one could serve for all.
    """

    agents: int
    deltas: int = 1
    read: int = 0
    latency: float = 0.0
    tool: bool = False
    apart: bool = False

    @property
    def text(self) -> str:
        """The whole answer."""
        return PIECE * self.deltas


class Contestant(Protocol):
    """The module of a contestant."""

    def bare(self, plan: Plan, take: Take) -> Awaitable[None]:
        """Read one answer from the fake model."""
        ...

    def crew(self, plan: Plan, take: Take) -> AbstractAsyncContextManager[Run]:
        """Make the agents."""
        ...


async def paced(plan: Plan, values: Sequence[T]) -> AsyncIterator[T]:
    """The values of a stream, at the pace of a plan."""
    if plan.latency:
        await asyncio.sleep(plan.latency)
    left = plan.read
    for value in values:
        yield value
        left -= 1
        if not left:
            left = plan.read
            await asyncio.sleep(0)


def side_by_side(one: Callable[[int], Awaitable[object]], agents: int) -> Run:
    """Have each agent answered in a task of its own."""

    async def run() -> object:
        return await asyncio.gather(*[one(number) for number in range(agents)])

    return run
