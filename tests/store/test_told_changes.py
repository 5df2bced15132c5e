"""A store holds what facts told of components: not more, where a call is in the middle of a change, and not less, where comparing finds nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent import Entity, Runner, World, spawn_agent, system, tool
from ecs_agent.components import NameComponent, StreamStateComponent
from ecs_agent.core import ComponentChanged, EventKind
from ecs_agent.store import MemoryEngine, open_world
from ecs_agent.systems.invariants import check_world
from ecs_agent.types import EntityId, StreamDelta, StreamDeltaEvent, ToolCall


@dataclass(slots=True)
class Notes:
    items: list[str] = field(default_factory=list[str])
    number: int = 0


@dataclass(slots=True)
class Inner:
    """An object that changes inside."""

    words: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    more: dict[str, list[Inner]] = field(default_factory=dict[str, list[Inner]])
    number: int = 0


def held(world: World, entity: EntityId) -> Outer:
    component = world.get_component(entity, Outer)
    assert component is not None
    return component


async def test_a_snapshot_knows_nothing_of_a_change_that_a_call_is_in_the_middle_of() -> None:
    engine, emptied, go_on = MemoryEngine(), asyncio.Event(), asyncio.Event()

    @system
    async def work(_: Entity, notes: Notes) -> None:
        if not emptied.is_set():
            notes.items.clear()
            emptied.set()
            await go_on.wait()
            notes.items += "abcd"

    async with open_world(engine=engine, systems=[work], components=[Notes], snapshot_every=14) as world:
        notes = Notes(list("abc"))
        entity = world.spawn(notes)
        for notes.number in range(10):
            world.touch(entity, Notes)
        run = asyncio.create_task(world.process())
        await emptied.wait()
        world.spawn(NameComponent("somebody else"))
        await world.commit()
        await asyncio.sleep(0)
        snapshot = engine.snapshot_at(world.log.next_pos)
        assert snapshot is not None
        assert snapshot.pos == world.log.next_pos
        assert world.at(world.log.next_pos - 1).get_component(entity, Notes) == Notes(list("abc"), 9)
        go_on.set()
        await run
        assert world.at(world.log.next_pos - 1).get_component(entity, Notes) == Notes(list("abcd"), 9)
    async with open_world(engine=engine, systems=(), components=[Notes]) as again:
        assert again.get_component(entity, Notes) == Notes(list("abcd"), 9)


class TestDeepChanges:
    @pytest.mark.parametrize("number", [0, 1])  # with a change beside it that comparing finds, and without
    async def test_what_touch_tells_is_kept(self, number: int) -> None:
        engine = MemoryEngine()
        async with open_world(engine=engine, systems=(), components=[Outer, Inner]) as world:
            entity = world.spawn(Outer(more={"k": [Inner()]}))
            await world.commit()
            outer = held(world, entity)
            outer.inner.words.append("a")
            outer.more["k"][0].words.append("b")
            outer.number = number
            world.touch(entity, Outer)
            await world.commit()
            assert held(world.at(world.log.next_pos - 1), entity) == Outer(Inner(["a"]), {"k": [Inner(["b"])]}, number)
            assert held(world.at(world.log.next_pos - 2), entity) == Outer(more={"k": [Inner()]})
        async with open_world(engine=engine, systems=(), components=[Outer, Inner]) as again:
            assert held(again, entity) == outer
            told = [fact.payload for fact in again.log.read() if fact.type == ComponentChanged.__name__]
            assert told == [ComponentChanged(entity, outer)]


class TestAnswersThatArrive:
    """What a component took in is told by the pieces, and not once more by comparing."""

    @staticmethod
    def arrive(world: World, entity: EntityId, text: str) -> StreamStateComponent:
        state = world.get_component(entity, StreamStateComponent)
        assert state is not None
        world.state.record_each(world.state.row(entity), StreamDeltaEvent, [StreamDelta(text)], EventKind.INPUT, state)
        return state

    async def test_a_touch_says_nothing_twice(self) -> None:
        engine = MemoryEngine()
        async with open_world(engine=engine, systems=()) as world:
            entity = world.spawn(StreamStateComponent(1))
            self.arrive(world, entity, "a")
            world.touch(entity, StreamStateComponent)
            state = self.arrive(world, entity, "b")
            assert world.at(world.log.next_pos - 1).get_component(entity, StreamStateComponent) == state
            assert world.at(world.log.next_pos - 2).get_component(entity, StreamStateComponent) != state
        async with open_world(engine=engine, systems=()) as again:
            assert again.get_component(entity, StreamStateComponent) == state

    async def test_one_that_was_read_back_can_be_changed(self) -> None:
        engine = MemoryEngine()
        async with open_world(engine=engine, systems=()) as world:
            entity = world.spawn(StreamStateComponent(1))
            self.arrive(world, entity, "a")
        async with open_world(engine=engine, systems=()) as again:
            state = again.get_component(entity, StreamStateComponent)
            assert state is not None
            state.resume = "interrupted"
            await again.process()  # finds it
        async with open_world(engine=engine, systems=()) as third:
            assert third.get_component(entity, StreamStateComponent) == state


async def test_an_agent_can_go_on_from_whatever_it_is_brought_back_to() -> None:
    """Also from a number in the middle of what changes together, as between the results of two calls."""

    @tool
    async def look_up(word: str) -> str:
        """Looks a word up."""
        return word

    made = [ToolCall(number, "look_up", {"word": number}) for number in ("c1", "c2")]
    async with open_world() as world:
        agent = spawn_agent(
            world, Scripted(*[calls(*made, content="I look") if turn % 2 else text("found") for turn in range(1, 500)]), tools=[look_up]
        )
        await agent.ask("once")
        for seq in range(1, world.state.row(agent.entity).seq + 1):
            world.undo(agent.entity, seq)
            assert check_world(world) == [], seq
            await Runner().run(world)
            assert check_world(world) == [], seq
