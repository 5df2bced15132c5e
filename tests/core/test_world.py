"""The World: one write path, facts in order, a tree of entities, and an end to everything it owns."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.core import (
    ComponentAdded,
    ComponentChanged,
    ComponentRemoved,
    EntityCreated,
    EntityDeleted,
    Envelope,
    ErrorComponent,
    EventKind,
    MemoryLog,
    QuarantineComponent,
    Runner,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import EntityNotFoundError, LogTruncatedError, WorldClosedError
from ecs_agent.types import EntityId


@dataclass
class Box:
    items: list[str]


@dataclass
class Style:
    name: str = "plain"


@dataclass(frozen=True)
class Noted:
    entity_id: EntityId
    version: int = 3


def payloads(world: World) -> list[object]:
    return [fact.payload for fact in world.log.read()]


class TestWriting:
    def test_every_change_is_written_and_then_told(self) -> None:
        world = World()
        entity = world.create_entity()
        box, other = Box([]), Box(["x"])
        world.add_component(entity, box)
        world.add_component(entity, other)
        world.remove_component(entity, Box)
        world.remove_component(entity, Box)
        world.delete_entity(entity)
        world.delete_entity(entity)
        assert payloads(world) == [
            EntityCreated(entity),
            ComponentAdded(entity, box),
            ComponentAdded(entity, other),
            ComponentRemoved(entity, other),
            EntityDeleted(entity),
        ]

    def test_rule_14_state_is_written_then_the_fact_appended_then_subscribers_are_woken(self) -> None:
        order: list[tuple[str, bool, bool]] = []

        class Watching(MemoryLog):
            def append(self, envelope: Envelope) -> None:
                order.append((envelope.type, world.has_component(entity, Box), events.pending()))
                super().append(envelope)

        world = World(journal=Watching())
        entity = EntityId(1)
        events = world.events()
        world.create_entity()
        events.close()
        events = world.events()
        world.add_component(entity, Box([]))
        assert events.pending()
        events.close()
        events = world.events()
        world.remove_component(entity, Box)
        assert order == [("EntityCreated", False, False), ("ComponentAdded", True, False), ("ComponentRemoved", False, False)]

    async def test_rule_14_no_handler_runs_inside_a_write(self) -> None:
        heard: list[object] = []

        async def hear(event: object) -> None:
            heard.append(event)

        async with World() as world:
            world.event_bus.subscribe(EntityCreated, hear)
            entity = world.create_entity()
            assert heard == []
            await asyncio.sleep(0)
            assert heard == [EntityCreated(entity)]

    def test_facts_carry_their_place_in_the_world_and_among_those_of_their_entity(self) -> None:
        world = World()
        first, second = world.create_entity(), world.create_entity()
        world.emit(first, Noted(first), EventKind.INPUT)
        world.report("of the world itself")
        told = [(fact.pos, fact.entity, fact.seq, fact.type, fact.version, fact.kind) for fact in world.log.read()]
        assert told == [
            (0, first, 1, "EntityCreated", 1, "derived"),
            (1, second, 1, "EntityCreated", 1, "derived"),
            (2, first, 2, "Noted", 3, "input"),
            (3, None, 0, "str", 1, "derived"),
        ]

    def test_an_edit_in_place_is_told_by_its_own_event_or_by_touch(self) -> None:
        world = World()
        entity = world.create_entity()
        box = Box([])
        world.add_component(entity, box)
        box.items.append("a")
        world.edit(entity, Box, Noted(entity), EventKind.INPUT)
        world.touch(entity, Box)
        world.touch(entity)
        assert payloads(world)[2:] == [Noted(entity), ComponentChanged(entity, box)]

    def test_a_class_instead_of_a_component_is_refused_with_what_to_write(self) -> None:
        world = World()
        with pytest.raises(TypeError, match=r"write Box\(…\)"):
            world.add_component(world.create_entity(), Box)

    def test_a_component_that_cannot_be_read_is_refused_and_nothing_is_written(self) -> None:
        class Broken:
            value: int

            @property
            def other(self) -> int:
                return 1

            def __getattribute__(self, name: str) -> Any:
                if name == "value":
                    raise RuntimeError("no")
                return super().__getattribute__(name)

        world = World()
        entity = world.create_entity()
        with pytest.raises(RuntimeError, match="no"):
            world.add_component(entity, Broken())
        assert not world.has_component(entity, Broken)
        assert world.query(Broken) == []

    @pytest.mark.parametrize(
        "use",
        [
            lambda world: world.add_component(EntityId(9), Box([])),
            lambda world: world.remove_component(EntityId(9), Box),
            lambda world: world.touch(EntityId(9)),
            lambda world: world.edit(EntityId(9), Box, "event"),
            lambda world: world.emit(EntityId(9), "event"),
            lambda world: world.create_entity(parent=EntityId(9)),
        ],
    )
    def test_an_entity_that_is_not_there_is_a_readable_error_that_is_also_a_key_error(self, use: Any) -> None:
        with pytest.raises(EntityNotFoundError) as caught:
            use(World())
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == "there is no entity 9 in this world; it was deleted or never created"

    def test_reading_what_is_not_there_is_none(self) -> None:
        world = World()
        assert world.get_component(EntityId(9), Box) is None
        assert not world.has_component(EntityId(9), Box)
        assert not world.has_entity(EntityId(9))

    def test_the_log_is_the_one_that_was_given(self) -> None:
        world = World(journal=MemoryLog(limit=1))
        world.create_entity()
        world.create_entity()
        with pytest.raises(LogTruncatedError):
            world.log.read(0)


class TestTree:
    def test_deleting_a_parent_deletes_its_children_first(self) -> None:
        world = World()
        root = world.create_entity()
        child = world.create_entity(parent=root)
        grandchild, sibling = world.create_entity(parent=child), world.create_entity(parent=root)
        world.add_component(grandchild, Box([]))
        world.delete_entity(root)
        assert payloads(world)[-4:] == [EntityDeleted(grandchild), EntityDeleted(child), EntityDeleted(sibling), EntityDeleted(root)]
        assert world.entities == []
        assert world.query(Box) == []

    def test_deleting_a_child_leaves_its_parent(self) -> None:
        world = World()
        root = world.create_entity()
        child, sibling = world.create_entity(parent=root), world.create_entity(parent=root)
        world.delete_entity(child)
        assert world.entities == [root, sibling]


class TestTouch:
    def test_touch_takes_away_what_halts_a_failed_entity_but_not_what_ended_it(self) -> None:
        world = World()
        entity = world.create_entity()
        for halting in (ErrorComponent("broken", "a system", 0.0), QuarantineComponent("too often"), TerminalComponent("done")):
            world.add_component(entity, halting)
        world.touch(entity)
        assert not world.has_component(entity, ErrorComponent)
        assert not world.has_component(entity, QuarantineComponent)
        assert world.has_component(entity, TerminalComponent)


class TestLife:
    async def test_a_closed_world_takes_nothing_new_and_runs_nothing(self) -> None:
        world = World()
        await world.aclose()
        await world.aclose()
        assert world.closed
        with pytest.raises(WorldClosedError):
            world.create_entity()
        with pytest.raises(WorldClosedError):
            await world.process()
        with pytest.raises(WorldClosedError):
            await Runner().run(world)
        with pytest.raises(WorldClosedError):
            await Runner().serve(world)
        with pytest.raises(StopAsyncIteration):
            await anext(world.events())

    async def test_what_was_added_last_is_closed_first_and_once(self) -> None:
        closed: list[str] = []

        def closing(name: str) -> Any:
            async def close() -> None:
                closed.append(name)

            return close

        async with World() as world:
            world.on_close(closing("first"))
            world.on_close(closing("second"))
        await world.aclose()
        assert closed == ["second", "first"]

    async def test_what_cannot_be_closed_keeps_nothing_else_open(self) -> None:
        closed: list[str] = []

        async def broken() -> None:
            raise OSError("disk")

        async def fine() -> None:
            closed.append("fine")

        world = World()
        world.on_close(fine)
        world.on_close(broken)
        events = world.events()
        with pytest.raises(OSError, match="disk"):
            await world.aclose()
        assert closed == ["fine"]
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        world.on_close(broken)
        world.on_close(broken)
        with pytest.raises(ExceptionGroup, match="could not be closed"):
            await world.aclose()

    async def test_a_resource_is_made_once_and_closed_with_the_world_if_it_can_be(self) -> None:
        class Pool:
            closed = False

            async def aclose(self) -> None:
                self.closed = True

        async with World() as world:
            pool = world.resource(Pool, Pool)
            assert world.resource(Pool, Pool) is pool
            assert world.resource(Style, Style) is world.resource(Style, Style)
        assert pool.closed

    def test_a_world_cannot_be_pickled_or_copied(self) -> None:
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(World())
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copy.copy(World())

    def test_threads_enter_through_the_loop_of_the_run(self) -> None:
        arrived: list[tuple[int, int]] = []

        @system
        async def wait(box: Box) -> None:
            came = asyncio.Event()

            def note(sender: int) -> None:
                arrived.append((sender, threading.get_ident()))
                came.set()

            thread = threading.Thread(target=lambda: world.call_soon_threadsafe(note, threading.get_ident()))
            thread.start()
            await came.wait()
            thread.join()

        world = World()
        world.register_system(wait)
        world.add_component(world.create_entity(), Box([]))
        asyncio.run(Runner().run(world))  # threads need real time
        [(sender, receiver)] = arrived
        assert sender != receiver == threading.get_ident()

    def test_without_a_run_there_is_no_loop_to_call_into(self) -> None:
        with pytest.raises(RuntimeError, match="no run is active"):
            World().call_soon_threadsafe(print)

    async def test_gather_is_the_ordered_one(self) -> None:
        async def number(value: int) -> int:
            await asyncio.sleep(10 - value)
            return value

        assert await World.gather([number(value) for value in range(5)]) == [0, 1, 2, 3, 4]

    def test_a_system_may_hear_that_it_was_registered(self) -> None:
        class Curious:
            worlds: list[World]

            def registered(self, world: World) -> None:
                self.worlds = [world]

            async def process(self, world: World) -> None: ...

        world, curious = World(), Curious()
        world.register_system(curious)
        assert curious.worlds == [world]


class TestLeaving:
    """Closing may fail as well; what happened before is not hidden by that."""

    @staticmethod
    def _broken() -> World:
        async def close() -> None:
            raise OSError("the disk is full")

        world = World()
        world.on_close(close)
        return world

    async def test_the_failure_of_the_body_stands_beside_it(self) -> None:
        with pytest.raises(OSError, match="the disk is full") as caught:
            async with self._broken():
                raise ValueError("in the body")
        assert caught.value.__notes__ == ["It failed while this was on its way: ValueError: in the body"]

    async def test_alone_it_is_raised_as_it_is(self) -> None:
        with pytest.raises(OSError, match="the disk is full") as caught:
            async with self._broken():
                pass
        assert not hasattr(caught.value, "__notes__")

    async def test_a_cancel_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(asyncio.CancelledError):
            async with self._broken():
                raise asyncio.CancelledError
        assert "could not be closed properly" in caplog.text
