"""An agent that fails, hangs, exits, cancels, floods or never ends harms nobody but itself (P11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.crew import FAILURES, healthy, log_of, new_world

from ecs_agent import Agent, Runner, World, append_message, spawn_agent, system
from ecs_agent.components import ConversationComponent
from ecs_agent.core import EndReason, Entity, MemoryLog
from ecs_agent.providers import FakeProvider
from ecs_agent.systems import history_problems
from ecs_agent.systems.invariants import check_world
from ecs_agent.testing import run
from ecs_agent.types import Message

pytestmark = pytest.mark.no_cover  # what many agents run is covered by one

HEALTHY = 90
DEADLINE = 300.0


async def _crew(failing: dict[str, Any]) -> tuple[list[Agent], dict[str, Agent], World, Any]:
    """Ninety that work, with the failing ones in their midst; ids differ between the two runs, so nobody is known by its own."""
    world = new_world()
    world.state.log = log = MemoryLog(1_000_000)
    log.keeps_changes = True
    good, bad = [], {}
    names = list(failing)
    for number in range(HEALTHY):
        if names and number % 9 == 0:
            name = names.pop()
            bad[name] = failing[name](world)
        good.append(healthy(world, number))
    for agent in [*bad.values(), *good]:
        append_message(world, agent.entity, "go")
    result = await Runner(grace=1.0).run(world, deadline=DEADLINE)
    return good, bad, world, result


def test_ninety_agents_do_exactly_what_they_do_without_the_ten_that_fail() -> None:
    async def main() -> None:
        alone, _, calm, _ = await _crew({})
        beside, failed, world, result = await _crew(FAILURES)
        assert len(failed) == len(FAILURES) == 10
        for one, other in zip(alone, beside, strict=True):
            assert [m for m in one.messages if m.role == "assistant"], "an empty transcript proves nothing"
            assert one.messages == other.messages
            assert [entry[:6] for entry in log_of(calm, one.entity)] == [entry[:6] for entry in log_of(world, other.entity)]
            assert result[other.entity].reason is EndReason.IDLE
        for name, agent in failed.items():
            assert not history_problems(agent.messages), name
        reasons = {name: str(result[agent.entity].reason) for name, agent in failed.items()}
        assert reasons == {
            "the stream breaks": "idle",
            "the provider hangs": "deadline",
            "the provider exits": "idle",
            "the provider cancels": "idle",
            "the provider floods": "idle",
            "tools are called for ever": "terminal",
            "a tool exits": "idle",
            "a tool cancels": "idle",
            "a tool swallows its cancel": "idle",
            "a system explodes": "idle",
        }
        errors = {name for name, agent in failed.items() if agent.entity in result.errors}
        assert errors == {"the stream breaks", "the provider exits", "the provider cancels", "a tool cancels", "a system explodes"}
        assert check_world(world) == check_world(calm) == []
        await world.aclose()
        await calm.aclose()

    run(main)


@system(priority=1, when=lambda conversation: bool(conversation.messages) and conversation.messages[-1].content == "fast")
async def think(me: Entity, conversation: ConversationComponent) -> None:
    """A system of the application that takes its time."""
    await asyncio.sleep(0.1)
    conversation.messages.append(Message("assistant", "thought"))


async def _fast_ones(slow: float) -> list[float]:
    async with World() as world:
        world.register_system(think)
        agents = [spawn_agent(world, FakeProvider(["fast"], delay=0.05)) for _ in range(99)]
        if slow:
            append_message(world, spawn_agent(world, FakeProvider(["slow"], delay=slow)).entity, "go")
        loop = asyncio.get_running_loop()

        async def ask(agent: Agent) -> float:
            await agent.ask("go")
            return loop.time()

        return await asyncio.gather(*[ask(agent) for agent in agents])


def test_fast_agents_finish_as_if_alone() -> None:
    alone, beside = run(lambda: _fast_ones(0.0)), run(lambda: _fast_ones(30.0))
    assert len(alone) == 99
    assert beside == alone
    assert max(alone) < 1.0
