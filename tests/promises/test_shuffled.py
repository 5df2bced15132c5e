"""Agents that share nothing do the same in whatever order they take turns; those that share something are found by an order that changes it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

import pytest
from tests.promises.crew import healthy, log_of, look_up, new_world

from ecs_agent import Agent, Runner, World, append_message, spawn_agent, tool
from ecs_agent.core import MemoryLog
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.testing import run, run_shuffled
from ecs_agent.types import ToolCall, Usage

AGENTS = 50
SEEDS = range(20)

Crew = Callable[[World], list[Agent]]
T = TypeVar("T")
Logs = list[list[tuple[Any, ...]]]

pytestmark = pytest.mark.no_cover  # what is run here so many times is covered elsewhere


def in_step(world: World, number: int) -> Agent:
    """One of those who do everything at the same moments as all others, so that each order is theirs to take."""
    call = ToolCall(f"c{number}", "look_up", {"word": f"word {number}", "seconds": 0.1})
    answers = [Script("let me see ", tool_calls=[call], usage=Usage(10, 5, 15)), Script(f"agent {number} says so")]
    return spawn_agent(world, FakeProvider(answers, delay=0.01, by="word"), tools=[look_up])


def counting(world: World) -> list[Agent]:
    """They share a number."""
    taken = count(1)

    @tool
    async def draw_a_number() -> str:
        """Counts all who asked."""
        return f"You are number {next(taken)}."

    def agent(number: int) -> Agent:
        answers = [Script(tool_calls=[ToolCall(f"c{number}", "draw_a_number", {})]), Script("Thank you.")]
        return spawn_agent(world, FakeProvider(answers, delay=0.01), tools=[draw_a_number])

    return [agent(number) for number in range(AGENTS)]


def one_provider(world: World) -> list[Agent]:
    """They share a list of answers: who asks first gets the first."""
    provider = FakeProvider([f"answer {number}" for number in range(AGENTS)], delay=0.01)
    return [spawn_agent(world, provider) for _ in range(AGENTS)]


UNCOUPLED: dict[str, Crew] = {
    "each at its own pace": lambda world: [healthy(world, number) for number in range(AGENTS)],
    "all in step": lambda world: [in_step(world, number) for number in range(AGENTS)],
}
COUPLED: dict[str, Crew] = {"by a global": counting, "by a provider": one_provider}


def the_run_of(crew: Crew, look: Callable[[World, list[Agent]], T]) -> Callable[[], Coroutine[Any, Any, T]]:
    """Let a crew work; what is seen of it at the end."""

    async def main() -> T:
        asyncio.get_running_loop().set_debug(False)  # it keeps the stack of each callback, and these are many
        world = new_world()
        world.state.log = MemoryLog(1_000_000)
        agents = crew(world)
        for agent in agents:
            append_message(world, agent.entity, "go")
        await Runner().run(world)
        seen = look(world, agents)
        await world.aclose()
        return seen

    return main


def logs_of(crew: Crew) -> Callable[[], Coroutine[Any, Any, Logs]]:
    """What each agent of a crew did, with live objects shown without their addresses."""

    def look(world: World, agents: list[Agent]) -> Logs:
        return [[(*fact[:6], re.sub(r" at 0x[0-9a-f]+", "", fact[6])) for fact in log_of(world, agent.entity)] for agent in agents]

    return the_run_of(crew, look)


@pytest.mark.parametrize("crew", UNCOUPLED.values(), ids=UNCOUPLED)
def test_agents_that_share_nothing_do_the_same_in_any_order(crew: Crew) -> None:
    logs = run(logs_of(crew))
    assert len(logs) == AGENTS
    assert all(any(fact[5] == "ToolExecutionCompleted" for fact in log) for log in logs), "agents that do nothing prove nothing"
    for seed in SEEDS:
        assert run_shuffled(logs_of(crew), seed) == logs, f"seed {seed}"


def test_crews_in_step_take_very_different_turns() -> None:
    def look(world: World, agents: list[Agent]) -> list[tuple[str, int | None]]:
        return [(fact.type, fact.entity) for fact in world.log.read()]

    main = the_run_of(UNCOUPLED["all in step"], look)
    ordered, shuffled = run(main), run_shuffled(main, 1)
    assert sorted(ordered) == sorted(shuffled)
    assert sum(one == other for one, other in zip(ordered, shuffled, strict=True)) < len(ordered) / 2


@pytest.mark.parametrize("crew", COUPLED.values(), ids=COUPLED)
def test_agents_that_share_something_are_found(crew: Crew) -> None:
    logs = run(logs_of(crew))
    assert run(logs_of(crew)) == logs, "without shuffling nothing shows"
    assert any(run_shuffled(logs_of(crew), seed) != logs for seed in SEEDS)
