"""Programs in the form of the reference framework: they run as they are, and each difference that is meant has its test.

The first part is written as its users write. The second part goes through the differences one by one, as docs/migration.md lists them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    ErrorComponent,
    KVStoreComponent,
    LLMComponent,
    OwnerComponent,
    PendingToolCallsComponent,
    PlanComponent,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    ToolResultsComponent,
    UserInputComponent,
)
from ecs_agent.core import EndReason, EventBus, Query, Runner, World
from ecs_agent.core.system import System
from ecs_agent.errors import ProviderExhaustedError, ServerError, StreamInterruptedError
from ecs_agent.providers import FakeProvider, OpenAIProvider, RetryProvider
from ecs_agent.serialization import WorldSerializer
from ecs_agent.systems import answer_input, append_message, history_problems, send_message_tool
from ecs_agent.systems.collaboration import CollaborationSystem
from ecs_agent.systems.error_handling import ErrorHandlingSystem
from ecs_agent.systems.memory import MemorySystem
from ecs_agent.systems.planning import PlanningSystem
from ecs_agent.systems.reasoning import ReasoningSystem
from ecs_agent.systems.replanning import ReplanningSystem
from ecs_agent.systems.tool_execution import ToolExecutionSystem
from ecs_agent.systems.user_input import UserInputSystem
from ecs_agent.testing import LoopbackServer, chat_reply, run
from ecs_agent.types import (
    CompletionResult,
    ConversationTruncatedEvent,
    EntityId,
    ErrorOccurredEvent,
    Message,
    MessageDeliveredEvent,
    PlanRevisedEvent,
    PlanStepCompletedEvent,
    RetryConfig,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    ToolCall,
    ToolSchema,
    Usage,
    UserInputRequestedEvent,
)


@dataclass
class Health:
    points: int


@dataclass
class Poison:
    strength: int


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)


class PoisonSystem:
    """A system in the reference's form."""

    async def process(self, world: World) -> None:
        for _, (health, poison) in world.query(Health, Poison):
            health.points -= poison.strength


class DeathSystem:
    async def process(self, world: World) -> None:
        for entity, (health,) in world.query(Health):
            if health.points <= 0 and not world.has_component(entity, TerminalComponent):
                world.add_component(entity, TerminalComponent(reason="dead"))


def answer(text: str, *calls: ToolCall) -> CompletionResult:
    return CompletionResult(message=Message(role="assistant", content=text, tool_calls=list(calls) or None), usage=Usage(10, 5, 15))


def create_agent(world: World, provider: Any, *messages: str, **more: Any) -> EntityId:
    agent = world.create_entity()
    world.add_component(agent, LLMComponent(provider=provider, model="fake", **more))
    world.add_component(agent, ConversationComponent(messages=[Message(role="user", content=text) for text in messages]))
    return agent


def standard_systems(world: World) -> None:
    world.register_system(ReasoningSystem(priority=0), priority=0)
    world.register_system(PlanningSystem(priority=0), priority=0)
    world.register_system(ToolExecutionSystem(priority=5), priority=5)
    world.register_system(CollaborationSystem(priority=5), priority=5)
    world.register_system(ReplanningSystem(priority=7), priority=7)
    world.register_system(MemorySystem(), priority=10)
    world.register_system(ErrorHandlingSystem(priority=99), priority=99)


def texts(world: World, agent: EntityId) -> list[str]:
    conversation = world.get_component(agent, ConversationComponent)
    assert conversation is not None
    assert history_problems(conversation.messages) == []
    return [message.content for message in conversation.messages]


# What runs as it is


def test_entities_components_queries_and_systems() -> None:
    async def main() -> None:
        world = World()
        world.register_system(PoisonSystem(), priority=0)
        world.register_system(DeathSystem(), priority=10)
        hero, rat = world.create_entity(), world.create_entity()
        world.add_component(hero, Health(points=100))
        world.add_component(hero, KVStoreComponent(store={"name": "Ann"}))
        world.add_component(rat, Health(points=3))
        world.add_component(rat, Poison(strength=5))
        world.add_component(rat, OwnerComponent(owner_id=hero))
        await world.process()

        assert world.get_component(rat, Health) == Health(-2)
        assert world.get_component(rat, TerminalComponent) == TerminalComponent("dead")
        assert world.query(Health, Poison) == [(rat, (Health(-2), Poison(5)))]
        assert not world.has_component(hero, TerminalComponent)
        world.remove_component(rat, Poison)
        assert world.query(Poison) == []
        assert world.get_component(rat, Poison) is None
        world.delete_entity(rat)
        assert [entity for entity, _ in world.query(Health)] == [hero]
        assert isinstance(PoisonSystem(), System)
        assert isinstance(Query(), Query)

    run(main)


