"""The figures of agents: what a person would see, at any moment of an agent's life, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent import CompletionResult, Entity, Message, Runner, ToolCall, World, append_message, spawn_agent, system, tool
from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    NameComponent,
    StreamingComponent,
    StreamStateComponent,
    UserInputComponent,
)
from ecs_agent.core import LoopClock, SupervisionComponent
from ecs_agent.errors import AuthenticationError, RateLimitError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Answer
from ecs_agent.systems import ReasoningSystem
from ecs_agent.telemetry import AgentPhase, AgentStats, agent_stats
from ecs_agent.testing import run
from ecs_agent.types import EntityId, Usage


@tool
async def glance() -> str:
    """Look at once."""
    return "rain"


@tool
async def look(place: str) -> str:
    """Look somewhere.

    Args:
        place: where.
    """
    await asyncio.sleep(3)
    return f"{place}: rain"


def asked(world: World, *answers: Answer, delay: float = 1.0, **options: Any) -> EntityId:
    """An agent with a question, whose model says a word a second, the first one after a second."""
    agent = spawn_agent(world, FakeProvider(answers, by="word", delay=delay), model="m", tools=[look, glance], **options)
    append_message(world, agent.entity, "Go.")
    return agent.entity


def seen_at(
    seconds: Sequence[float], prepare: Callable[[World], Any], runner: Callable[[World], Coroutine[Any, Any, Any]] | None = None
) -> list[list[AgentStats]]:
    """The stats at these times of a run, and after it."""

    async def main() -> list[list[AgentStats]]:
        seen: list[list[AgentStats]] = []
        async with World(clock=LoopClock()) as world:
            prepare(world)
            running = asyncio.ensure_future((runner or Runner().run)(world))
            for at in seconds:
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                seen.append(agent_stats(world))
            await running
            seen.append(agent_stats(world))
        return seen

    return run(main)


def test_an_agent_that_was_never_asked_is_new_and_has_nothing_to_tell() -> None:
    world = World()
    agent = spawn_agent(world, FakeProvider(["Hi."]), model="m")
    assert agent_stats(world) == [AgentStats(agent.entity, "", "m", AgentPhase.NEW, 0, None, False, None, None, 0.0, None, None, 0, None, None, None)]


def test_only_agents_are_listed_oldest_first_with_name_model_and_parent() -> None:
    world = World()
    world.create_entity()
    boss = spawn_agent(world, FakeProvider([]), model="m").entity
    child = world.spawn(LLMComponent(FakeProvider([])), NameComponent("scout"), parent=boss)
    assert [(each.entity, each.name, each.model, each.parent) for each in agent_stats(world)] == [
        (boss, "", "m", None),
        (child, "scout", "fake", boss),
    ]


def test_an_agent_with_a_question_in_a_world_that_nobody_runs_is_ready() -> None:
    world = World()
    asked(world, "Hi.")
    assert [each.phase for each in agent_stats(world)] == [AgentPhase.READY]


def test_an_answer_that_arrives_is_counted_by_its_characters_and_timed() -> None:
    (early,), (late,), (over,) = seen_at([0.5, 8.5], lambda world: asked(world, [2.0, "one two three four five six seven eight nine"]))
    assert (early.phase, early.turn, early.tokens, early.first_token, early.stalled) == (AgentPhase.ASKED, 1, 0, None, 0.5)
    assert early.estimated
    assert early.is_open
    assert (late.phase, late.first_token, late.stalled, late.longest_gap) == (AgentPhase.STREAMING, 3.0, 0.5, 1.0)
    assert late.tokens == len("one two three four five six ") // 4
    assert late.tokens_per_second == pytest.approx(late.tokens / 5.5)
    assert (over.phase, over.reason, over.stalled, over.first_token, over.is_open) == (AgentPhase.IDLE, "idle", 0.0, 3.0, False)


def test_an_answer_that_does_not_stream_is_asked_for_until_it_is_there() -> None:
    def prepare(world: World) -> None:
        world.add_component(asked(world, [5.0, "one two three four"]), StreamingComponent(enabled=False))

    (waiting,), (over,) = seen_at([2.5], prepare)
    assert (waiting.phase, waiting.stalled, waiting.tokens) == (AgentPhase.ASKED, 2.5, 0)
    assert over.phase is AgentPhase.IDLE


def test_tokens_are_the_providers_count_as_soon_as_it_is_known() -> None:
    *_, (over,) = seen_at([], lambda world: asked(world, ["one two three", Usage(10, 7, 17)]))
    assert (over.tokens, over.estimated, over.usage) == (7, False, Usage(10, 7, 17))


def test_the_tokens_of_a_second_turn_are_added_to_those_of_the_first() -> None:
    call: Answer = [ToolCall("c1", "look", {"place": "Oslo"}), Usage(10, 7, 17)]
    *_, (second,), (_over,) = seen_at([9.5], lambda world: asked(world, call, "one two three four five six seven eight nine ten"))
    assert (second.phase, second.turn) == (AgentPhase.STREAMING, 2)
    assert second.tokens is not None
    assert second.tokens > 7
    assert second.estimated


def test_an_answer_that_stalls_is_seen_to_and_its_rate_falls() -> None:
    (moving,), (stalled,), _ = seen_at([1.5, 21.5], lambda world: asked(world, ["one two ", 30.0, "three"]))
    assert (stalled.stalled, stalled.longest_gap) == (19.5, 19.5)
    assert moving.tokens_per_second is not None
    assert stalled.tokens_per_second is not None
    assert stalled.tokens_per_second < moving.tokens_per_second / 4


def test_whoever_waits_for_a_permit_is_queued() -> None:
    def prepare(world: World) -> None:
        world.register_system(ReasoningSystem(max_requests=1))
        asked(world, "one two three")
        asked(world, "one two three")

    (first, second), _ = seen_at([2.5], prepare)
    assert (first.phase, second.phase) == (AgentPhase.STREAMING, AgentPhase.QUEUED)


def test_tools_that_run_are_counted() -> None:
    calls = [ToolCall("c1", "look", {"place": "Oslo"}), ToolCall("c2", "look", {"place": "Rome"}), ToolCall("c3", "glance", {})]
    (during,), (_over,) = seen_at([3.0], lambda world: asked(world, CompletionResult(Message("assistant", "", calls)), "Rain.", delay=0.1))
    assert (during.phase, during.tools_running, during.reason) == (AgentPhase.TOOLS, 2, None)


def test_an_agent_that_failed_says_why() -> None:
    *_, (over,) = seen_at([], lambda world: asked(world, ["Some text", StreamInterruptedError("the connection was lost")]))
    assert (over.phase, over.error, over.reason) == (AgentPhase.FAILED, "the connection was lost", "failed")


def test_an_agent_that_is_tried_again_is_no_failure_yet() -> None:
    def prepare(world: World) -> None:
        world.add_component(asked(world, RateLimitError("wait", retry_after=5.0), "Hi."), SupervisionComponent())

    (waiting,), (over,) = seen_at([3.0], prepare)
    assert (waiting.phase, waiting.error, waiting.reason) == (AgentPhase.RETRYING, "wait", None)
    assert (over.phase, over.error) == (AgentPhase.IDLE, None)


def test_an_agent_that_failed_too_often_is_quarantined() -> None:
    def prepare(world: World) -> None:
        entity = asked(world, *[AuthenticationError("no")] * 9)
        world.add_component(entity, SupervisionComponent(restarts=1, backoff=0.1, retryable_only=False))

    *_, (over,) = seen_at([], prepare)
    assert (over.phase, over.reason, over.error is not None) == (AgentPhase.QUARANTINED, "quarantined", True)


def test_whoever_waits_for_a_person_waits() -> None:
    world = World()
    entity = asked(world, "Hi.")
    world.add_component(entity, UserInputComponent("Which one?"))
    assert [(each.phase, each.reason) for each in agent_stats(world)] == [(AgentPhase.WAITING, "waiting_input")]


def test_an_agent_that_a_limit_ended_says_which() -> None:
    *_, (over,) = seen_at([], lambda world: asked(world, *[[ToolCall("c1", "look", {"place": "Oslo"})]] * 9, limits=LimitsComponent(turns=1)))
    assert (over.phase, over.reason) == (AgentPhase.ENDED, "max_turns")


def test_an_agent_that_was_told_to_stop_says_so() -> None:
    def prepare(world: World) -> None:
        world.add_component(asked(world, "Hi."), InterruptionComponent())

    *_, (over,) = seen_at([], prepare)
    assert (over.phase, over.reason) == (AgentPhase.IDLE, "interrupted")


def test_an_agent_whose_answer_the_end_of_the_run_cut_off_was_interrupted() -> None:
    *_, (over,) = seen_at([], lambda world: asked(world, "one two three four"), lambda world: Runner().run(world, deadline=2.5))
    assert (over.phase, over.reason, over.tokens) == (AgentPhase.IDLE, "interrupted", 2)


def test_whoever_meets_at_a_barrier_waits_there() -> None:
    @dataclass(slots=True)
    class Slow:
        pass

    @system(priority=-5)
    async def slow(me: Entity, _slow: Slow) -> None:
        await asyncio.sleep(5)
        me.remove(Slow)

    class Meeting:
        async def process(self, world: World) -> None:
            pass

    def prepare(world: World) -> None:
        world.register_system(slow)
        world.register_system(Meeting(), priority=-1)
        asked(world, "Hi.")
        world.add_component(asked(world, "Hi."), Slow())

    (first, second), _ = seen_at([2.0], prepare)
    assert (first.phase, second.phase) == (AgentPhase.AT_BARRIER, AgentPhase.RUNNING)


def test_a_long_answer_is_counted_exactly_however_often_one_asks() -> None:
    world = World()
    entity = spawn_agent(world, FakeProvider([])).entity
    state = StreamStateComponent(1)
    world.add_component(entity, state)
    provider = FakeProvider(["word " * 1500], by="word", delay=0)

    async def main() -> None:
        stream = await provider.complete([Message("user", "Go.")], stream=True)
        number = 0
        async for delta in stream:
            state.add([delta])
            number += 1
            if number % 7 == 0:
                assert agent_stats(world)[0].tokens == len(state.result().message.content) // 4

    run(main)
    assert state.merged > 0


def test_an_entity_that_is_gone_leaves_nothing_behind() -> None:
    world = World()
    entity = asked(world, "Hi.")
    world.add_component(entity, StreamStateComponent(1))
    assert len(agent_stats(world)) == 1
    world.delete_entity(entity)
    assert agent_stats(world) == []


def test_asking_changes_nothing() -> None:
    world = World()
    entity = asked(world, "Hi.")
    facts = world.log.next_pos
    agent_stats(world)
    conversation = world.get_component(entity, ConversationComponent)
    assert (world.log.next_pos, conversation and len(conversation.messages)) == (facts, 1)
