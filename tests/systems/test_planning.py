"""Planning: one step at a time is put to the agent, its answer completes it, and the history stays valid."""

from __future__ import annotations

import asyncio

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    PendingToolCallsComponent,
    PlanComponent,
    StreamStateComponent,
    TerminalComponent,
    ToolRegistryComponent,
    UserInputComponent,
)
from ecs_agent.core import EndReason, Runner, World
from ecs_agent.errors import ServerError
from ecs_agent.systems import PlanningSystem, ReasoningSystem, ToolExecutionSystem, append_message, history_problems
from ecs_agent.systems.planning import revision_wanted
from ecs_agent.tools import tool, tool_table
from ecs_agent.types import EntityId, Message, PlanStepCompletedEvent, StreamDelta, StreamDeltaEvent, ToolCall


def planner(world: World, provider: Scripted, *steps: str, planning_first: bool = True) -> EntityId:
    systems = [PlanningSystem(), ReasoningSystem(), ToolExecutionSystem()]
    for each in systems if planning_first else reversed(systems):
        world.register_system(each)
    entity = world.create_entity()
    world.add_component(entity, LLMComponent(provider))
    world.add_component(entity, PlanComponent(list(steps)))
    return entity


def said(world: World, entity: EntityId) -> list[str]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert history_problems(held.messages) == []
    return [message.content for message in held.messages]


def plan(world: World, entity: EntityId) -> PlanComponent:
    held = world.get_component(entity, PlanComponent)
    assert held is not None
    return held


def completed(world: World) -> list[PlanStepCompletedEvent]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, PlanStepCompletedEvent)]


@pytest.mark.parametrize("planning_first", [True, False])
async def test_each_step_is_put_to_the_agent_and_its_answer_completes_it(*, planning_first: bool) -> None:
    async with World() as world:
        provider = Scripted(text("Read."), text("Written."))
        entity = planner(world, provider, "read", "write", planning_first=planning_first)
        result = await Runner().run(world)
        assert said(world, entity) == ["Step 1 of 2: read", "Read.", "Step 2 of 2: write", "Written."]
        assert completed(world) == [PlanStepCompletedEvent(entity, 0, "read"), PlanStepCompletedEvent(entity, 1, "write")]
        assert (plan(world, entity).current_step, plan(world, entity).completed) == (2, True)
        assert result[entity].reason is EndReason.IDLE


async def test_it_waits_for_the_answer_to_what_a_user_asks() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("Hello."), text("Done.")), "work")
        append_message(world, entity, "Hi!")
        await Runner().run(world)
        assert said(world, entity) == ["Hi!", "Hello.", "Step 1 of 1: work", "Done."]


async def test_a_step_may_take_tools_and_is_complete_with_the_answer_after_them() -> None:
    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    async with World() as world:
        entity = planner(world, Scripted(calls(ToolCall("c", "look"), content="I look."), text("I saw it.")), "look around")
        schemas, handlers = tool_table([look])
        world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
        await Runner().run(world)
        assert said(world, entity) == ["Step 1 of 1: look around", "I look.", "seen", "I saw it."]
        assert len(completed(world)) == 1


async def test_a_plan_without_steps_and_one_past_its_end_are_completed_and_ask_nobody() -> None:
    async with World() as world:
        entity = planner(world, Scripted())
        other = world.create_entity()
        world.add_component(other, PlanComponent(["done"], current_step=7))
        await Runner().run(world)
        assert plan(world, entity).completed
        assert plan(world, other).completed
        assert completed(world) == []
        assert not world.has_component(entity, ConversationComponent)


async def test_a_plan_goes_on_where_it_stands() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("Two.")), "one", "two")
        plan(world, entity).current_step = 1
        await Runner().run(world)
        assert said(world, entity) == ["Step 2 of 2: two", "Two."]


async def test_an_answer_that_failed_completes_nothing_and_the_step_is_put_again() -> None:
    async with World() as world:
        entity = planner(world, Scripted([StreamDelta(content="half"), ServerError("down")], text("Whole.")), "work")
        result = await Runner().run(world)
        assert isinstance(result.errors[entity], ServerError)
        assert completed(world) == []
        world.touch(entity)
        await Runner().run(world)
        assert said(world, entity) == ["Step 1 of 1: work", "half", "Step 1 of 1: work", "Whole."]
        assert not world.has_component(entity, ErrorComponent)
        assert len(completed(world)) == 1