def test_an_agent_answers() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider(responses=[answer("Hello! How can I help?")]), "Hello!")
        await Runner().run(world, max_ticks=100)
        assert texts(world, agent) == ["Hello!", "Hello! How can I help?"]
        conversation = world.get_component(agent, ConversationComponent)
        assert conversation is not None
        assert conversation.messages[-1].role == "assistant"
        assert not world.has_component(agent, ErrorComponent)

    run(main)


def test_tools_are_a_dict_of_schemas_and_a_dict_of_async_functions() -> None:
    async def add(a: int, b: int) -> str:
        return str(a + b)

    async def fail() -> str:
        raise RuntimeError("broken")

    numbers = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}

    async def main() -> None:
        world = World()
        standard_systems(world)
        calls = [ToolCall(id="c1", name="add", arguments={"a": 2, "b": 3}), ToolCall(id="c2", name="fail", arguments={})]
        provider = FakeProvider([answer("", *calls), answer("It is 5, and one tool is broken.")])
        agent = create_agent(world, provider, "What is 2 + 3?")
        world.add_component(
            agent,
            ToolRegistryComponent(
                tools={
                    "add": ToolSchema(name="add", description="Add two numbers.", parameters=numbers),
                    "fail": ToolSchema(name="fail", description="Fail.", parameters={"type": "object", "properties": {}}),
                },
                handlers={"add": add, "fail": fail},
            ),
        )
        await Runner().run(world, max_ticks=100)
        assert texts(world, agent)[2] == "5"
        assert "broken" in texts(world, agent)[3]
        assert texts(world, agent)[4:] == ["It is 5, and one tool is broken."]
        assert not world.has_component(agent, PendingToolCallsComponent)
        results = world.get_component(agent, ToolResultsComponent)
        assert results is not None
        assert results.results["c1"] == "5"

    run(main)


def test_events_go_to_async_handlers_by_type() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider([answer("Hi")]), "Hello")
        seen: list[Any] = []

        async def note(event: Any) -> None:
            seen.append(event)

        for kind in (StreamStartEvent, StreamDeltaEvent, StreamEndEvent):
            world.event_bus.subscribe(kind, note)
        await Runner().run(world, max_ticks=None)
        assert seen[0] == StreamStartEvent(agent)
        assert "".join([event.delta.content or "" for event in seen if isinstance(event, StreamDeltaEvent)]) == "Hi"
        assert isinstance(seen[-1], StreamEndEvent)
        assert seen[-1].result.message.content == "Hi"

    run(main)


def test_a_bus_can_be_used_by_itself() -> None:
    async def main() -> None:
        bus = EventBus()
        seen: list[int] = []

        async def note(event: Health) -> None:
            await asyncio.sleep(0.1)
            seen.append(event.points)

        bus.subscribe(Health, note)
        await bus.publish(Health(1))
        assert seen == [1]
        bus.unsubscribe(Health, note)
        await bus.publish(Health(2))
        bus.subscribe(Health, note)
        bus.clear()
        await bus.publish(Health(3))
        assert seen == [1]

    run(main)


def test_a_plan_is_worked_through_step_by_step() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        steps = ["Research the topic", "Write an outline", "Write the text"]
        agent = create_agent(world, FakeProvider([answer("Researched."), answer("Outlined."), answer("Written.")]))
        world.add_component(agent, PlanComponent(steps=list(steps)))
        done: list[PlanStepCompletedEvent] = []

        async def note(event: PlanStepCompletedEvent) -> None:
            done.append(event)

        world.event_bus.subscribe(PlanStepCompletedEvent, note)
        await Runner().run(world, max_ticks=100)
        plan = world.get_component(agent, PlanComponent)
        assert plan is not None
        assert (plan.current_step, plan.completed) == (3, True)
        assert [(event.step_index, event.step_description) for event in done] == list(enumerate(steps))
        assert texts(world, agent)[-2:] == ["Step 3 of 3: Write the text", "Written."]

    run(main)


