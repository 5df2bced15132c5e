"""Reasoning: one turn of one agent, through the World."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    PendingToolCallsComponent,
    RequestOptionsComponent,
    StreamingComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.core import EndReason, Runner, World
from ecs_agent.errors import ProviderExhaustedError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.systems import AttemptInterrupted, ReasoningSystem, TurnStarted
from ecs_agent.systems.reasoning import visible
from ecs_agent.types import (
    CompletionResult,
    EntityId,
    Message,
    StreamDelta,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextPart,
    ToolCall,
    ToolSchema,
    Usage,
)


def agent(world: World, provider: Any, *components: object, said: str = "Hi") -> EntityId:
    if not world.schedule.entity_systems:
        world.register_system(ReasoningSystem())
    entity = world.create_entity()
    for component in (LLMComponent(provider), ConversationComponent([Message("user", said)]), *components):
        world.add_component(entity, component)
    return entity


def said(world: World, entity: EntityId) -> list[Message]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    return held.messages


def facts(world: World, kind: type) -> list[Any]:
    return [envelope.payload for envelope in world.log.read() if type(envelope.payload) is kind]


async def test_an_answer_becomes_one_message_and_the_agent_rests() -> None:
    world = World()
    entity = agent(world, Scripted(text("Hel", "lo")))
    result = await Runner().run(world)
    assert result[entity].reason is EndReason.IDLE
    assert said(world, entity)[-1] == Message("assistant", "Hello")
    assert not world.has_component(entity, StreamStateComponent)


async def test_it_asks_once_and_not_on_every_tick() -> None:
    world = World()
    provider = Scripted(text("Hello"))
    agent(world, provider)
    await Runner().run(world)
    await world.process()
    await Runner().run(world)
    assert len(provider.requests) == 1


async def test_every_delta_stands_in_state_before_anyone_sees_it() -> None:
    world = World()
    entity = agent(world, Scripted(text("a", "b", "c")))
    seen: list[tuple[str, str]] = []
    original = world.event_bus.dispatch

    def spy(entry: Any, *rest: Any) -> None:
        if entry.event_type is StreamDeltaEvent:
            state = world.get_component(entity, StreamStateComponent)
            assert state is not None
            seen.append(("".join(event.delta.content or "" for event in entry.payloads()), state.result().message.content))
        original(entry, *rest)

    world.event_bus.dispatch = spy  # type: ignore[method-assign, assignment]  # to look at the moment of delivery
    async with world.events():
        await Runner().run(world)
    assert seen == [("abc", "abc")]


async def test_deltas_that_arrive_one_by_one_are_stored_and_told_one_by_one() -> None:
    world = World()
    entity = agent(world, FakeProvider(["abc"], delay=0.001))
    async with world.events(entity, types=(StreamDeltaEvent,)) as events:
        running = asyncio.ensure_future(Runner().run(world))
        for expected in ("a", "ab", "abc"):
            await anext(events)
            state = world.get_component(entity, StreamStateComponent)
            assert state is not None
            assert state.result().message.content == expected
        await running


async def test_the_events_of_a_turn_come_in_order_and_belong_to_it() -> None:
    world = World()
    agent(world, Scripted(text("x")))
    await Runner().run(world)
    kinds = (TurnStarted, StreamStartEvent, StreamDeltaEvent, StreamEndEvent)
    found = [envelope for envelope in world.log.read() if isinstance(envelope.payload, kinds)]
    assert [type(e.payload) for e in found] == [TurnStarted, StreamStartEvent, StreamDeltaEvent, StreamDeltaEvent, StreamEndEvent]
    assert {(e.run, e.turn, e.attempt) for e in found} == {(1, 1, 1)}


async def test_tool_calls_become_pending_and_the_model_is_not_asked_again_before_their_results() -> None:
    world = World()
    provider = Scripted(calls(ToolCall("c1", "f", {"a": 1})))
    entity = agent(world, provider)
    await Runner().run(world)
    pending = world.get_component(entity, PendingToolCallsComponent)
    assert pending is not None
    assert pending.tool_calls == [ToolCall("c1", "f", {"a": 1})]
    assert len(provider.requests) == 1


async def test_calls_of_a_filtered_answer_are_no_calls() -> None:
    world = World()
    entity = agent(world, Scripted([StreamDelta(content="no", tool_calls=[ToolCall("c", "f")], finish_reason="content_filter", final=True)]))
    await Runner().run(world)
    assert not world.has_component(entity, PendingToolCallsComponent)
    assert said(world, entity)[-1] == Message("assistant", "no")


async def test_an_answer_that_breaks_off_is_kept_as_interrupted_and_the_error_is_the_agents() -> None:
    world = World()
    error = StreamInterruptedError("the connection was lost")
    entity = agent(world, Scripted([StreamDelta(content="half"), error]))
    result = await Runner().run(world)
    assert result[entity].error is error
    assert said(world, entity)[-1] == Message("assistant", "half", interrupted=True)
    failed = world.get_component(entity, ErrorComponent)
    assert failed is not None
    assert (failed.kind, failed.retryable, failed.system_name) == ("stream_interrupted", True, "ReasoningSystem")
    assert [event.message for event in facts(world, AttemptInterrupted)] == [Message("assistant", "half", interrupted=True)]


async def test_half_a_tool_call_is_not_a_call() -> None:
    world = World()
    unfinished = ToolCall("c", "f", {}, raw_arguments='{"a": ')
    entity = agent(world, Scripted([StreamDelta(content="let me", tool_calls=[unfinished]), StreamInterruptedError("lost")]))
    await Runner().run(world)
    assert said(world, entity)[-1] == Message("assistant", "let me", interrupted=True)


async def test_nothing_is_kept_of_an_answer_that_never_began() -> None:
    world = World()
    entity = agent(world, Scripted([StreamInterruptedError("lost")]))
    await Runner().run(world)
    assert [m.role for m in said(world, entity)] == ["user"]
    assert not world.has_component(entity, StreamStateComponent)


async def test_an_interruption_stops_the_stream_at_once_and_keeps_what_was_said() -> None:
    world = World()
    provider = Scripted([StreamDelta(content="so far"), asyncio.Event()])
    entity = agent(world, provider)
    running = asyncio.ensure_future(Runner().run(world))
    while not facts(world, StreamDeltaEvent):
        await asyncio.sleep(0)
    world.add_component(entity, InterruptionComponent())
    result = await running
    assert result[entity].error is None
    assert said(world, entity)[-1] == Message("assistant", "so far", interrupted=True)
    assert provider.closed == 1


async def test_a_cancelled_run_keeps_what_was_said_too() -> None:
    world = World()
    provider = Scripted([StreamDelta(content="so far"), asyncio.Event()])
    entity = agent(world, provider)
    running = asyncio.ensure_future(Runner().run(world))
    while not facts(world, StreamDeltaEvent):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert said(world, entity)[-1] == Message("assistant", "so far", interrupted=True)
    assert provider.closed == 1


async def test_an_attempt_without_an_owner_can_be_kept_as_interrupted() -> None:
    world = World()
    orphan = StreamStateComponent(1, [StreamDelta(content="from before")], resume="interrupted")
    provider = Scripted()
    entity = agent(world, provider, orphan)
    await Runner().run(world)
    assert provider.requests == []
    assert said(world, entity)[-1] == Message("assistant", "from before", interrupted=True)


async def test_an_exhausted_provider_ends_its_agent() -> None:
    class Exhausted:
        async def complete(self, messages: object, stream: bool = False, **_: object) -> object:
            raise ProviderExhaustedError("no answers left")

    world = World()
    entity = agent(world, Exhausted())
    result = await Runner().run(world)
    assert result[entity].reason is EndReason.TERMINAL
    assert world.get_component(entity, TerminalComponent) == TerminalComponent("provider_exhausted")


async def test_an_empty_answer_is_legal_and_asked_for_once() -> None:
    world = World()
    provider = Scripted([StreamDelta(finish_reason="stop", final=True)])
    entity = agent(world, provider)
    await Runner().run(world)
    assert len(provider.requests) == 1
    assert said(world, entity)[-1] == Message("assistant")


async def test_without_streaming_the_whole_answer_is_asked_for() -> None:
    class Whole:
        asked: bool | None = None

        async def complete(self, messages: object, stream: bool = False) -> object:
            self.asked = stream
            return CompletionResult(Message("assistant", "whole"), Usage(1, 2, 3), "stop")

    world, provider = World(), Whole()
    entity = agent(world, provider, StreamingComponent(enabled=False))
    await Runner().run(world)
    assert provider.asked is False
    assert said(world, entity)[-1] == Message("assistant", "whole")
    assert facts(world, StreamDeltaEvent) == []


class TestWhatIsSent:
    async def test_the_options_the_tools_and_the_model_of_the_agent(self) -> None:
        world = World()
        provider = Scripted(text("ok"))
        schema = ToolSchema("f", "", {"type": "object"})
        entity = agent(world, provider, RequestOptionsComponent({"temperature": 0.5}), ToolRegistryComponent({"f": schema}, {}))
        world.add_component(entity, LLMComponent(provider, model="other"))
        await Runner().run(world)
        assert provider.options == [{"temperature": 0.5, "tools": [schema], "model": "other"}]

    async def test_an_option_a_provider_does_not_take_is_left_out_with_a_warning(self) -> None:
        class Narrow:
            async def complete(self, messages: object, stream: bool = False) -> object:
                return CompletionResult(Message("assistant", "ok"))

        world = World()
        entity = agent(world, Narrow(), RequestOptionsComponent({"seed": 7}))
        with pytest.warns(RuntimeWarning, match="'seed'"):
            await Runner().run(world)
        assert said(world, entity)[-1] == Message("assistant", "ok")

    @pytest.mark.parametrize(
        ("prompt", "history", "expected"),
        [
            ("own", [Message("user", "x")], ["own"]),
            ("own", [Message("system", "old"), Message("user", "x")], ["own"]),
            ("", [Message("system", "old"), Message("user", "x")], ["old"]),
            ("", [Message("user", "x")], []),
        ],
    )
    def test_exactly_one_system_message(self, prompt: str, history: list[Message], expected: list[str]) -> None:
        assert [m.content for m in visible(history, prompt) if m.role == "system"] == expected

    async def test_the_prompt_component_wins_over_the_llm_components(self) -> None:
        world = World()
        provider = Scripted(text("ok"))
        entity = agent(world, provider, SystemPromptComponent("from the component"))
        world.add_component(entity, LLMComponent(provider, "", "from the llm"))
        await Runner().run(world)
        assert provider.requests[0][0].content == "from the component"

    def test_empty_answers_are_not_sent(self) -> None:
        assert visible([Message("user", "a"), Message("assistant"), Message("user", "b")], "") == [Message("user", "a"), Message("user", "b")]


class TestLimits:
    async def test_a_run_ends_after_so_many_turns(self) -> None:
        world = World()
        entity = agent(world, Scripted(text("never")), LimitsComponent(turns=1), TurnComponent(run=1, turn=1))
        result = await Runner().run(world)
        assert result[entity].reason is EndReason.TERMINAL
        assert world.get_component(entity, TerminalComponent) == TerminalComponent("max_turns")

    async def test_a_run_ends_after_so_many_tokens(self) -> None:
        world = World()
        entity = agent(world, Scripted(text("never")), LimitsComponent(tokens=10), TurnComponent(run=1, usage=Usage(5, 5, 10)))
        await Runner().run(world)
        assert world.get_component(entity, TerminalComponent) == TerminalComponent("max_tokens")

    async def test_usage_of_all_turns_is_added_up(self) -> None:
        world = World()
        final = StreamDelta(finish_reason="stop", usage=Usage(1, 2, 3), final=True)
        entity = agent(world, Scripted([final]), TurnComponent(run=1, turn=1, usage=Usage(10, 20, 30)))
        await Runner().run(world)
        turn = world.get_component(entity, TurnComponent)
        assert turn is not None
        assert turn.usage == Usage(11, 22, 33)


def test_a_long_answer_costs_its_text_and_not_its_pieces() -> None:
    state = StreamStateComponent(1)
    for _ in range(20_000):
        state.add([StreamDelta(content="x")])
    assert len(state.deltas) < 2_000
    assert state.result().message.parts == (TextPart("x" * 20_000),)


async def test_a_flood_of_deltas_lets_others_run() -> None:
    world = World()
    agent(world, Scripted([*[StreamDelta(content="x")] * 1_000, StreamDelta(finish_reason="stop", final=True)]))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while world.engine is not None or turns == 0:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(Runner().run(world), other())
    assert turns > 10