async def test_an_interrupted_agent_rests_until_new_input() -> None:
    async with World() as world:
        hang = asyncio.Event()
        entity = planner(world, Scripted([StreamDelta(content="half"), hang], text("I go on."), text("Last.")), "one", "two")
        running = asyncio.ensure_future(Runner().run(world))
        while not any(isinstance(fact.payload, StreamDeltaEvent) for fact in world.log.read()):
            await asyncio.sleep(0)
        world.add_component(entity, InterruptionComponent())
        await running
        assert said(world, entity) == ["Step 1 of 2: one", "half"]
        append_message(world, entity, "Go on.")
        await Runner().run(world)
        assert said(world, entity)[2:] == ["Go on.", "I go on.", "Step 2 of 2: two", "Last."]


async def test_the_limits_of_a_run_hold_for_the_whole_plan() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("1"), text("2"), text("3")), "a", "b", "c")
        world.add_component(entity, LimitsComponent(turns=2))
        result = await Runner().run(world)
        assert result[entity].reason is EndReason.TERMINAL
        assert world.get_component(entity, TerminalComponent) == TerminalComponent("max_turns")
        assert len(completed(world)) == 2


async def test_while_a_person_is_asked_the_plan_waits() -> None:
    async with World() as world:
        entity = planner(world, Scripted(), "work")
        world.add_component(entity, UserInputComponent("May I?"))
        await Runner().run(world)
        assert not world.has_component(entity, ConversationComponent)


async def test_nothing_is_said_between_a_call_and_its_result() -> None:
    async with World() as world:
        world.register_system(PlanningSystem())
        entity = world.create_entity()
        call = ToolCall("c", "slow")
        world.add_component(entity, ConversationComponent([Message("user", "go"), Message("assistant", "", [call])]))
        world.add_component(entity, PendingToolCallsComponent([call]))
        world.add_component(entity, PlanComponent(["next"]))
        await Runner().run(world)
        assert len(world.query(ConversationComponent)[0][1][0].messages) == 2


async def test_an_answer_that_is_still_open_is_waited_for() -> None:
    async with World() as world:
        world.register_system(PlanningSystem())
        entity = world.create_entity()
        world.add_component(entity, StreamStateComponent(1))
        world.add_component(entity, PlanComponent(["next"]))
        await Runner().run(world)
        assert not world.has_component(entity, ConversationComponent)


async def test_steps_may_be_taken_away_and_added_meanwhile() -> None:
    async with World() as world:
        provider = Scripted(text("One."), text("Two."))
        entity = planner(world, provider, "one")
        plan(world, entity).asked = True
        plan(world, entity).steps = []
        world.add_component(entity, ConversationComponent([Message("user", "Step 1 of 1: one"), Message("assistant", "One.")]))
        await Runner().run(world)
        assert plan(world, entity).completed
        assert completed(world) == []
        plan(world, entity).steps = ["one", "two"]
        plan(world, entity).completed = False
        await Runner().run(world)
        assert said(world, entity)[2:] == ["Step 2 of 2: two", "One."]
        assert [event.step_index for event in completed(world)] == [1]


async def test_calls_that_nobody_runs_any_more_are_sealed_first() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("Well."), text("Done.")), "work")
        world.add_component(entity, ConversationComponent([Message("user", "go"), Message("assistant", "", [ToolCall("c", "lost")])]))
        await Runner().run(world)
        assert said(world, entity)[2:] == ["interrupted: this call was stopped before it had a result", "Well.", "Step 1 of 1: work", "Done."]


async def test_without_a_replanning_system_an_answer_that_asks_for_another_plan_is_an_answer() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("REPLAN: too hard"), text("Two.")), "one", "two")
        await Runner().run(world)
        assert [event.step_index for event in completed(world)] == [0, 1]
        assert plan(world, entity).revise == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("REPLAN: the page is gone", "the page is gone"),
        ("I tried.\n  REPLAN the page is gone ", "the page is gone"),
        ("REPLAN", "the agent asked for it"),
        ("I had to REPLAN", None),
        ("Replan: no", None),
        ("REPLANNED: no", None),
        ("", None),
    ],
)
def test_an_answer_asks_for_another_plan_by_a_line_that_begins_with_the_word(answer: str, reason: str | None) -> None:
    assert revision_wanted(answer) == reason
