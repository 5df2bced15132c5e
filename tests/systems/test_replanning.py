"""Replanning: a plan that does not work out gets new steps from the model, a bounded number of times."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LLMComponent,
    PendingToolCallsComponent,
    PlanComponent,
    RequestOptionsComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.core import EndReason, Runner, World
from ecs_agent.errors import ServerError
from ecs_agent.providers import FakeProvider
from ecs_agent.systems import PlanningSystem, ReasoningSystem, ReplanningSystem, ToolExecutionSystem, history_problems
from ecs_agent.systems.replanning import MAX_STEP_LENGTH, MAX_STEPS, steps_in
from ecs_agent.tools import tool, tool_table
from ecs_agent.types import CompletionResult, EntityId, Message, PlanRevisedEvent, PlanStepCompletedEvent, ToolCall, Usage


@tool
async def broken() -> str:
    """Fail."""
    raise RuntimeError("out of order")


def planner(world: World, provider: Any, *steps: str) -> EntityId:
    for system in (PlanningSystem(), ReasoningSystem(), ToolExecutionSystem(), ReplanningSystem()):
        world.register_system(system)
    entity = world.create_entity()
    schemas, handlers = tool_table([broken])
    world.add_component(entity, LLMComponent(provider, system_prompt="Be brief."))
    world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
    world.add_component(entity, PlanComponent(list(steps)))
    return entity


def said(world: World, entity: EntityId) -> list[str]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert history_problems(held.messages) == []
    return [message.content for message in held.messages if message.role != "tool"]


def plan(world: World, entity: EntityId) -> PlanComponent:
    held = world.get_component(entity, PlanComponent)
    assert held is not None
    return held


def told(world: World, *kinds: type) -> list[object]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, kinds)]


async def test_after_a_failed_tool_the_steps_that_are_left_are_replaced() -> None:
    async with World() as world:
        provider = Scripted(
            text("Read."),
            calls(ToolCall("c", "broken")),
            text('["ask a colleague", "write"]'),
            text("It is broken."),
            text("Asked."),
            text("Written."),
        )
        entity = planner(world, provider, "read", "compute", "write")
        await Runner().run(world)
        old, new = ["read", "compute", "write"], ["read", "ask a colleague", "write"]
        assert told(world, PlanRevisedEvent) == [PlanRevisedEvent(entity, old, new)]
        assert said(world, entity) == [
            "Step 1 of 3: read", "Read.", "Step 2 of 3: compute", "", "It is broken.",
            "Step 2 of 3: ask a colleague", "Asked.", "Step 3 of 3: write", "Written.",
        ]  # fmt: skip
        assert [event.step_description for event in told(world, PlanStepCompletedEvent)] == new  # type: ignore[attr-defined]
        assert (plan(world, entity).completed, plan(world, entity).revisions) == (True, 1)


async def test_it_asks_apart_from_the_conversation_with_the_prompt_the_model_and_the_options_but_no_tools() -> None:
    async with World() as world:
        provider = Scripted(calls(ToolCall("c", "broken")), text("[]"), text("So be it."))
        entity = planner(world, provider, "read", "compute")
        world.add_component(entity, SystemPromptComponent("Be exact."))
        world.add_component(entity, RequestOptionsComponent({"temperature": 0.5, "tool_choice": "auto"}))
        await Runner().run(world)
        request = provider.requests[1]
        assert [message.role for message in request] == ["system", "user", "assistant", "tool", "user"]
        assert request[0].content == "Be exact."
        assert history_problems(request) == []
        assert provider.options[1] == {"temperature": 0.5}
        for words in ("a tool failed", "1. read", "2. compute", "JSON array"):
            assert words in request[-1].content
        assert request[-1].content not in said(world, entity)


async def test_an_answer_that_asks_for_it_completes_nothing_and_brings_new_steps() -> None:
    async with World() as world:
        provider = Scripted(text("REPLAN: the page is gone"), text('```json\n["search"]\n```'), text("Found."))
        entity = planner(world, provider, "read the page")
        await Runner().run(world)
        assert "the page is gone" in provider.requests[1][-1].content
        assert said(world, entity) == ["Step 1 of 1: read the page", "REPLAN: the page is gone", "Step 1 of 1: search", "Found."]
        assert [event.step_description for event in told(world, PlanStepCompletedEvent)] == ["search"]  # type: ignore[attr-defined]


async def test_an_empty_list_ends_the_plan() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("One."), text("REPLAN all done"), text("[]")), "one", "two", "three")
        result = await Runner().run(world)
        assert plan(world, entity).steps == ["one"]
        assert plan(world, entity).completed
        assert result[entity].reason is EndReason.IDLE


@pytest.mark.parametrize("answer", ["I would rather not.", '["one"]'])
async def test_an_answer_without_steps_and_the_same_steps_again_change_nothing_and_the_step_is_put_again(answer: str) -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("REPLAN"), text(answer), text("Well then.")), "one")
        await Runner().run(world)
        assert told(world, PlanRevisedEvent) == []
        assert said(world, entity)[-2:] == ["Step 1 of 1: one", "Well then."]
        assert plan(world, entity).completed


async def test_a_failure_is_looked_at_once_also_when_the_plan_stays() -> None:
    async with World() as world:
        provider = Scripted(calls(ToolCall("c", "broken")), text('["one"]'), text("Done anyway."))
        entity = planner(world, provider, "one")
        await Runner().run(world)
        assert len(provider.requests) == 3
        assert plan(world, entity).completed
        assert said(world, entity) == ["Step 1 of 1: one", "", "Done anyway."]


async def test_it_is_looked_at_once_also_when_the_model_says_nothing_about_it() -> None:
    async with World() as world:
        world.register_system(ReplanningSystem())
        entity = world.create_entity()
        provider = Scripted(text('["one"]'))
        world.add_component(entity, LLMComponent(provider))
        world.add_component(entity, ConversationComponent(failed_history()))
        world.add_component(entity, PlanComponent(["one"], asked=True))
        await Runner().run(world)
        await Runner().run(world)
        assert len(provider.requests) == 1


async def test_what_the_model_is_sent_is_valid_whatever_the_history_is() -> None:
    async with World() as world:
        world.register_system(ReplanningSystem())
        entity = world.create_entity()
        provider = Scripted(text("[]"))
        world.add_component(entity, LLMComponent(provider))
        world.add_component(
            entity, ConversationComponent([*failed_history()[:1], Message("assistant", "", [ToolCall("x", "lost")]), *failed_history()])
        )
        world.add_component(entity, PlanComponent(["one"], asked=True))
        await Runner().run(world)
        assert history_problems(provider.requests[0]) == []


@pytest.mark.parametrize("obstacle", [InterruptionComponent(), PendingToolCallsComponent([]), StreamStateComponent(1)])
async def test_nothing_is_asked_while_the_agent_is_stopped_or_busy(obstacle: object) -> None:
    async with World() as world:
        world.register_system(ReplanningSystem())
        entity = world.create_entity()
        provider = Scripted()
        world.add_component(entity, LLMComponent(provider))
        world.add_component(entity, ConversationComponent(failed_history()))
        world.add_component(entity, PlanComponent(["one"], asked=True, revise="why not"))
        world.add_component(entity, obstacle)
        result = await Runner().run(world)
        assert result.errors == {}
        assert provider.requests == []


async def test_tools_that_fail_again_and_again_bring_a_bounded_number_of_revisions() -> None:
    async with World() as world:
        provider = Scripted(*[turn for n in range(5) for turn in _failing(n)], text("Enough."))
        entity = planner(world, provider, "try")
        await Runner().run(world)
        assert plan(world, entity).revisions == 3
        assert plan(world, entity).completed
        assert len(told(world, PlanRevisedEvent)) == 3


def _failing(number: int) -> list[Any]:
    """A turn whose tool fails; the first three times the plan is revised."""
    called = calls(ToolCall(f"c{number}", "broken"))
    return [called, text(f'["try {number}"]'), text("It failed.")] if number < 3 else [called]


def failed_history() -> list[Message]:
    return [Message("user", "go"), Message("assistant", "", [ToolCall("c", "broken")]), Message("tool", "failed", tool_call_id="c", is_error=True)]


async def test_a_plan_is_revised_a_bounded_number_of_times() -> None:
    async with World() as world:
        provider = Scripted(*[answer for number in range(3) for answer in (text("REPLAN"), text(f'["try {number}"]'))], text("REPLAN"))
        entity = planner(world, provider, "one")
        await Runner().run(world)
        assert plan(world, entity).revisions == 3
        assert plan(world, entity).completed, "the fourth time it is an answer like any other"
        assert len(provider.requests) == 7


async def test_a_failure_that_has_nothing_to_do_with_a_step_changes_no_plan() -> None:
    async with World() as world:
        provider = Scripted(calls(ToolCall("c", "broken")), text("Sorry."), text("Done."))
        entity = planner(world, provider, "one")
        world.add_component(entity, ConversationComponent([Message("user", "Try the tool.")]))
        await Runner().run(world)
        assert len(provider.requests) == 3
        assert plan(world, entity).revisions == 0


async def test_what_it_costs_counts_for_the_run() -> None:
    def answer(words: str) -> CompletionResult:
        return CompletionResult(Message("assistant", words), Usage(10, 1, 11))

    async with World() as world:
        entity = planner(world, FakeProvider([answer("REPLAN"), answer('["a"]'), answer("A.")], delay=0), "one")
        await Runner().run(world)
        turn = world.get_component(entity, TurnComponent)
        assert turn is not None
        assert turn.usage == Usage(30, 3, 33)


async def test_a_provider_without_answers_ends_the_agent() -> None:
    async with World() as world:
        entity = planner(world, FakeProvider(["REPLAN"], delay=0), "one")
        await Runner().run(world)
        assert world.get_component(entity, TerminalComponent) == TerminalComponent("provider_exhausted")


async def test_a_provider_that_fails_fails_the_agent_and_after_touch_it_is_asked_again() -> None:
    async with World() as world:
        entity = planner(world, Scripted(text("REPLAN"), [ServerError("down")], text('["a"]'), text("A.")), "one")
        result = await Runner().run(world)
        assert isinstance(result.errors[entity], ServerError)
        world.touch(entity)
        await Runner().run(world)
        assert plan(world, entity).steps == ["a"]
        assert plan(world, entity).completed


async def test_a_cancel_leaves_the_plan_as_it_was() -> None:
    async with World() as world:
        hang = asyncio.Event()
        provider = Scripted(text("REPLAN: no"), [hang], text('["a"]'), text("A."))
        entity = planner(world, provider, "one")
        running = asyncio.ensure_future(Runner().run(world))
        while len(provider.requests) < 2:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (plan(world, entity).steps, plan(world, entity).revise, plan(world, entity).revisions) == (["one"], "no", 0)
        assert provider.closed == 2
        await Runner().run(world)
        assert plan(world, entity).steps == ["a"]


async def test_a_plan_that_was_replaced_meanwhile_is_left_alone() -> None:
    async with World() as world:
        go = asyncio.Event()
        provider = Scripted(text("REPLAN: no"), [go, *text('["a"]')], text("New."))
        entity = planner(world, provider, "one")
        running = asyncio.ensure_future(Runner().run(world))
        while len(provider.requests) < 2:
            await asyncio.sleep(0)
        world.add_component(entity, PlanComponent(["new"]))
        go.set()
        await running
        assert told(world, PlanRevisedEvent) == []
        assert plan(world, entity).steps == ["new"]
        assert plan(world, entity).completed


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('Sure! Here it is:\n```json\n[\n "a"\n]\n```\nGood luck [you].', ["a"]),
        ('{"steps": ["a", " b "]}', ["a", "b"]),
        ('[{"step": "a"}, {"description": "b", "why": 1}]', ["a", "b"]),
        ('[1] says: ["a"]', ["a"]),
        ('[["a"]]', ["a"]),
        ('I use list[] here: ["a"]', ["a"]),
        ("[]", []),
        ("Nothing is left: []", []),
        ("", None),
        ("no steps", None),
        ('["a"', None),
        ('["", "a"]', None),
        ('[{"step": 1}]', None),
        ("[null]", None),
        ('{"step": "a"}', None),
    ],
)
def test_steps_are_found_whatever_stands_around_them(answer: str, steps: list[str] | None) -> None:
    assert steps_in(answer) == steps


def test_hostile_answers_cost_little_and_raise_nothing() -> None:
    started = time.process_time()
    for answer in ("[" * 200_000, '["' * 50_000, "[" + "9" * 100_000 + "]", '[{"a":' * 20_000, "[" + '"x",' * 10_000 + '"x"]'):
        steps_in(answer)
    assert time.process_time() - started < 5
    assert steps_in("[" + '"x",' * 10_000 + '"x"]') == ["x"] * MAX_STEPS
    assert steps_in(f'["{"x" * 10_000}"]') == ["x" * MAX_STEP_LENGTH]


@given(st.text(alphabet='[]{}",:ab\\ 1', max_size=60))
def test_any_text_gives_steps_or_none(answer: str) -> None:
    steps = steps_in(answer)
    assert steps is None or all(step and step == step.strip() for step in steps)
