"""The stand-in lease: a system is called as a function, and what it did can be read off. It must not promise what a run would not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ecs_agent import Entity, Message, Read, Runner, ToolCall, World, system
from ecs_agent.components import ConversationComponent, LLMComponent, PendingToolCallsComponent, TerminalComponent, ToolResultsComponent
from ecs_agent.core import ChildOf, EndReason, InboxComponent, Outcome
from ecs_agent.errors import EntityNotFoundError, LeaseRevokedError, SystemDefinitionError
from ecs_agent.providers import FakeProvider
from ecs_agent.systems import ReasoningSystem, ToolExecutionSystem
from ecs_agent.testing import FakeEntity
from ecs_agent.types import EntityId, StreamDelta, StreamDeltaEvent


@dataclass(slots=True)
class Mood:
    words: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Tired:
    pass


@dataclass(frozen=True, slots=True)
class CheeredUp:
    entity_id: EntityId


@system(without=(Tired,), when=lambda mood: len(mood.words) < 2)
async def cheer_up(me: Entity, mood: Mood) -> None:
    mood.words.append("well done")
    me.edit(Mood, CheeredUp(me.id))


async def test_a_system_is_called_with_it_and_what_it_emitted_can_be_read() -> None:
    me = FakeEntity(Mood())
    await cheer_up(me, me[Mood])
    assert me[Mood].words == ["well done"]
    assert me.emitted == [CheeredUp(me.id)]


async def test_it_finds_the_arguments_of_a_system_itself() -> None:
    me = FakeEntity(Mood())
    await me.call(cheer_up)
    assert me[Mood].words == ["well done"]


def test_it_knows_whether_a_run_would_make_the_call() -> None:
    assert FakeEntity(Mood()).would_run(cheer_up)
    assert not FakeEntity().would_run(cheer_up)
    assert not FakeEntity(Mood(), Tired()).would_run(cheer_up)
    assert not FakeEntity(Mood(), TerminalComponent("over")).would_run(cheer_up)
    assert not FakeEntity(Mood(["a", "b"])).would_run(cheer_up)


async def test_a_call_that_no_run_would_make_is_refused() -> None:
    with pytest.raises(LookupError, match=r"cheer_up does not run on this entity: it lacks \['Mood'\] and has \['Tired'\] to exclude it"):
        await FakeEntity(Tired()).call(cheer_up)


async def test_what_is_no_entity_system_is_refused() -> None:
    with pytest.raises(SystemDefinitionError, match="is not an entity system"):
        await FakeEntity().call(lambda: None)


async def test_adding_and_removing_is_written_down_and_done() -> None:
    me = FakeEntity(Mood())
    tired = Tired()
    me.add(tired)
    me.remove(Mood)
    me.remove(Mood)
    assert (me.added, me.removed) == ([tired], [Mood])
    assert (me.has(Tired), me.has(Mood), me.get(Tired)) == (True, False, tired)
    with pytest.raises(KeyError, match="the entity has no Mood"):
        me[Mood]


def test_events_in_numbers_are_written_down_one_by_one() -> None:
    me = FakeEntity()
    deltas = [StreamDelta("a"), StreamDelta("b")]
    me.emit_each(StreamDeltaEvent, deltas)
    me.emit("c")
    assert me.emitted == [*[StreamDeltaEvent(me.id, delta) for delta in deltas], "c"]


def test_letters_are_written_down_and_arrive() -> None:
    me = FakeEntity()
    peer = me.peer(Mood())
    letter = me.send(peer, "hello")
    inbox = me.world.get_component(peer, InboxComponent)
    assert me.sent == [(peer, letter)]
    assert inbox is not None
    assert inbox.letters == [letter]
    assert (letter.sender, letter.content) == (me.id, "hello")


def test_letters_can_be_given_to_it() -> None:
    me = FakeEntity()
    peer = me.peer()
    me.deliver("from outside")
    me.deliver("from a peer", peer)
    assert [(letter.sender, letter.content) for letter in me.receive()] == [(None, "from outside"), (peer, "from a peer")]


def test_whom_nobody_knows_cannot_be_written_to() -> None:
    with pytest.raises(EntityNotFoundError):
        FakeEntity().send(EntityId(99), "hello")


def test_children_are_written_down_and_made() -> None:
    me = FakeEntity()
    child = me.spawn(Mood())
    assert me.spawned == [child]
    assert me.world.get_component(child, ChildOf) == ChildOf(me.id)
    me.despawn(child)
    assert not me.world.has_entity(child)


def test_a_change_that_is_asked_of_another_is_made_at_once() -> None:
    me = FakeEntity()
    peer = me.peer()
    me.request(peer, lambda other: other.add(Tired()))
    assert me.requested == [peer]
    assert me.world.has_component(peer, Tired)


async def test_joining_answers_what_the_test_says() -> None:
    me = FakeEntity()
    first, second = me.peer(), me.peer()
    me.outcomes[first] = Outcome(EndReason.TERMINAL)
    assert [(await me.join(each)).reason for each in (first, second)] == [EndReason.TERMINAL, EndReason.IDLE]
    assert me.joined == [first, second]


def test_time_stands_until_it_passes() -> None:
    me = FakeEntity()
    assert (me.now(), me.monotonic()) == (0, 0.0)
    me.pass_time(1.5)
    assert (me.now(), me.monotonic()) == (1_500_000_000, 1.5)


def test_chance_is_that_of_the_seed() -> None:
    assert FakeEntity(seed=1).new_id("call") == FakeEntity(seed=1).new_id("call") != FakeEntity(seed=2).new_id("call")


USES: list[Callable[[FakeEntity], object]] = [
    lambda me: me.add(Tired()),
    lambda me: me.remove(Mood),
    lambda me: me.emit("x"),
    lambda me: me.edit(Mood, "x"),
    lambda me: me.send(me.id, "x"),
    lambda me: me.spawn(),
    lambda me: me.get(Mood),
    lambda me: asyncio.run(me.join(me.id)),
]


@pytest.mark.parametrize("use", USES)
def test_after_the_end_of_the_lease_every_use_is_refused_and_nothing_written_down(use: Callable[[FakeEntity], object]) -> None:
    me = FakeEntity(Mood())
    me.revoke()
    with pytest.raises(LeaseRevokedError):
        use(me)
    assert not (me.added)
    assert not (me.removed)
    assert not (me.emitted)
    assert not (me.sent)
    assert not (me.spawned)
    assert not (me.joined)
    assert me[Mood].words == []


async def test_the_shipped_systems_can_be_called_with_it() -> None:
    me = FakeEntity(LLMComponent(FakeProvider(["Good morning."], delay=0)), ConversationComponent([Message("user", "Hello.")]))
    assert me.would_run(ReasoningSystem())
    await me.call(ReasoningSystem())
    assert me[ConversationComponent].messages[-1].content == "Good morning."
    assert not me.would_run(ReasoningSystem())


async def test_settle_can_be_tried_too() -> None:
    call = ToolCall("c1", "look", {})
    me = FakeEntity(PendingToolCallsComponent([call]), ConversationComponent([Message("user", "?"), Message("assistant", "", [call])]))
    ToolExecutionSystem().settle(me)
    assert me[ConversationComponent].messages[-1].is_error
    assert me.removed == [PendingToolCallsComponent]
    assert [type(each) for each in me.added] == [ToolResultsComponent]


async def test_it_says_what_a_run_would_do() -> None:
    @system
    async def both(me: Entity, mood: Mood, tired: Read[Tired] | None = None) -> None:
        mood.words.append("tired" if tired else "fresh")
        me.add(Tired())

    me = FakeEntity(Mood())
    await me.call(both)
    async with World() as world:
        world.register_system(both)
        entity = world.spawn(Mood())
        await Runner().run(world)
        assert world.get_component(entity, Mood) == me[Mood]
        assert world.get_component(entity, Tired) == me[Tired]
