"""Limits hold in the middle of an answer, for an agent, for its tree, in money, in tools and in depth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.systems.scripted import Scripted

from ecs_agent import Agent, Runner, World, append_message, spawn_agent, tool
from ecs_agent.components import LimitsComponent, PricesComponent, TerminalComponent, TurnComponent
from ecs_agent.core import EndReason
from ecs_agent.errors import DepthLimitError, SystemDefinitionError
from ecs_agent.providers import FakeProvider, PriceTier
from ecs_agent.providers.script import Script
from ecs_agent.systems import ReasoningSystem, history_problems
from ecs_agent.systems.ledger import Ledger
from ecs_agent.testing import run
from ecs_agent.types import EntityId, StreamDelta, ToolCall, Usage


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def endless(count: int = 10_000) -> list[StreamDelta]:
    """A long answer of four characters, one token, a piece."""
    return [*[StreamDelta(content="word") for _ in range(count)], StreamDelta(finish_reason="stop", final=True)]


def ended(world: World, entity: EntityId) -> str | None:
    """Why an agent has ended."""
    terminal = world.get_component(entity, TerminalComponent)
    return terminal.reason if terminal is not None else None


def asked(world: World, limits: LimitsComponent | None = None, *, parent: EntityId | None = None, answer: Sequence[Any] | None = None) -> Agent:
    """An agent that has been asked something."""
    agent = spawn_agent(world, Scripted(endless() if answer is None else answer), limits=limits, parent=parent)
    append_message(world, agent.entity, "go")
    return agent


async def test_tokens_end_an_answer_in_its_middle_and_what_arrived_is_kept() -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(tokens=100))
        await Runner().run(world)
        assert ended(world, agent.entity) == "max_tokens"
        last = agent.messages[-1]
        assert last.interrupted
        assert 400 <= len(last.content) <= 400 + 4 * 64
        assert not history_problems(agent.messages)


def test_a_model_that_falls_silent_after_the_limit_is_not_waited_for() -> None:
    async def main() -> None:
        async with World() as world:
            agent = asked(world, LimitsComponent(tokens=10), answer=[*endless(20)[:20], asyncio.Event(), *endless(1)])
            result = await Runner().run(world, deadline=5.0)
            assert asyncio.get_running_loop().time() == 0.0
            assert result[agent.entity].reason is EndReason.TERMINAL
            assert ended(world, agent.entity) == "max_tokens"
            assert agent.messages[-1].interrupted

    run(main)


def test_an_answer_that_is_over_its_limit_with_its_last_piece_is_whole() -> None:
    async def main() -> None:
        async with World() as world:
            agent = asked(world, LimitsComponent(tokens=10), answer=endless(20))
            await Runner().run(world)
            assert not agent.messages[-1].interrupted
            assert ended(world, agent.entity) is None

    run(main)


async def test_a_limit_of_cost_without_prices_is_a_mistake_that_is_told() -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(cost=1.0))
        result = await Runner().run(world)
        assert "add a PricesComponent" in str(result.errors[agent.entity])


async def test_no_limit_is_none() -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(turns=None, tokens=None, tool_calls=None, depth=None), answer=endless(100))
        await Runner().run(world)
        assert len(agent.messages[-1].content) == 400


async def test_an_agent_that_was_moved_too_deep_ends() -> None:
    async with World() as world:
        root = spawn_agent(world, Scripted(), limits=LimitsComponent(depth=1))
        child = spawn_agent(world, Scripted(), parent=root.entity)
        moved = asked(world)
        world.reparent(moved.entity, child.entity)
        await Runner().run(world)
        assert ended(world, moved.entity) == "max_depth"


async def test_answers_without_a_usage_count_as_estimated() -> None:
    calls = [[StreamDelta(content="x" * 400, tool_calls=[ToolCall("c", "add", {"a": 1, "b": 1})], finish_reason="tool_calls", final=True)]] * 20
    async with World() as world:
        agent = spawn_agent(world, Scripted(*calls), tools=[add], limits=LimitsComponent(tokens=1000))
        append_message(world, agent.entity, "go")
        await Runner().run(world)
        assert ended(world, agent.entity) == "max_tokens"
        turn = world.get_component(agent.entity, TurnComponent)
        assert turn is not None
        assert turn.usage is not None
        assert turn.usage.estimated
        assert turn.turn == 10


async def test_accounts_of_those_who_are_gone_are_dropped() -> None:
    async with World() as world:
        for _ in range(500):
            group = world.create_entity()
            asked(world, parent=group, answer=endless(1))
            await Runner().run(world)
            world.delete_entity(group)
        assert len(world.resource(Ledger, Ledger)._entries) < 200


def test_a_second_reasoning_system_is_refused() -> None:
    world = World()
    spawn_agent(world, Scripted())
    with pytest.raises(SystemDefinitionError, match="has a ReasoningSystem already"):
        world.register_system(ReasoningSystem(max_requests=2))
    assert [type(entry.call).__name__ for entry in world.schedule.entity_systems].count("ReasoningSystem") == 1


async def test_the_next_input_lifts_it() -> None:
    async with World() as world:
        agent = spawn_agent(
            world,
            Scripted(endless(), [StreamDelta(content="short"), StreamDelta(finish_reason="stop", final=True)]),
            limits=LimitsComponent(tokens=100),
        )
        append_message(world, agent.entity, "go")
        await Runner().run(world)
        assert await agent.ask("again") == "short"


async def test_money_ends_it_too() -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(cost=0.5))
        world.add_component(agent.entity, PricesComponent(prompt=1.0, completion=10_000.0))
        await Runner().run(world)
        assert ended(world, agent.entity) == "max_cost"
        assert len(agent.messages[-1].content) < 1000


@pytest.mark.parametrize(("spent", "reason"), [(30_000, None), (50_000, "max_cost")])
async def test_what_was_spent_before_a_restart_counts_at_the_rates_of_an_average_turn(spent: int, reason: str | None) -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(cost=0.1), answer=endless(1))
        world.add_component(agent.entity, PricesComponent(1.0, 0.0, tiers=(PriceTier(20_000, 10.0, 0.0),)))
        world.add_component(agent.entity, TurnComponent(turn=2, usage=Usage(spent, 0, spent), run=1))
        await Runner().run(world)
        assert ended(world, agent.entity) == reason


async def test_a_tree_shares_its_tokens() -> None:
    async with World() as world:
        root = spawn_agent(world, Scripted(endless(3)), limits=LimitsComponent(tree_tokens=300))
        children = [asked(world, parent=root.entity) for _ in range(3)]
        grandchild = asked(world, parent=children[0].entity)
        append_message(world, root.entity, "go")
        await Runner().run(world)
        below = [*children, grandchild]
        assert {ended(world, agent.entity) for agent in below} == {"max_tree_tokens"}
        said = sum(len(agent.messages[-1].content) for agent in below if agent.messages[-1].role == "assistant")
        assert 300 * 4 - 64 <= said + len(root.messages[-1].content) <= 300 * 4 + 4 * 4 * 64


async def test_agents_outside_of_the_tree_are_not_concerned() -> None:
    async with World() as world:
        root = asked(world, LimitsComponent(tree_tokens=10))
        other = asked(world, answer=endless(100))
        await Runner().run(world)
        assert ended(world, root.entity) == "max_tree_tokens"
        assert ended(world, other.entity) is None
        assert len(other.messages[-1].content) == 400


async def test_what_the_provider_counted_replaces_the_estimate() -> None:
    async with World() as world:
        answers = [Script("x" * 40, usage=Usage(10, 80, 90)), Script("y")]
        agent = spawn_agent(world, FakeProvider(answers, delay=0), limits=LimitsComponent(tokens=100, tree_tokens=1000))
        await agent.ask("go")
        append_message(world, agent.entity, "and again, in a run of its own")
        await Runner().run(world)
        assert ended(world, agent.entity) is None


async def test_turns_of_a_tree() -> None:
    async with World() as world:
        root = spawn_agent(world, Scripted(endless(1)), limits=LimitsComponent(tree_turns=2))
        append_message(world, root.entity, "go")
        await Runner().run(world)
        first, second = asked(world, parent=root.entity, answer=endless(1)), asked(world, parent=root.entity, answer=endless(1))
        await Runner().run(world)
        assert sorted([str(ended(world, first.entity)), str(ended(world, second.entity))]) == ["None", "max_tree_turns"]


async def test_calls_of_a_run_beyond_the_limit_are_answered_and_the_run_ends() -> None:
    calls = [ToolCall(f"c{n}", "add", {"a": n, "b": n}) for n in range(5)]
    async with World() as world:
        agent = spawn_agent(
            world, FakeProvider([Script(tool_calls=calls), Script("never")], delay=0), tools=[add], limits=LimitsComponent(run_tool_calls=3)
        )
        append_message(world, agent.entity, "go")
        await Runner().run(world)
        results = [message for message in agent.messages if message.role == "tool"]
        assert [message.is_error for message in results] == [False] * 3 + [True] * 2
        assert "max_run_tool_calls" in results[-1].content
        assert ended(world, agent.entity) == "max_run_tool_calls"
        assert not history_problems(agent.messages)


async def test_what_was_spent_before_a_restart_counts() -> None:
    async with World() as world:
        agent = asked(world, LimitsComponent(tokens=100, tree_tokens=100), answer=endless(5))
        world.add_component(agent.entity, TurnComponent(run=1, turn=3, usage=Usage(50, 50, 100)))
        await Runner().run(world)
        assert ended(world, agent.entity) == "max_tokens"


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_levels_of_agents_are_limited(depth: int) -> None:
    world = World()
    agent = spawn_agent(world, FakeProvider([]), limits=LimitsComponent(depth=depth))
    for _ in range(depth):
        agent = spawn_agent(world, FakeProvider([]), parent=agent.entity)
    with pytest.raises(DepthLimitError, match="one level too deep"):
        spawn_agent(world, FakeProvider([]), parent=agent.entity)


class Busy:
    """A provider that counts how many ask it at once, and in which order they came."""

    model = "busy"

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[str] = []

    async def complete(self, messages: Any, **_: Any) -> Any:
        self.order.append(messages[-1].content)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(1)
        self.now -= 1

        async def deltas() -> Any:
            yield StreamDelta(content="done", finish_reason="stop", final=True)

        return deltas()


def test_at_most_so_many_ask_one_provider_and_who_comes_first_is_served_first() -> None:
    async def main() -> None:
        async with World() as world:
            world.register_system(ReasoningSystem(max_requests=5, max_requests_per_provider=3))
            one, other = Busy(), Busy()
            for number in range(20):
                append_message(world, spawn_agent(world, one if number % 2 else other).entity, str(number))
            result = await Runner().run(world)
            assert one.most == 3
            assert one.most + other.most <= 6
            assert one.order == sorted(one.order, key=int)
            assert other.order == sorted(other.order, key=int)
            assert {str(outcome.reason) for outcome in result.values()} == {"idle"}

    run(main)
