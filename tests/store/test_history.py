"""What a world was at any position is what it really was then, whatever happened to it, with snapshots and without."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_agent import Entity, World
from ecs_agent.components import ConversationComponent, KVStoreComponent, NameComponent, StreamStateComponent, TurnComponent
from ecs_agent.core import EventKind, Relation
from ecs_agent.errors import NoHistoryError
from ecs_agent.store import Codecs, MemoryEngine, SqliteEngine, UnknownComponent, diff, open_world
from ecs_agent.store.document import world_data
from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.systems.conversation import MessageAppended
from ecs_agent.types import EntityId, JsonObject, Message, StreamDelta, StreamDeltaEvent, ToolCallFragment, Usage


@dataclass(slots=True)
class Mood:
    """A component of somebody else's."""

    word: str = "calm"
    past: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    much: int = 1


MINE = (Mood, Likes)


def document(world: World) -> JsonObject:
    """A world as data, but for its position."""
    data = world_data(world, Codecs(MINE))
    del data["pos"]
    return data


class Script:
    """Things that happen to a world, each drawn by numbers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls: dict[EntityId, ToolCallLog] = {}

    def some(self, number: int) -> EntityId | None:
        entities = self.world.entities
        return entities[number % len(entities)] if entities else None

    def do(self, what: int, who: int, how: int) -> None:
        entity = self.some(who)
        if entity is None or what == 0:
            self.world.spawn(NameComponent(f"n{how}"), parent=entity if how % 2 else None)
            return
        actions = (
            self.say,
            self.name,
            self.remember,
            self.forget,
            self.delete,
            self.like,
            self.write,
            self.stream,
            self.arrive,
            self.turn,
            self.tool,
            self.trim,
        )
        actions[what % len(actions)](entity, how)

    def say(self, entity: EntityId, how: int) -> None:
        conversation = self.world.get_component(entity, ConversationComponent)
        if conversation is None:
            self.world.add_component(entity, ConversationComponent([Message("system", "be")]))
            return
        message = Message("user" if how % 2 else "assistant", f"text {how}", interrupted=how % 3 == 0)
        conversation.messages.append(message)
        self.world.edit(entity, ConversationComponent, MessageAppended(entity, message), EventKind.INPUT, ("messages", 1) if how % 2 else None)

    def trim(self, entity: EntityId, how: int) -> None:
        conversation = self.world.get_component(entity, ConversationComponent)
        if conversation is not None:
            del conversation.messages[: how % 3]
            self.world.touch(entity, ConversationComponent)

    def name(self, entity: EntityId, how: int) -> None:
        self.world.add_component(entity, Mood(f"m{how}"))

    def remember(self, entity: EntityId, how: int) -> None:
        store = self.world.get_component(entity, KVStoreComponent)
        if store is None:
            self.world.add_component(entity, KVStoreComponent({"$odd": {"deep": [1, (2, 3)]}}))
            return
        store.store[f"${how % 4}"] = {"n": how, "t": (how, {how})}
        store.store.pop(f"${(how + 1) % 4}", None)
        self.world.touch(entity, KVStoreComponent)

    def forget(self, entity: EntityId, how: int) -> None:
        self.world.remove_component(entity, (Mood, KVStoreComponent, StreamStateComponent, Likes)[how % 4])

    def delete(self, entity: EntityId, how: int) -> None:
        if how % 3 == 0:
            self.world.delete_entity(entity)

    def like(self, entity: EntityId, how: int) -> None:
        other = self.some(how)
        if other is not None and other != entity:
            self.world.add_component(entity, Likes(other, how))

    def write(self, entity: EntityId, how: int) -> None:
        Entity(self.world.state, self.world.state.row(entity)).send(self.some(how) or entity, f"letter {how}")

    def stream(self, entity: EntityId, how: int) -> None:
        Entity(self.world.state, self.world.state.row(entity)).label(attempt=how)
        self.calls[entity] = ToolCallLog()
        self.world.add_component(entity, StreamStateComponent(how, started=0.5))

    def arrive(self, entity: EntityId, how: int) -> None:
        state = self.world.get_component(entity, StreamStateComponent)
        if state is not None:
            deltas = [StreamDelta(f"{how}."), StreamDelta(f"{how}!")][: 1 + how % 2]
            self.world.state.record_each(self.world.state.row(entity), StreamDeltaEvent, deltas, EventKind.INPUT, state)

    def tool(self, entity: EntityId, how: int) -> None:
        state, calls = self.world.get_component(entity, StreamStateComponent), self.calls.get(entity)
        if state is not None and calls is not None:
            fragment = ToolCallFragment(how % 2, f"c{how % 2}", "t", f'{{"a{how}')
            calls.append(fragment)
            delta = StreamDelta(tool_calls=calls.view(), tool_fragments=(fragment,), usage=Usage(1, how, 2) if how % 2 else None)
            self.world.state.record_each(self.world.state.row(entity), StreamDeltaEvent, [StreamDelta(reasoning="r"), delta], EventKind.INPUT, state)

    def turn(self, entity: EntityId, how: int) -> None:
        turn = self.world.get_component(entity, TurnComponent)
        if turn is None:
            self.world.add_component(entity, TurnComponent(1))
        else:
            turn.turn, turn.usage = how, Usage(how, 1, how + 1)
            self.world.touch(entity, TurnComponent)


STEPS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 7), st.integers(0, 11)), max_size=60)


@given(STEPS, st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_every_past_is_what_it_was(steps: list[tuple[int, int, int]], snapshot_every: int, flush_every: int) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        world = open_world(engine=engine, components=MINE, systems=(), snapshot_every=snapshot_every)
        script, then = Script(world), dict[int, JsonObject]()
        for number, step in enumerate(steps):
            script.do(*step)
            if world.log.next_pos:
                then[world.log.next_pos - 1] = document(world)
            if number % flush_every == 0:
                await world.commit()
                await asyncio.sleep(0)
        for pos, was in then.items():
            assert document(world.at(pos)) == was, pos
        await world.aclose()
        again = open_world(engine=engine, components=MINE, systems=())
        assert document(again) == document(world)
        assert diff(world, again, codecs=Codecs(MINE)) == []
        for pos, was in then.items():
            assert document(again.at(pos)) == was, pos
        await again.aclose()

    asyncio.run(main())


@given(STEPS, st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_an_entity_is_known_at_each_of_its_numbers(steps: list[tuple[int, int, int]], snapshot_every: int) -> None:
    async def main() -> None:
        world = open_world(components=MINE, systems=(), snapshot_every=snapshot_every)
        script = Script(world)
        for step in steps:
            script.do(*step)
            await world.commit()
        for entity in world.entities:
            for fact in list(world.log.read()):
                if fact.entity == entity:
                    row = world.log.row_at(entity, fact.seq)
                    past = world.at(fact.pos)
                    kinds = {type(component): component for component in row.components}
                    assert kinds == past.state.rows[entity].components
                    assert row.seq == fact.seq
        await world.aclose()

    asyncio.run(main())


@given(STEPS)
@example([(0, 0, 0), (7, 0, 0), (10, 0, 0), (7, 0, 0), (10, 0, 0)])  # an attempt of the same number once more
@settings(max_examples=30, deadline=None)
def test_who_does_not_know_a_component_keeps_it(steps: list[tuple[int, int, int]]) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with open_world(engine=engine, components=MINE, systems=(), snapshot_every=7) as world:
            script = Script(world)
            for step in steps:
                script.do(*step)
                await world.commit()
        was = document(world)
        async with open_world(engine=engine, systems=()) as stranger:
            unknown = [
                component for row in stranger.state.rows.values() for component in row.components.values() if isinstance(component, UnknownComponent)
            ]
            assert len(unknown) == sum(tag in ("Mood", "Likes") for entity in was["entities"] for tag in entity["components"])
            stranger.spawn(NameComponent("new"))
        async with open_world(engine=engine, components=MINE, systems=()) as again:
            assert document(again)["entities"][:-1] == was["entities"]

    asyncio.run(main())


class TestOneWorld:
    def test_a_part_of_a_burst_can_be_asked_for(self) -> None:
        world = open_world(systems=())
        entity = world.spawn(StreamStateComponent(1))
        state = world.get_component(entity, StreamStateComponent)
        assert state is not None
        row = world.state.row(entity)
        world.state.record_each(row, StreamDeltaEvent, [StreamDelta(text) for text in "abcde"], EventKind.INPUT, state)
        texts = ["".join(delta.content or "" for delta in self._deltas(world.at(pos), entity)) for pos in range(2, world.log.next_pos)]
        assert texts == ["a", "ab", "abc", "abcd", "abcde"]
        half = world.fork(entity, at=row.seq - 2, on_fork="interrupted")
        assert "".join(delta.content or "" for delta in self._deltas(world, half)) == "abc"

    @staticmethod
    def _deltas(world: World, entity: EntityId) -> list[StreamDelta]:
        state = world.get_component(entity, StreamStateComponent)
        assert state is not None
        return state.deltas

    @pytest.mark.parametrize("pos", [-1, 1, 99])
    def test_a_position_that_is_none_is_refused(self, pos: int) -> None:
        world = open_world(systems=())
        world.create_entity()
        with pytest.raises(NoHistoryError, match="position"):
            world.at(pos)

    def test_a_number_that_an_entity_never_had_is_refused(self) -> None:
        world = open_world(systems=())
        entity = world.spawn(NameComponent("a"))
        for seq in (-1, 0, 3):
            with pytest.raises(NoHistoryError, match=f"entity {entity} has no fact number {seq}"):
                world.log.row_at(entity, seq)
        with pytest.raises(NoHistoryError, match="entity 77"):
            world.log.row_at(EntityId(77), 1)

    def test_undo_can_be_undone(self) -> None:
        world = open_world(systems=())
        entity = world.spawn(NameComponent("a"))
        first = world.state.row(entity).seq
        world.add_component(entity, NameComponent("b"))
        second = world.state.row(entity).seq
        world.undo(entity, first)
        assert world.get_component(entity, NameComponent) == NameComponent("a")
        world.undo(entity, second)
        assert world.get_component(entity, NameComponent) == NameComponent("b")

    async def test_a_fork_shares_its_messages(self) -> None:
        async with open_world(systems=()) as world:
            entity = world.spawn(ConversationComponent([Message("user", "hello")]))
            twin = world.fork(entity)
            one, other = (world.get_component(each, ConversationComponent) for each in (entity, twin))
            assert one is not None
            assert other is not None
            assert one.messages[0] is other.messages[0]


@pytest.mark.parametrize("imported", [False, True])
async def test_of_who_is_gone_nothing_is_read_any_more(imported: bool) -> None:
    engine = MemoryEngine()
    first = World()
    entity = first.spawn(NameComponent("a"), Mood())
    if not imported:
        async with open_world(engine=engine, systems=(), components=MINE) as world:
            entity = world.spawn(NameComponent("a"), Mood())
    kept = world_data(first, Codecs(MINE)) if imported else None
    async with open_world(engine=engine, systems=(), components=MINE, document=kept) as again:
        again.delete_entity(entity)
    engine.open()
    snapshot = engine.snapshot_at(1000)
    assert snapshot is not None
    assert list(snapshot.versions) == []


def test_the_same_in_a_file(tmp_path: Any) -> None:
    async def main() -> None:
        path = tmp_path / "w.db"
        async with open_world(path, components=MINE, systems=(), snapshot_every=10) as world:
            script = Script(world)
            for number in range(200):
                script.do(number * 7 % 12, number * 5 % 8, number * 3 % 11)
                if number % 9 == 0:
                    await world.commit()
        async with open_world(engine=SqliteEngine(path), components=MINE, systems=()) as again:
            assert document(again) == document(world)

    asyncio.run(main())
