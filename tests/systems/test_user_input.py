"""User input: an agent waits for a person without a call that waits, and goes on with the answer."""

from __future__ import annotations

import asyncio

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    LLMComponent,
    PendingToolCallsComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
    UserInputComponent,
)
from ecs_agent.core import AwaitsInput, EndReason, EventKind, Runner, World
from ecs_agent.errors import EntityNotFoundError
from ecs_agent.systems import ReasoningSystem, ToolExecutionSystem, UserInputSystem, answer_input, append_message, history_problems
from ecs_agent.types import EntityId, Message, ToolCall, UserInputReceivedEvent, UserInputRequestedEvent


def waiting(world: World, provider: Scripted) -> EntityId:
    for system in (ReasoningSystem(), ToolExecutionSystem(), UserInputSystem()):
        world.register_system(system)
    entity = world.create_entity()
    world.add_component(entity, LLMComponent(provider))
    world.add_component(entity, UserInputComponent("What now?"))
    return entity


def said(world: World, entity: EntityId) -> list[str]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert history_problems(held.messages) == []
    return [message.content for message in held.messages]


def run_number(world: World, entity: EntityId) -> int:
    turn = world.get_component(entity, TurnComponent)
    assert turn is not None
    return turn.run


async def test_it_asks_once_and_the_run_ends_as_waiting_input() -> None:
    async with World() as world:
        entity = waiting(world, Scripted())
        assert (await Runner().run(world))[entity].reason is EndReason.WAITING_INPUT
        assert (await Runner().run(world))[entity].reason is EndReason.WAITING_INPUT
        asked = [fact.payload for fact in world.log.read() if isinstance(fact.payload, UserInputRequestedEvent)]
        assert asked == [UserInputRequestedEvent(entity, "What now?")]
        assert isinstance(world.get_component(entity, UserInputComponent), AwaitsInput)


async def test_the_answer_is_the_users_message_and_the_agent_goes_on() -> None:
    async with World() as world:
        entity = waiting(world, Scripted(text("So be it.")))
        await Runner().run(world)
        answer_input(world, entity, "Sleep.")
        (told,) = [fact for fact in world.log.read() if isinstance(fact.payload, UserInputReceivedEvent)]
        assert (told.payload, told.kind) == (UserInputReceivedEvent(entity, "Sleep."), EventKind.INPUT)
        assert (await Runner().run(world))[entity].reason is EndReason.IDLE
        assert said(world, entity) == ["Sleep.", "So be it."]
        assert not world.has_component(entity, UserInputComponent)
        assert run_number(world, entity) == 1


async def test_a_handler_may_answer_within_the_run() -> None:
    async with World() as world:
        entity = waiting(world, Scripted(text("Thanks.")))

        async def reply(event: UserInputRequestedEvent) -> None:
            answer_input(world, event.entity_id, f"You asked: {event.prompt}")

        world.event_bus.subscribe(UserInputRequestedEvent, reply)
        await Runner().run(world)
        assert said(world, entity) == ["You asked: What now?", "Thanks."]


async def test_one_that_was_answered_before_it_asked_does_not_ask() -> None:
    async with World() as world:
        entity = waiting(world, Scripted(text("Yes.")))
        answer_input(world, entity, "Early.")
        await Runner().run(world)
        assert said(world, entity) == ["Early.", "Yes."]
        assert not any(isinstance(fact.payload, UserInputRequestedEvent) for fact in world.log.read())


async def test_who_does_not_wait_cannot_be_answered_nor_twice() -> None:
    async with World() as world:
        entity = waiting(world, Scripted())
        with pytest.raises(EntityNotFoundError, match="waits for no input"):
            answer_input(world, world.create_entity(), "?")
        with pytest.raises(EntityNotFoundError):
            answer_input(world, EntityId(99), "?")
        answer_input(world, entity, "one")
        with pytest.raises(ValueError, match="answered already"):
            answer_input(world, entity, "two")


@pytest.mark.parametrize(
    "obstacle", [ErrorComponent("broken", "reasoning", 0.0), InterruptionComponent(), TerminalComponent("max_turns"), TerminalComponent("max_tokens")]
)
async def test_an_answer_is_new_input(obstacle: object) -> None:
    async with World() as world:
        entity = waiting(world, Scripted(text("On I go.")))
        await Runner().run(world)
        world.add_component(entity, TurnComponent(run=3, turn=50))
        world.add_component(entity, obstacle)
        answer_input(world, entity, "Go on.")
        await Runner().run(world)
        assert said(world, entity) == ["Go on.", "On I go."]
        assert run_number(world, entity) == 4


async def test_what_ended_an_agent_for_good_is_not_lifted() -> None:
    async with World() as world:
        entity = waiting(world, Scripted())
        world.add_component(entity, TerminalComponent("provider_exhausted"))
        answer_input(world, entity, "Go on.")
        await Runner().run(world)
        assert not world.has_component(entity, ConversationComponent)
        assert world.has_component(entity, UserInputComponent)


async def test_a_tool_may_ask_and_the_answer_stands_behind_its_result() -> None:
    async with World() as world:
        entity = waiting(world, Scripted(calls(ToolCall("c", "ask")), text("Thank you.")))
        world.remove_component(entity, UserInputComponent)
        go = asyncio.Event()

        async def ask() -> str:
            world.add_component(entity, UserInputComponent("Your name?"))
            answer_input(world, entity, "Ann")
            await go.wait()
            return "asked; the answer follows"

        world.add_component(entity, ToolRegistryComponent(handlers={"ask": ask}))
        append_message(world, entity, "Ask me.")
        running = asyncio.ensure_future(Runner().run(world))
        while not world.has_component(entity, UserInputComponent):
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.has_component(entity, PendingToolCallsComponent)
        go.set()
        await running
        assert said(world, entity) == ["Ask me.", "", "asked; the answer follows", "Ann", "Thank you."]


async def test_an_answer_that_comes_while_the_call_of_a_tool_streams_stands_behind_its_result_whatever_the_priority() -> None:
    async def slow() -> str:
        await asyncio.sleep(0)
        return "result"

    async with World() as world:
        go = asyncio.Event()
        provider = Scripted([go, *calls(ToolCall("c", "slow"))], text("Done."))
        entity = waiting(world, provider)
        world.register_system(UserInputSystem(priority=5))
        world.add_component(entity, ToolRegistryComponent(handlers={"slow": slow}))
        append_message(world, entity, "Go!")
        running = asyncio.ensure_future(Runner().run(world))
        while not provider.requests:
            await asyncio.sleep(0)
        answer_input(world, entity, "meanwhile")
        go.set()
        await running
        assert said(world, entity) == ["Go!", "", "result", "meanwhile", "Done."]


async def test_calls_that_nobody_runs_any_more_are_sealed_before() -> None:
    async with World() as world:
        world.register_system(UserInputSystem())
        entity = world.create_entity()
        world.add_component(entity, UserInputComponent())
        world.add_component(entity, ConversationComponent([Message("user", "go"), Message("assistant", "", [ToolCall("c", "lost")])]))
        answer_input(world, entity, "never mind")
        await Runner().run(world)
        held = world.get_component(entity, ConversationComponent)
        assert held is not None
        assert [message.role for message in held.messages] == ["user", "assistant", "tool", "user"]
        assert said(world, entity)[-1] == "never mind"