def test_a_plan_is_revised_after_a_failed_tool() -> None:
    async def fetch() -> str:
        raise RuntimeError("no such page")

    async def main() -> None:
        world = World()
        standard_systems(world)
        provider = FakeProvider([answer("", ToolCall("c", "fetch")), answer('["Search"]'), answer("It is gone."), answer("Found.")])
        agent = create_agent(world, provider)
        world.add_component(agent, PlanComponent(steps=["Fetch the page"]))
        world.add_component(agent, ToolRegistryComponent(tools={}, handlers={"fetch": fetch}))
        revised: list[PlanRevisedEvent] = []

        async def note(event: PlanRevisedEvent) -> None:
            revised.append(event)

        world.event_bus.subscribe(PlanRevisedEvent, note)
        await Runner().run(world, max_ticks=100)
        assert revised == [PlanRevisedEvent(agent, ["Fetch the page"], ["Search"])]
        assert texts(world, agent)[-1] == "Found."

    run(main)


def test_two_agents_work_together_by_a_plan_and_by_messages() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        writer, critic = create_agent(world, None), create_agent(world, FakeProvider([answer("Too long.")]))
        to_critic = ToolCall("c", "send_message", {"to": critic, "text": "What do you think?"})
        plan_answers = [answer("A draft."), answer("", to_critic), answer("I asked."), answer("Thanks.")]
        world.add_component(writer, LLMComponent(provider=FakeProvider(plan_answers), model="fake"))
        world.add_component(writer, PlanComponent(steps=["Draft", "Ask the critic"]))
        world.add_component(writer, CollaborationComponent(peers=[critic], inbox=[]))
        world.add_component(critic, CollaborationComponent(peers=[writer], inbox=[]))
        send = send_message_tool(world, writer)
        world.add_component(writer, ToolRegistryComponent(tools={send.name: send.schema}, handlers={send.name: send}))
        delivered: list[MessageDeliveredEvent] = []

        async def note(event: MessageDeliveredEvent) -> None:
            delivered.append(event)
            if event.to_entity == critic:  # whoever holds the component may deliver, too
                collaboration = world.get_component(writer, CollaborationComponent)
                assert collaboration is not None
                collaboration.inbox.append((critic, Message(role="user", content="Let me read it.")))

        world.event_bus.subscribe(MessageDeliveredEvent, note)
        await Runner().run(world, max_ticks=100)
        assert texts(world, critic) == [f"[from agent {writer}] What do you think?", "Too long."]
        assert f"[from agent {critic}] Let me read it." in texts(world, writer)
        assert [(event.from_entity, event.to_entity) for event in delivered] == [(writer, critic), (critic, writer)]

    run(main)


def test_a_person_is_asked() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        world.register_system(UserInputSystem(priority=-10), priority=-10)
        agent = create_agent(world, FakeProvider([answer("Nice to meet you, Ann.")]))
        world.add_component(agent, UserInputComponent(prompt="Your name?"))

        async def reply(event: UserInputRequestedEvent) -> None:
            await asyncio.sleep(3)
            answer_input(world, event.entity_id, "Ann")

        world.event_bus.subscribe(UserInputRequestedEvent, reply)
        await Runner().run(world, max_ticks=100)
        assert texts(world, agent) == ["Ann", "Nice to meet you, Ann."]

    run(main)


def test_a_long_conversation_is_truncated() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider([answer("ok")]), *[f"message {number}" for number in range(30)])
        conversation = world.get_component(agent, ConversationComponent)
        assert conversation is not None
        conversation.max_messages = 10
        removed: list[int] = []

        async def note(event: ConversationTruncatedEvent) -> None:
            removed.append(event.removed_count)

        world.event_bus.subscribe(ConversationTruncatedEvent, note)
        await Runner().run(world, max_ticks=100)
        assert len(conversation.messages) == 10
        assert removed == [21]

    run(main)


