"""Letters between entities: stamped by the World, delivered in one edit, taken in an order that does not depend on who was faster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import Work, begin, now, run, spawn, told, turns

from ecs_agent.core import (
    ComponentAdded,
    EndReason,
    Entity,
    EventKind,
    InboxComponent,
    Letter,
    LetterDelivered,
    LettersReceived,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import EntityNotFoundError, InboxFullError, LeaseRevokedError
from ecs_agent.types import EntityId


@dataclass(slots=True)
class Ball:
    """Makes its entity play: what arrives goes back, until it was hit so often."""

    other: EntityId
    most: int


@dataclass(frozen=True)
class Ping:
    hits: int


@dataclass(slots=True)
class Heard:
    letters: list[Letter]


def has_letters(inbox: InboxComponent, *_: object) -> bool:
    return bool(inbox.letters)


@system(when=has_letters)
async def listen(me: Entity, inbox: InboxComponent, heard: Heard) -> None:
    heard.letters += me.receive()


@system(when=has_letters)
async def play(me: Entity, inbox: InboxComponent, ball: Ball) -> None:
    for letter in me.receive(Ping):
        assert letter.sender == ball.other
        assert isinstance(letter.content, Ping)
        if letter.content.hits < ball.most:
            me.send(ball.other, Ping(letter.content.hits + 1))


def lease_on(world: World, entity: EntityId) -> Entity:
    return Entity(world.state, world.state.row(entity))


def inbox(world: World, entity: EntityId) -> InboxComponent:
    held = world.get_component(entity, InboxComponent)
    assert held is not None
    return held


def heard(world: World, entity: EntityId) -> list[Letter]:
    held = world.get_component(entity, Heard)
    assert held is not None
    return held.letters


# Sending


def test_a_letter_stands_in_an_inbox_which_is_made_where_there_is_none() -> None:
    world = World()
    entity = spawn(world)
    letter = world.send(entity, "hello")
    assert letter == Letter(None, 1, "hello")
    assert inbox(world, entity).letters == [letter]
    assert told(world, ComponentAdded)[-1].component is inbox(world, entity)


def test_the_world_says_who_sent_it_and_counts_for_each_sender() -> None:
    world = World()
    one, two, receiver = spawn(world), spawn(world), spawn(world)
    sent = [lease_on(world, who).send(receiver, "x") for who in (one, two, one)] + [world.send(receiver, "y"), lease_on(world, one).send(two, "z")]
    assert [(letter.sender, letter.seq) for letter in sent] == [(one, 1), (two, 1), (one, 2), (None, 1), (one, 3)]


def test_delivery_is_one_edit_with_its_own_fact_and_an_input_only_when_it_came_from_outside() -> None:
    world = World()
    sender, receiver = spawn(world), spawn(world, InboxComponent())
    row = world.state.row(receiver)
    stamp = row.stamp
    letters = [world.send(receiver, "from outside"), lease_on(world, sender).send(receiver, "from inside")]
    assert row.stamp == stamp + 2
    assert [fact.payload for fact in world.log.read()][-2:] == [LetterDelivered(receiver, letter) for letter in letters]
    assert [(fact.entity, fact.kind) for fact in world.log.read()][-2:] == [(receiver, EventKind.INPUT), (receiver, EventKind.DERIVED)]
    world.state.compare(row)
    assert row.stamp == stamp + 2, "comparing finds nothing that was not told"


def test_nobody_can_be_written_to_who_is_gone() -> None:
    world = World()
    gone = spawn(world)
    world.delete_entity(gone)
    with pytest.raises(EntityNotFoundError, match=f"no entity {gone}"):
        world.send(gone, "hello?")
    with pytest.raises(EntityNotFoundError):
        lease_on(world, spawn(world)).send(gone, "hello?")


def test_a_full_inbox_refuses_at_the_sender_and_loses_nothing() -> None:
    world = World()
    receiver = spawn(world)
    for number in range(1000):
        world.send(receiver, number)
    before = world.state.row(receiver).stamp
    with pytest.raises(InboxFullError, match=f"entity {receiver} is full: 1000 letters"):
        world.send(receiver, 1000)
    assert [letter.content for letter in inbox(world, receiver).letters] == list(range(1000))
    assert world.state.row(receiver).stamp == before
    lease_on(world, receiver).receive()
    assert world.send(receiver, "again").seq == 1001, "one that was refused has no number"


async def test_a_full_inbox_is_a_failure_of_the_call_that_sends_and_of_nobody_else(world: World) -> None:
    receiver = spawn(world, InboxComponent(limit=1))

    @system
    async def chatter(me: Entity, work: Work) -> None:
        for number in range(3):
            me.send(receiver, number)

    world.register_system(chatter)
    sender = spawn(world, Work())
    result = await run(world)
    assert isinstance(result.errors[sender], InboxFullError)
    assert [letter.content for letter in inbox(world, receiver).letters] == [0]


def test_after_its_call_a_lease_sends_and_receives_nothing() -> None:
    world = World()
    entity = spawn(world)
    me = lease_on(world, entity)
    me.revoke()
    with pytest.raises(LeaseRevokedError):
        me.send(entity, "to myself")
    with pytest.raises(LeaseRevokedError):
        me.receive()


# Receiving


@given(st.lists(st.integers(0, 4), max_size=30))
def test_letters_are_taken_in_the_order_of_sender_and_then_of_what_each_sent(senders: list[int]) -> None:
    world = World()
    receiver, people = spawn(world), [spawn(world) for _ in range(4)]
    for number, sender in enumerate(senders):
        if sender:
            lease_on(world, people[sender - 1]).send(receiver, number)
        else:
            world.send(receiver, number)
    taken = lease_on(world, receiver).receive()
    assert [(letter.sender or 0, letter.seq) for letter in taken] == sorted((letter.sender or 0, letter.seq) for letter in taken)
    assert sorted(letter.content for letter in taken) == list(range(len(senders)))  # type: ignore[type-var]  # they are all numbers
    for who in (None, *people):
        mine = [letter for letter in taken if letter.sender == who]
        assert [letter.seq for letter in mine] == list(range(1, len(mine) + 1))
        assert mine == sorted(mine, key=lambda letter: str(letter.content).zfill(3))


def test_taking_is_one_edit_and_taking_nothing_is_none() -> None:
    world = World()
    entity = spawn(world)
    me = lease_on(world, entity)
    assert me.receive() == []
    letters = (world.send(entity, 1), world.send(entity, 2))
    stamp = world.state.row(entity).stamp
    assert me.receive() == list(letters)
    assert me.receive() == []
    assert world.state.row(entity).stamp == stamp + 1
    assert told(world, LettersReceived) == [LettersReceived(entity, letters)]
    assert inbox(world, entity).letters == []


def test_one_may_take_letters_of_some_kinds_and_leave_the_others() -> None:
    world = World()
    entity = spawn(world)
    for content in ("a", 1, Ping(1), "b"):
        world.send(entity, content)
    me = lease_on(world, entity)
    assert [letter.content for letter in me.receive(str, Ping)] == ["a", Ping(1), "b"]
    assert [letter.content for letter in me.receive(str)] == []
    assert [letter.content for letter in inbox(world, entity).letters] == [1]


# What it does to the schedule


async def test_rule_1_a_letter_wakes_its_receiver(world: World) -> None:
    world.register_system(listen)
    receiver = spawn(world, Heard([]))
    assert (await run(world)).get(receiver) is None, "without an inbox it is nobody's concern"
    world.send(receiver, "hello")
    await run(world)
    assert [letter.content for letter in heard(world, receiver)] == ["hello"]


async def test_rule_3_a_letter_that_comes_during_the_call_that_holds_the_inbox_is_not_its_own_change(world: World) -> None:
    calls: list[float] = []

    @system
    async def ponder(me: Entity, inbox: InboxComponent, heard: Heard) -> None:
        calls.append(now())
        heard.letters += me.receive()
        await asyncio.sleep(1)

    world.register_system(ponder)
    receiver = spawn(world, Heard([]), InboxComponent())
    running = await begin(world)
    assert calls == [0]
    world.send(receiver, "late")
    await running
    assert calls == [0, 1]
    assert [letter.content for letter in heard(world, receiver)] == ["late"]


async def test_rule_3_also_when_the_call_changes_the_inbox_in_place_meanwhile(world: World) -> None:
    seen: list[Any] = []

    @system(when=has_letters)
    async def by_hand(inbox: InboxComponent) -> None:
        await asyncio.sleep(1)
        seen.append(inbox.letters.pop(0).content)

    world.register_system(by_hand)
    receiver = spawn(world, InboxComponent())
    world.send(receiver, 1)
    running = await begin(world)
    world.send(receiver, 2)
    await running
    assert seen == [1, 2]


async def test_rule_3_a_letter_to_oneself_is_not_the_calls_own_change_either(world: World) -> None:
    calls: list[int] = []

    @system
    async def remind(me: Entity, inbox: InboxComponent) -> None:
        calls.append(len(me.receive()))
        if len(calls) < 3:
            me.send(me.id, "again")

    world.register_system(remind)
    spawn(world, InboxComponent())
    await run(world)
    assert calls == [0, 1, 1]


async def test_rule_3_a_letter_to_oneself_makes_the_system_due_again(world: World) -> None:
    world.register_system(play)
    alone = spawn(world, InboxComponent())
    world.add_component(alone, Ball(alone, most=5))
    lease_on(world, alone).send(alone, Ping(1))
    await run(world)
    assert len(told(world, LettersReceived)) == 5


async def test_two_entities_play_until_the_ball_rests(world: World) -> None:
    world.register_system(play)
    one, two = spawn(world, InboxComponent()), spawn(world, InboxComponent())
    world.add_component(one, Ball(two, most=200))
    world.add_component(two, Ball(one, most=200))
    lease_on(world, one).send(two, Ping(1))
    result = await run(world)
    assert [letter.letter.content for letter in told(world, LetterDelivered)] == [Ping(hits) for hits in range(1, 201)]
    assert {outcome.reason for outcome in result.values()} == {EndReason.IDLE}


async def test_a_hundred_write_to_one_and_every_letter_arrives_once(world: World) -> None:
    receiver = spawn(world, Heard([]), InboxComponent())

    @system
    async def report(me: Entity, work: Work) -> None:
        for number in range(work.todo):
            await asyncio.sleep(me.random.random())
            me.send(receiver, number)

    world.register_system(report)
    world.register_system(listen)
    senders = [spawn(world, Work(todo=5)) for _ in range(100)]
    await run(world)
    arrived = heard(world, receiver)
    assert sorted((letter.sender, letter.content) for letter in arrived) == [(s, n) for s in senders for n in range(5)]
    for sender in senders:
        assert [letter.seq for letter in arrived if letter.sender == sender] == [1, 2, 3, 4, 5]


async def test_a_letter_to_one_that_has_ended_waits_for_it(world: World) -> None:
    world.register_system(listen)
    receiver = spawn(world, Heard([]), TerminalComponent("done"))
    world.send(receiver, "for later")
    result = await run(world)
    assert result[receiver].reason is EndReason.TERMINAL
    assert heard(world, receiver) == []
    world.remove_component(receiver, TerminalComponent)
    await run(world)
    assert [letter.content for letter in heard(world, receiver)] == ["for later"]


async def test_a_letter_wakes_a_sleeping_world(world: World) -> None:
    world.register_system(listen)
    receiver = spawn(world, Heard([]), InboxComponent())
    running = await begin(world)
    await running
    engine = world.begin()
    serving = asyncio.ensure_future(engine.run(forever=True))
    await turns(5)
    world.send(receiver, "wake up")
    await turns(5)
    assert [letter.content for letter in heard(world, receiver)] == ["wake up"]
    await engine.stop()
    await serving
