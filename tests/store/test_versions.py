"""Snapshots cost what changed: what did not is stored once, a conversation by its new messages, and what is gone is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecs_agent import World, spawn_agent
from ecs_agent.components import ConversationComponent, NameComponent, TurnComponent
from ecs_agent.core import EventKind
from ecs_agent.errors import UnsavableError
from ecs_agent.providers import FakeProvider
from ecs_agent.store import Frame, MemoryEngine, Snapshot, SqliteEngine, Version, open_world
from ecs_agent.store.history import History
from ecs_agent.store.versions import ENTITY, MOST_ADDITIONS, SHORT
from ecs_agent.systems.conversation import MessageAppended
from ecs_agent.types import EntityId, Message, StreamDeltaEvent


class Watched(MemoryEngine):
    """Remembers what each snapshot brought."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: list[dict[tuple[int, str], Version]] = []

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        super().write(frames, snapshot)
        if snapshot is not None:
            self.snapshots.append({(version.entity, version.tag): version for version in snapshot.versions})


async def snapshot(world: World) -> None:
    """Take one now."""
    history = world.log
    assert isinstance(history, History)
    history._take_snapshot(world.state)
    await world.commit()


def say(world: World, entity: EntityId, text: str) -> None:
    conversation = world.get_component(entity, ConversationComponent)
    assert conversation is not None
    message = Message("user", text)
    conversation.messages.append(message)
    world.edit(entity, ConversationComponent, MessageAppended(entity, message), EventKind.INPUT, ("messages", 1))


async def test_what_did_not_change_is_stored_once() -> None:
    engine = Watched()
    async with open_world(engine=engine, systems=()) as world:
        one, other = world.spawn(NameComponent("a")), world.spawn(NameComponent("b"))
        await snapshot(world)
        world.add_component(other, NameComponent("c"))
        await snapshot(world)
        await snapshot(world)
    assert set(engine.snapshots[0]) == {(one, ENTITY), (one, "NameComponent"), (other, ENTITY), (other, "NameComponent")}
    assert set(engine.snapshots[1]) == {(other, ENTITY), (other, "NameComponent")}
    assert engine.snapshots[2] == {}


async def test_a_long_conversation_grows_by_its_new_messages() -> None:
    engine = Watched()
    async with open_world(engine=engine, systems=()) as world:
        entity = world.spawn(ConversationComponent([Message("user", f"old {number}") for number in range(SHORT + 5)]))
        await snapshot(world)
        for number in range(3 * MOST_ADDITIONS):
            say(world, entity, f"new {number}")
            await snapshot(world)
        added = [each[entity, "ConversationComponent"] for each in engine.snapshots[1:]]
        assert all(version.adds and b"old" not in (version.data or b"") for version in added)
        wanted = world.get_component(entity, ConversationComponent)
    async with open_world(engine=engine, systems=()) as again:
        assert again.get_component(entity, ConversationComponent) == wanted


async def test_a_short_component_is_whole_again_now_and_then() -> None:
    engine = Watched()
    async with open_world(engine=engine, systems=()) as world:
        entity = world.spawn(TurnComponent())
        turn = world.get_component(entity, TurnComponent)
        assert turn is not None
        for number in range(3 * MOST_ADDITIONS):
            turn.turn = number
            world.touch(entity, TurnComponent)
            await snapshot(world)
        chain = [each[entity, "TurnComponent"].adds for each in engine.snapshots]
        assert 0 < chain.count(False) < len(chain) / 4
        longest = max(len(run) for run in "".join("+" if adds else "." for adds in chain).split("."))
        assert longest == MOST_ADDITIONS


async def test_what_is_gone_is_told_also_in_a_later_life() -> None:
    engine = Watched()
    async with open_world(engine=engine, systems=()) as world:
        entity = world.spawn(NameComponent("a"), TurnComponent())
    async with open_world(engine=engine, systems=()) as again:
        again.remove_component(entity, TurnComponent)
        await snapshot(again)
        again.delete_entity(entity)
    dropped, deleted = engine.snapshots[-2], engine.snapshots[-1]
    assert dropped[entity, "TurnComponent"].data is None
    assert {tag for (whose, tag), version in deleted.items() if whose == entity and version.data is None} == {ENTITY, "NameComponent"}
    engine.open()
    left = engine.snapshot_at(10**9)
    assert left is not None
    assert [version for version in left.versions if version.entity == entity] == []


@dataclass(slots=True)
class Odd:
    thing: object


async def test_one_who_cannot_be_saved_loses_nobody_elses_changes() -> None:
    """Facts of a batch in which some are tried one by one all come into the next snapshot."""
    engine = Watched()
    async with open_world(engine=engine, systems=()) as world:
        bad = world.spawn(Odd(object()))
        with pytest.raises(UnsavableError):
            await world.commit()
        good = [world.spawn(NameComponent(f"n{number}")) for number in range(3)]
        world.add_component(bad, Odd("a text"))  # it is tried by itself, and mends it
        late = world.spawn(NameComponent("late"))
        await world.commit()
    for entity in (*good, late, bad):
        assert (entity, ENTITY) in engine.snapshots[-1]
    async with open_world(engine=engine, components=[Odd], systems=()) as again:
        assert again.get_component(bad, Odd) == Odd("a text")
        assert [again.has_component(entity, NameComponent) for entity in (*good, late)] == [True] * 4


class Stuck(SqliteEngine):
    """A disk that takes its time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        assert self.gate.wait(30)
        super().write(frames, snapshot)


async def test_pieces_of_an_answer_wait_for_no_disk(tmp_path: Path) -> None:
    engine = Stuck(tmp_path / "w.db")
    text = "nobody waits for the journal, who only wants to read"
    async with open_world(engine=engine) as world:
        agent = spawn_agent(world, FakeProvider([text], delay=0.001))
        shown = ""
        async with world.events(agent.entity, types=[StreamDeltaEvent]) as events:
            asked = asyncio.ensure_future(agent.ask("go"))
            async for event in events:
                shown += event.payload.delta.content or ""
                if event.payload.delta.final:
                    break
        assert shown == text
        await asyncio.sleep(0)
        assert not asked.done()  # an answer that was given is stored
        assert world.log.committed == 0  # type: ignore[attr-defined]
        engine.gate.set()
        assert await asked == text
        assert world.log.committed > 0  # type: ignore[attr-defined]