def test_a_provider_that_has_no_answer_left_ends_its_agent() -> None:
    async def main() -> None:
        with pytest.raises(IndexError):
            await FakeProvider([]).complete([Message(role="user", content="Hi")])
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider([]), "Hi")
        await Runner().run(world, max_ticks=100)
        assert world.get_component(agent, TerminalComponent) == TerminalComponent("provider_exhausted")
        assert issubclass(ProviderExhaustedError, IndexError)

    run(main)


def test_a_failing_provider_is_an_error_component_and_an_event() -> None:
    class Broken:
        async def complete(self, messages: Sequence[Message], stream: bool = False, **_: Any) -> CompletionResult:
            raise ConnectionError("no route")

    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, Broken(), "Hi")
        seen: list[ErrorOccurredEvent] = []

        async def note(event: ErrorOccurredEvent) -> None:
            seen.append(event)

        world.event_bus.subscribe(ErrorOccurredEvent, note)
        await Runner().run(world, max_ticks=100)
        assert seen == [ErrorOccurredEvent(agent, "no route", "ReasoningSystem")]
        error = world.get_component(agent, ErrorComponent)
        assert error is not None
        assert (error.error, error.system_name) == ("no route", "ReasoningSystem")

    run(main)


def test_providers_are_wrapped_for_retries() -> None:
    async def main() -> None:
        flaky = FakeProvider([ServerError("down"), ServerError("down"), answer("At last.")])
        provider = RetryProvider(flaky, retry_config=RetryConfig(max_attempts=3))
        assert (await provider.complete([Message(role="user", content="Hi")])).message.content == "At last."

    run(main)


async def test_the_contracts_own_example_prints_the_story_as_it_arrives() -> None:
    async with LoopbackServer([chat_reply("Once upon a time.", usage=Usage(5, 4, 9))]) as server:
        provider = OpenAIProvider(api_key="test-key", base_url=server.base_url, model="qwen3.5-plus")
        printed: list[str] = []
        deltas = await provider.complete([Message(role="user", content="Tell me a short story.")], stream=True)
        async for delta in deltas:
            if delta.content:
                printed.append(delta.content)
            if delta.finish_reason:
                assert delta.usage is not None
                printed.append(f"[{delta.finish_reason}, {delta.usage.total_tokens}]")
        assert "".join(printed) == "Once upon a time.[stop, 9]"
        assert len(printed) > 2
        await provider.aclose()


# Where we differ on purpose


def test_difference_agents_run_at_the_same_time() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agents = [create_agent(world, FakeProvider(["x"], delay=0.3), "Hi") for _ in range(8)]
        started = asyncio.get_running_loop().time()
        await Runner().run(world, max_ticks=100)
        assert asyncio.get_running_loop().time() - started < 0.7, "two deltas of 0.3 s, not eight times that"
        assert all(len(texts(world, agent)) == 2 for agent in agents)

    run(main)


def test_difference_the_tools_of_a_turn_run_at_the_same_time() -> None:
    async def slow() -> str:
        await asyncio.sleep(1)
        return "done"

    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider([answer("", *[ToolCall(f"c{n}", "slow") for n in range(5)]), "ok"], delay=0), "Go")
        world.add_component(agent, ToolRegistryComponent(tools={}, handlers={"slow": slow}))
        started = asyncio.get_running_loop().time()
        await Runner().run(world, max_ticks=100)
        assert asyncio.get_running_loop().time() - started == pytest.approx(1)

    run(main)


def test_difference_a_model_is_asked_only_when_it_is_its_turn() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        provider = FakeProvider(["Hello!"] * 100)
        create_agent(world, provider, "Hi")
        await Runner().run(world, max_ticks=100)
        for _ in range(10):
            await world.process()
        assert len(provider.calls) == 1

    run(main)


def test_difference_terminal_ends_its_agent_and_not_the_others() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        ended, other = create_agent(world, FakeProvider(["no"]), "Hi"), create_agent(world, FakeProvider(["yes"]), "Hi")
        world.add_component(ended, TerminalComponent("done"))
        result = await Runner().run(world, max_ticks=100)
        assert texts(world, ended) == ["Hi"]
        assert texts(world, other) == ["Hi", "yes"]
        assert (result[ended].reason, result[other].reason) == (EndReason.TERMINAL, EndReason.IDLE)

    run(main)


