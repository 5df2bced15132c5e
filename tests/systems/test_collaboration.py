"""Collaboration: letters become messages where the history stays valid, only peers are written to, and talk among agents has an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    PendingToolCallsComponent,
    StreamStateComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.components.collaboration import Cause, PeerMessage
from ecs_agent.core import EndReason, Entity, InboxComponent, Runner, World
from ecs_agent.errors import EntityNotFoundError, ToolArgumentsError
from ecs_agent.providers import FakeProvider
from ecs_agent.systems import (
    CollaborationSystem,
    ReasoningSystem,
    ToolExecutionSystem,
    append_message,
    history_problems,
    send_message,
    send_message_tool,
)
from ecs_agent.systems.collaboration import MAX_CAUSES
from ecs_agent.tools import tool_table
from ecs_agent.types import CompletionResult, EntityId, ImagePart, Message, MessageDeliveredEvent, TextPart, ToolCall


def prepared() -> World:
    world = World()
    for system in (ReasoningSystem(), ToolExecutionSystem(), CollaborationSystem()):
        world.register_system(system)
    return world


def agent(world: World, provider: Any, *peers: EntityId) -> EntityId:
    entity = world.create_entity()
    world.add_component(entity, LLMComponent(provider))
    world.add_component(entity, CollaborationComponent(list(peers)))
    return entity


def give_tool(world: World, entity: EntityId) -> None:
    schemas, handlers = tool_table([send_message_tool(world, entity)])
    world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))


def lease_on(world: World, entity: EntityId) -> Entity:
    return Entity(world.state, world.state.row(entity))


def messages(world: World, entity: EntityId) -> list[Message]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert history_problems(held.messages) == []
    return held.messages


def said(world: World, entity: EntityId) -> list[str]:
    return [message.content for message in messages(world, entity)]


def delivered(world: World) -> list[MessageDeliveredEvent]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, MessageDeliveredEvent)]


def to(receiver: int, words: str, call_id: str = "c") -> list[Any]:
    return calls(ToolCall(call_id, "send_message", {"to": receiver, "text": words}))


# Delivery


async def test_a_letter_of_an_agent_is_answered_and_says_whose_it_is() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("Hello.")))
        sender = agent(world, Scripted(), receiver)
        send_message(lease_on(world, sender), receiver, "Hi!")
        await Runner().run(world)
        assert said(world, receiver) == [f"[from agent {sender}] Hi!", "Hello."]
        assert messages(world, receiver)[0].role == "user"
        assert delivered(world) == [MessageDeliveredEvent(sender, receiver, Message("user", "Hi!"))]


async def test_the_references_inbox_of_messages_is_delivered_and_emptied() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("Both read.")))
        mail = [(EntityId(7), Message("user", "one")), (EntityId(8), Message("assistant", "two"))]
        world.add_component(receiver, CollaborationComponent(peers=[EntityId(7)], inbox=list(mail)))
        await Runner().run(world)
        assert said(world, receiver) == ["[from agent 7] one", "[from agent 8] two", "Both read."]
        assert [message.role for message in messages(world, receiver)] == ["user", "user", "assistant"]
        assert [(event.from_entity, event.message) for event in delivered(world)] == mail
        held = world.get_component(receiver, CollaborationComponent)
        assert held is not None
        assert held.inbox == []


async def test_what_comes_from_outside_is_a_users_message() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("Good.")))
        world.send(receiver, "Hello from outside")
        await Runner().run(world)
        assert said(world, receiver) == ["Hello from outside", "Good."]
        assert delivered(world) == []


async def test_letters_that_are_no_messages_stay_for_others() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("Good.")))
        world.send(receiver, {"temperature": 21})
        world.send(receiver, "hello")
        await Runner().run(world)
        assert said(world, receiver) == ["hello", "Good."]
        inbox = world.get_component(receiver, InboxComponent)
        assert inbox is not None
        assert [letter.content for letter in inbox.letters] == [{"temperature": 21}]


async def test_of_a_message_only_what_is_shown_is_passed_on() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("I see."), text("Again.")))
        sender = agent(world, Scripted(), receiver)
        image = ImagePart(url="https://example.org/cat.png")
        send_message(lease_on(world, sender), receiver, Message("assistant", [image, TextPart("look")], [ToolCall("c", "f")]))
        await Runner().run(world)
        assert messages(world, receiver)[0].parts == (TextPart(f"[from agent {sender}] "), image, TextPart("look"))


# Where the history stays valid


async def test_mail_waits_while_a_tool_runs_and_stands_behind_its_result() -> None:
    go = asyncio.Event()

    async def slow() -> str:
        await go.wait()
        return "result"

    async with prepared() as world:
        receiver = agent(world, Scripted(calls(ToolCall("c", "slow")), text("Done.")))
        world.add_component(receiver, ToolRegistryComponent(handlers={"slow": slow}))
        append_message(world, receiver, "Go!")
        running = asyncio.ensure_future(Runner().run(world))
        while not world.has_component(receiver, PendingToolCallsComponent):
            await asyncio.sleep(0)
        world.send(receiver, "meanwhile")
        await asyncio.sleep(0)
        go.set()
        await running
        assert said(world, receiver) == ["Go!", "", "result", "meanwhile", "Done."]


async def test_mail_that_comes_while_the_call_of_a_tool_streams_stands_behind_its_result() -> None:
    async def slow() -> str:
        await asyncio.sleep(0)
        return "result"

    async with prepared() as world:
        go = asyncio.Event()
        provider = Scripted([go, *calls(ToolCall("c", "slow"))], text("Done."))
        receiver = agent(world, provider)
        world.add_component(receiver, ToolRegistryComponent(handlers={"slow": slow}))
        append_message(world, receiver, "Go!")
        running = asyncio.ensure_future(Runner().run(world))
        while not provider.requests:
            await asyncio.sleep(0)
        world.send(receiver, "meanwhile")
        go.set()
        await running
        assert said(world, receiver) == ["Go!", "", "result", "meanwhile", "Done."]


async def test_mail_waits_while_an_answer_is_open() -> None:
    async with World() as world:
        world.register_system(CollaborationSystem())
        receiver = agent(world, Scripted())
        world.add_component(receiver, StreamStateComponent(1))
        world.send(receiver, "news")
        await Runner().run(world)
        assert not world.has_component(receiver, ConversationComponent)


async def test_mail_that_comes_while_an_answer_streams_is_the_next_turn() -> None:
    async with prepared() as world:
        go = asyncio.Event()
        provider = Scripted([go, *text("First.")], text("Second."))
        receiver = agent(world, provider)
        append_message(world, receiver, "Go!")
        running = asyncio.ensure_future(Runner().run(world))
        while not provider.requests:
            await asyncio.sleep(0)
        world.send(receiver, "meanwhile")
        await asyncio.sleep(0)
        go.set()
        await running
        assert said(world, receiver) == ["Go!", "First.", "meanwhile", "Second."]


async def test_calls_that_nobody_runs_any_more_are_sealed_before() -> None:
    async with World() as world:
        world.register_system(CollaborationSystem())
        receiver = agent(world, Scripted())
        world.add_component(receiver, ConversationComponent([Message("user", "go"), Message("assistant", "", [ToolCall("c", "lost")])]))
        world.send(receiver, "news")
        await Runner().run(world)
        assert [message.role for message in messages(world, receiver)] == ["user", "assistant", "tool", "user"]


async def test_an_interrupted_agent_reads_its_mail_after_the_next_input() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted(text("Here I am.")))
        world.add_component(receiver, InterruptionComponent())
        world.send(receiver, "news")
        await Runner().run(world)
        assert not world.has_component(receiver, ConversationComponent)
        append_message(world, receiver, "Wake up.")
        await Runner().run(world)
        assert set(said(world, receiver)) == {"Wake up.", "news", "Here I am."}


# Writing


async def test_a_model_writes_to_a_peer_and_reads_the_answer() -> None:
    async with prepared() as world:
        alice, bob = world.create_entity(), world.create_entity()
        providers = {
            alice: Scripted(to(bob, "What is 2 + 2?"), text("I asked."), text("It is four.")),
            bob: Scripted(to(alice, "4"), text("Told her.")),
        }
        for entity, other in ((alice, bob), (bob, alice)):
            world.add_component(entity, LLMComponent(providers[entity]))
            world.add_component(entity, CollaborationComponent([other]))
            give_tool(world, entity)
        append_message(world, alice, "Ask Bob.")
        await Runner().run(world)
        assert said(world, alice) == ["Ask Bob.", "", f"sent to agent {bob}", "I asked.", f"[from agent {bob}] 4", "It is four."]
        assert said(world, bob) == [f"[from agent {alice}] What is 2 + 2?", "", f"sent to agent {alice}", "Told her."]
        assert [(event.from_entity, event.to_entity) for event in delivered(world)] == [(alice, bob), (bob, alice)]


async def test_the_tool_names_the_peers_and_takes_no_sender() -> None:
    world = World()
    one, two = world.create_entity(), world.create_entity()
    world.add_component(one, CollaborationComponent([two]))
    made = send_message_tool(world, one)
    assert made.name == "send_message"
    assert f"can write to: {two}." in made.description
    assert set(made.schema.parameters["properties"]) == {"to", "text"}
    with pytest.raises(ToolArgumentsError):
        made.validate({"to": 2, "text": "x", "sender": 9})


async def test_one_tool_serves_all_agents_and_names_who_calls() -> None:
    async with prepared() as world:
        shared = tool_table([send_message_tool()])
        alice, bob = agent(world, Scripted()), agent(world, Scripted())
        for one, other in ((alice, bob), (bob, alice)):
            world.add_component(one, CollaborationComponent([other]))
            world.add_component(one, ToolRegistryComponent(shared[0], {**shared[1]}))
            model = world.get_component(one, LLMComponent)
            assert model is not None
            model.provider = Scripted(to(other, f"I am {one}"), text("sent"), text("thanks"), text("thanks"))
            append_message(world, one, "Introduce yourself.")
        await Runner().run(world)
        for one, other in ((alice, bob), (bob, alice)):
            assert f"[from agent {other}] I am {other}" in said(world, one)


@pytest.mark.parametrize("peers", [[], [5]])
async def test_only_peers_can_be_written_to_and_the_model_is_told_who_they_are(peers: list[int]) -> None:
    async with prepared() as world:
        stranger = agent(world, Scripted())
        sender = agent(world, Scripted(to(stranger, "psst"), text("I may not.")), *[EntityId(peer) for peer in peers])
        give_tool(world, sender)
        append_message(world, sender, "Whisper.")
        await Runner().run(world)
        result = messages(world, sender)[2]
        assert result.is_error
        assert f"may not write to {stranger}, only to: {peers[0] if peers else 'nobody'}" in result.content
        assert not world.has_component(stranger, InboxComponent)
        with pytest.raises(PermissionError):
            send_message(lease_on(world, sender), stranger, "psst")


async def test_peers_that_come_later_count_and_one_that_is_gone_is_a_result_the_model_can_read() -> None:
    async with prepared() as world:
        receiver, gone = agent(world, Scripted(text("Hi."))), agent(world, Scripted())
        sender = agent(world, Scripted(to(gone, "hello", "c1"), to(receiver, "hello", "c2"), text("Done.")))
        give_tool(world, sender)
        held = world.get_component(sender, CollaborationComponent)
        assert held is not None
        held.peers += [gone, receiver]
        world.delete_entity(gone)
        append_message(world, sender, "Write.")
        await Runner().run(world)
        assert [message.is_error for message in messages(world, sender) if message.role == "tool"] == [True, False]
        assert len(said(world, receiver)) == 2
        with pytest.raises(EntityNotFoundError):
            send_message(lease_on(world, sender), gone, "hello?")


async def test_a_full_inbox_is_a_result_the_model_can_read() -> None:
    async with prepared() as world:
        receiver = agent(world, Scripted())
        world.add_component(receiver, TerminalComponent("asleep"))
        world.add_component(receiver, InboxComponent(limit=0))
        sender = agent(world, Scripted(to(receiver, "hello"), text("Full.")), receiver)
        give_tool(world, sender)
        append_message(world, sender, "Write.")
        await Runner().run(world)
        assert "is full" in messages(world, sender)[2].content


# Bounds


def endless(receiver: EntityId) -> Any:
    """A model that answers whatever it is told by writing back."""

    def answer(seen: Any) -> Any:
        if seen[-1].role == "tool":
            return "Sent."
        return CompletionResult(Message("assistant", "", [ToolCall("c", "send_message", {"to": receiver, "text": "And you?"})]))

    return FakeProvider([answer] * 1000, delay=0)


async def test_two_agents_that_answer_each_other_come_to_an_end_after_one_runs_limits() -> None:
    async with prepared() as world:
        one, two = world.create_entity(), world.create_entity()
        for entity, other in ((one, two), (two, one)):
            world.add_component(entity, LLMComponent(endless(other)))
            world.add_component(entity, CollaborationComponent([other]))
            world.add_component(entity, LimitsComponent(turns=10))
            give_tool(world, entity)
        append_message(world, one, "Talk!")
        result = await Runner().run(world)
        assert {result[one].reason, result[two].reason} == {EndReason.TERMINAL, EndReason.IDLE}
        for entity in (one, two):
            assert len([message for message in messages(world, entity) if message.role == "assistant"]) <= 10


async def test_each_input_from_outside_renews_the_limits_of_those_that_it_reaches_once() -> None:
    async with prepared() as world:
        worker = world.create_entity()
        boss = agent(world, FakeProvider([answer for n in range(30) for answer in _order(worker, f"job {n}")], delay=0), worker)
        give_tool(world, boss)
        world.add_component(worker, LLMComponent(FakeProvider(["Done."] * 30, delay=0)))
        world.add_component(worker, CollaborationComponent())
        world.add_component(worker, LimitsComponent(turns=2))
        for _ in range(30):
            append_message(world, boss, "Next!")
            assert (await Runner().run(world))[worker].reason is EndReason.IDLE
        assert len(delivered(world)) == 30
        turn = world.get_component(worker, TurnComponent)
        assert turn is not None
        assert (turn.run, turn.turn) == (30, 1)


def _order(receiver: EntityId, words: str) -> list[Any]:
    return [CompletionResult(Message("assistant", "", [ToolCall("c", "send_message", {"to": receiver, "text": words})])), "Ordered."]


async def test_what_comes_from_outside_renews_the_limits() -> None:
    async with prepared() as world:
        receiver = agent(world, FakeProvider(["Done."] * 3, delay=0))
        world.add_component(receiver, LimitsComponent(turns=1))
        for _ in range(3):
            world.send(receiver, "Go!")
            assert (await Runner().run(world))[receiver].reason is EndReason.IDLE
        assert len(said(world, receiver)) == 6


async def test_a_letter_in_the_middle_of_a_run_belongs_to_it() -> None:
    async with World() as world:
        world.register_system(CollaborationSystem())
        receiver = agent(world, Scripted())
        append_message(world, receiver, "Go!")
        world.send(receiver, "and this")
        lease_on(world, world.create_entity()).send(receiver, PeerMessage(Message("user", "and that"), Cause(EntityId(99), 1)))
        await Runner().run(world)
        assert len(said(world, receiver)) == 3
        assert world.query(TurnComponent)[0][1] == (TurnComponent(run=1),)


async def test_what_goes_back_to_the_same_input_or_to_nothing_known_renews_no_limits() -> None:
    async with World() as world:
        world.register_system(CollaborationSystem())
        receiver = agent(world, Scripted())
        sender = lease_on(world, world.create_entity())
        runs: list[int] = []
        contents: list[object] = [
            PeerMessage(Message("user", "a"), Cause(EntityId(99), 2)),
            PeerMessage(Message("user", "again"), Cause(EntityId(99), 2)),
            PeerMessage(Message("user", "older"), Cause(EntityId(99), 1)),
            "plain",
            PeerMessage(Message("user", "my own"), Cause(receiver, 50)),
            PeerMessage(Message("user", "newer"), Cause(EntityId(99), 3)),
        ]
        for content in contents:
            world.add_component(receiver, ConversationComponent())
            sender.send(receiver, content)
            await Runner().run(world)
            turn = world.get_component(receiver, TurnComponent)
            assert turn is not None
            runs.append(turn.run)
        assert runs == [1, 1, 1, 1, 1, 2]


async def test_an_answer_carries_on_what_it_goes_back_to_until_there_is_new_input() -> None:
    async with prepared() as world:
        worker = agent(world, Scripted(text("A."), text("B.")))
        peer = agent(world, Scripted(), worker)
        held = world.get_component(worker, CollaborationComponent)
        assert held is not None
        held.peers.append(peer)
        world.add_component(peer, TerminalComponent("only reads"))
        lease_on(world, peer).send(worker, PeerMessage(Message("user", "a"), Cause(EntityId(99), 4)))
        await Runner().run(world)
        first = send_message(lease_on(world, worker), peer, "re: a").content
        append_message(world, worker, "From a person.")
        await Runner().run(world)
        second = send_message(lease_on(world, worker), peer, "re: person").content
        assert isinstance(first, PeerMessage)
        assert first.cause == Cause(EntityId(99), 4)
        assert isinstance(second, PeerMessage)
        assert second.cause == Cause(worker, 2)


async def test_it_is_remembered_of_a_bounded_number_of_agents() -> None:
    async with World() as world:
        world.register_system(CollaborationSystem())
        receiver = agent(world, Scripted())
        held = world.get_component(receiver, CollaborationComponent)
        assert held is not None
        held.causes = {EntityId(number): 1 for number in range(100, 100 + MAX_CAUSES)}
        lease_on(world, world.create_entity()).send(receiver, PeerMessage(Message("user", "a"), Cause(EntityId(99), 1)))
        await Runner().run(world)
        assert len(held.causes) == MAX_CAUSES
        assert EntityId(99) in held.causes
        assert EntityId(100) not in held.causes
