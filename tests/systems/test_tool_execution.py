"""Tool execution: every pending call gets exactly one result, in order, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    PendingToolCallsComponent,
    ToolRegistryComponent,
    ToolResultsComponent,
)
from ecs_agent.core import Runner, World
from ecs_agent.systems import ToolExecutionCompleted, ToolExecutionStarted, ToolExecutionSystem, history_problems
from ecs_agent.tools import ToolLimits, tool, tool_table
from ecs_agent.types import EntityId, ImagePart, Message, TextPart, ToolCall


@tool
async def double(number: int) -> int:
    """Double a number."""
    return number * 2


@tool
async def fail() -> str:
    """Fail."""
    raise RuntimeError("broken")


def waiting(world: World, made: list[ToolCall], *tools: Any, system: ToolExecutionSystem | None = None) -> EntityId:
    world.register_system(system or ToolExecutionSystem())
    entity = world.create_entity()
    schemas, handlers = tool_table(tools)
    world.add_component(entity, ConversationComponent([Message("user", "go"), Message("assistant", "", made)]))
    world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
    world.add_component(entity, PendingToolCallsComponent(made))
    return entity


def results(world: World, entity: EntityId) -> list[Message]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert history_problems(held.messages) == []
    return held.messages[2:]


async def test_results_stand_in_the_order_of_the_calls() -> None:
    async with World() as world:
        entity = waiting(world, [ToolCall(f"c{n}", "double", {"number": n}) for n in range(3)], double)
        await Runner().run(world)
        assert [(m.tool_call_id, m.content) for m in results(world, entity)] == [("c0", "0"), ("c1", "2"), ("c2", "4")]
        assert not world.has_component(entity, PendingToolCallsComponent)
        assert world.get_component(entity, ToolResultsComponent) == ToolResultsComponent({"c0": "0", "c1": "2", "c2": "4"})


async def test_pictures_stand_in_the_result_behind_its_text() -> None:
    @tool
    async def draw() -> list[str | ImagePart]:
        """Draw."""
        return ["a dot", ImagePart(data=b"png")]

    world = World()
    entity = waiting(world, [ToolCall("a", "draw", {})], draw)
    await Runner().run(world)
    assert results(world, entity) == [Message("tool", [TextPart("a dot"), ImagePart(data=b"png")], tool_call_id="a", name="draw")]


async def test_the_tools_of_a_turn_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    @tool
    async def meet() -> str:
        """Wait for the other."""
        await asyncio.wait_for(both.wait(), 1)
        return "met"

    async with World() as world:
        entity = waiting(world, [ToolCall("a", "meet"), ToolCall("b", "meet")], meet)
        await Runner().run(world)
        assert [m.content for m in results(world, entity)] == ["met", "met"]


async def test_a_failing_tool_is_a_result_the_model_can_read() -> None:
    async with World() as world:
        entity = waiting(world, [ToolCall("a", "fail"), ToolCall("b", "double", {"number": 4})], fail, double)
        outcome = await Runner().run(world)
        first, second = results(world, entity)
        assert first.is_error
        assert "broken" in first.content
        assert second.content == "8"
        assert outcome[entity].error is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ToolCall("a", "nothing"), "nothing"),
        (ToolCall("a", "double", {"number": "many"}), "number"),
        (ToolCall("a", "double", {}, raw_arguments="{", arguments_error="the arguments are not JSON"), "not JSON"),
    ],
)
async def test_a_call_that_cannot_run_is_answered_with_the_reason(call: ToolCall, words: str) -> None:
    async with World() as world:
        entity = waiting(world, [call], double)
        await Runner().run(world)
        (result,) = results(world, entity)
        assert result.is_error
        assert words in result.content


async def test_a_turn_calls_at_most_so_many_tools() -> None:
    async with World() as world:
        entity = waiting(world, [ToolCall(f"c{n}", "double", {"number": n}) for n in range(3)], double)
        world.add_component(entity, LimitsComponent(tool_calls=2))
        await Runner().run(world)
        assert [m.is_error for m in results(world, entity)] == [False, False, True]


async def test_an_interruption_keeps_what_is_done_and_seals_the_rest() -> None:
    done = asyncio.Event()

    @tool
    async def slow() -> str:
        """Never end."""
        done.set()
        await asyncio.Event().wait()
        return "never"

    async with World() as world:
        entity = waiting(world, [ToolCall("a", "double", {"number": 1}), ToolCall("b", "slow")], double, slow)
        running = asyncio.ensure_future(Runner().run(world))
        await done.wait()
        while not [e for e in world.log.read() if isinstance(e.payload, ToolExecutionCompleted)]:
            await asyncio.sleep(0)
        world.add_component(entity, InterruptionComponent())
        await running
        first, second = results(world, entity)
        assert (first.content, first.is_error) == ("2", False)
        assert second.is_error
        assert "interrupted" in second.content


async def test_a_tool_that_takes_too_long_is_answered_so() -> None:
    @tool
    async def slow() -> str:
        """Never end."""
        await asyncio.Event().wait()
        return "never"

    async with World() as world:
        entity = waiting(world, [ToolCall("a", "slow")], slow, system=ToolExecutionSystem(limits=ToolLimits(timeout=0.01)))
        await Runner().run(world)
        (result,) = results(world, entity)
        assert result.is_error


async def test_each_call_is_reported_when_it_starts_and_when_it_ends() -> None:
    call = ToolCall("a", "double", {"number": 2})
    async with World() as world:
        entity = waiting(world, [call], double)
        await Runner().run(world)
        found = [e.payload for e in world.log.read() if isinstance(e.payload, ToolExecutionStarted | ToolExecutionCompleted)]
        assert found[0] == ToolExecutionStarted(entity, call)
        assert isinstance(found[1], ToolExecutionCompleted)
        assert (found[1].call, found[1].text, found[1].is_error) == (call, "4", False)
        assert found[1].seconds >= 0


async def test_results_known_before_a_restart_are_not_run_again() -> None:
    async with World() as world:
        call = ToolCall("a", "fail")
        entity = waiting(world, [call], fail)
        world.add_component(entity, PendingToolCallsComponent([call], {"a": Message("tool", "done before", tool_call_id="a")}))
        await Runner().run(world)
        assert [m.content for m in results(world, entity)] == ["done before"]