def test_difference_an_idle_run_ends_and_what_should_tick_is_ticked() -> None:
    async def main() -> None:
        world = World()
        world.register_system(PoisonSystem(), priority=0)
        rat = world.create_entity()
        world.add_component(rat, Health(points=100))
        world.add_component(rat, Poison(strength=1))
        await Runner().run(world, max_ticks=100)
        assert world.get_component(rat, Health) == Health(99), "its own changes do not make a system due again"
        for _ in range(10):
            await world.process()
        assert world.get_component(rat, Health) == Health(89)

    run(main)


def test_difference_max_ticks_is_per_agent_makes_no_entity_and_is_told_in_the_result() -> None:
    async def main() -> None:
        async def again() -> str:
            return "again"

        world = World()
        standard_systems(world)
        endless = create_agent(world, FakeProvider([answer("", ToolCall("c", "again"))] * 50), "Go")
        world.add_component(endless, ToolRegistryComponent(tools={}, handlers={"again": again}))
        brief = create_agent(world, FakeProvider(["Bye."]), "Go")
        before = world.entities
        result = await Runner().run(world, max_ticks=10)
        assert (result[endless].reason, result[endless].steps) == (EndReason.MAX_TICKS, 10)
        assert result[brief].reason is EndReason.IDLE
        assert world.entities == before
        assert world.query(TerminalComponent) == []

    run(main)


def test_difference_a_system_in_the_references_form_is_a_barrier() -> None:
    class Observer:
        def __init__(self) -> None:
            self.lengths: list[list[int]] = []

        async def process(self, world: World) -> None:
            self.lengths.append([len(conversation.messages) for _, (conversation,) in world.query(ConversationComponent)])

    async def main() -> None:
        world = World()
        standard_systems(world)
        observer = Observer()
        world.register_system(observer, priority=50)
        for seconds in (0.01, 5):
            create_agent(world, FakeProvider(["x"], delay=seconds), "Hi")
        await Runner().run(world, max_ticks=100)
        assert observer.lengths[0] == [2, 2], "it sees everyone at the same place: all wait there for the slowest"
        assert "Observer" in str(world.schedule.explain())

    run(main)


def test_difference_messages_and_calls_are_frozen_and_the_list_is_edited() -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider(["Fine.", "Good."]), "Hi")
        conversation = world.get_component(agent, ConversationComponent)
        assert conversation is not None
        with pytest.raises(FrozenInstanceError):
            conversation.messages[0].role = "system"  # type: ignore[misc]
        with pytest.raises(FrozenInstanceError):
            ToolCall("c", "f").name = "g"  # type: ignore[misc]
        await Runner().run(world, max_ticks=100)
        conversation.messages.append(Message(role="user", content="And now?"))
        await Runner().run(world, max_ticks=100)
        append_message(world, agent, "One more?")
        assert texts(world, agent) == ["Hi", "Fine.", "And now?", "Good.", "One more?"]

    run(main)


async def test_difference_a_cut_stream_is_an_error_with_what_had_arrived() -> None:
    async with LoopbackServer([chat_reply("Half an ans", finish=False)]) as server, World() as world:
        standard_systems(world)
        provider = OpenAIProvider(api_key="test-key", base_url=server.base_url, model="m")
        agent = create_agent(world, provider, "Hi")
        result = await Runner().run(world, max_ticks=100)
        assert isinstance(result[agent].error, StreamInterruptedError)
        conversation = world.get_component(agent, ConversationComponent)
        assert conversation is not None
        assert (conversation.messages[-1].content, conversation.messages[-1].interrupted) == ("Half an ans", True)
        await provider.aclose()


async def test_difference_the_models_name_and_the_system_prompt_are_sent() -> None:
    async with LoopbackServer([chat_reply("Ahoy!"), chat_reply("Ahoy!")]) as server, World() as world:
        standard_systems(world)
        provider = OpenAIProvider(api_key="test-key", base_url=server.base_url, model="default")
        agent = world.create_entity()
        world.add_component(agent, LLMComponent(provider=provider, model="chosen", system_prompt="You are a pirate."))
        called = ToolCall("c", "look", {"at": "sea"})
        history = [Message("user", "Look!"), Message("assistant", "", [called]), Message("tool", "waves", tool_call_id="c")]
        world.add_component(agent, ConversationComponent(history))
        await Runner().run(world, max_ticks=100)
        sent = server.requests[0].body
        assert sent["model"] == "chosen"
        assert sent["messages"][0] == {"role": "system", "content": "You are a pirate."}
        assert sent["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"at": "sea"}'
        world.add_component(agent, SystemPromptComponent(content="You are polite."))
        append_message(world, agent, "Again.")
        await Runner().run(world, max_ticks=100)
        assert [message["content"] for message in server.requests[1].body["messages"] if message["role"] == "system"] == ["You are polite."]
        await provider.aclose()


@given(st.integers(1, 12))
def test_difference_trimming_never_orphans_a_tool_message(most: int) -> None:
    async def main() -> None:
        world = World()
        world.register_system(MemorySystem(), priority=10)
        agent = create_agent(world, FakeProvider([]))
        conversation = world.get_component(agent, ConversationComponent)
        assert conversation is not None
        for number in range(4):
            call = ToolCall(f"c{number}", "f")
            conversation.messages += [Message("user", "Go"), Message("assistant", "", [call]), Message("tool", "x", tool_call_id=call.id)]
        conversation.max_messages = most
        await Runner().run(world, max_ticks=100)
        assert history_problems(conversation.messages) == []
        assert len(conversation.messages) <= max(most, 3)

    run(main)


def test_difference_a_handlers_failure_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, FakeProvider(["Hello"]), "Hi")

        async def broken(event: StreamEndEvent) -> None:
            raise RuntimeError("handler broke")

        world.event_bus.subscribe(StreamEndEvent, broken)
        await Runner().run(world, max_ticks=100)
        assert texts(world, agent) == ["Hi", "Hello"]
        assert any(fact.type == "HandlerFailed" and "handler broke" in fact.payload.error for fact in world.log.read())

    with caplog.at_level(logging.ERROR, logger="ecs_agent"):
        run(main)
    assert "handler broke" in caplog.text


def test_difference_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        world = World()
        standard_systems(world)
        create_agent(world, FakeProvider([]), "Hi")
        await Runner().run(world, max_ticks=100)

    run(main)
    assert capfd.readouterr() == ("", "")


def test_a_foreign_provider_is_any_object_with_complete_and_may_be_a_generator() -> None:
    class Echo:
        async def complete(self, messages: Sequence[Message], stream: bool = False, **_: Any) -> AsyncIterator[Any]:
            async def deltas() -> AsyncIterator[Any]:
                from_user = FakeProvider([messages[-1].content], delay=0)
                async for delta in await from_user.complete(messages, stream=True):
                    yield delta

            return deltas()

    async def main() -> None:
        world = World()
        standard_systems(world)
        agent = create_agent(world, Echo(), "Echo!")
        await Runner().run(world)
        assert texts(world, agent) == ["Echo!", "Echo!"]

    run(main)


def test_a_world_is_saved_and_loaded(tmp_path: Path) -> None:
    async def look_up(word: str) -> str:
        return word

    async def main() -> None:
        world = World()
        standard_systems(world)
        provider = FakeProvider(["It was saved.", "And it was loaded."], delay=0)
        agent = create_agent(world, provider, "Save this.")
        world.add_component(agent, ToolRegistryComponent({"look_up": ToolSchema("look_up", "Looks up.", {"type": "object"})}, {"look_up": look_up}))
        await Runner().run(world, max_ticks=5)
        data = WorldSerializer.to_dict(world)
        WorldSerializer.save(world, tmp_path / "world.json")
        for loaded in (
            WorldSerializer.from_dict(data, {"fake": provider}, {"look_up": look_up}),
            WorldSerializer.load(tmp_path / "world.json", {"fake": provider}, {"look_up": look_up}),
        ):
            assert texts(loaded, agent) == texts(world, agent)
        standard_systems(loaded)
        append_message(loaded, agent, "Go on.")
        await Runner().run(loaded, max_ticks=5)
        assert texts(loaded, agent)[-1] == "And it was loaded."

    run(main)
