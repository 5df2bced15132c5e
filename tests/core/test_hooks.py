"""Hooks: called after a write and its fact, never inside one, and a failing one disturbs nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.core import ChildOf, ComponentAdded, ComponentRemoved, Entity, EntityDeleted, HandlerFailed, Relation, Runner, World, system
from ecs_agent.core.hooks import MAX_DEPTH
from ecs_agent.types import EntityId


@dataclass
class Box:
    text: str = ""


@dataclass
class Tag:
    number: int = 0


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    pass


@pytest.fixture
def world() -> World:  # in most of these nothing runs
    return World()


def failures(world: World) -> list[HandlerFailed]:
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, HandlerFailed)]


def telling(told: list[Any], word: str) -> Callable[[World, EntityId, Any], None]:
    def hook(world: World, entity: EntityId, component: Any) -> None:
        told.append((word, entity, component))

    return hook


@pytest.fixture
def told(world: World) -> list[Any]:
    """What hooks on `Box` were told."""
    told: list[Any] = []
    world.on_add(Box, telling(told, "came"))
    world.on_remove(Box, telling(told, "went"))
    return told


class TestWhatIsTold:
    def test_each_component_once_when_it_comes_and_once_when_it_goes(self, world: World, told: list[Any]) -> None:
        entity = world.spawn()
        first, second = Box("first"), Box("second")
        world.add_component(entity, first)
        world.add_component(entity, second)
        world.remove_component(entity, Box)
        world.remove_component(entity, Box)
        assert told == [("came", entity, first), ("went", entity, first), ("came", entity, second), ("went", entity, second)]

    def test_the_very_same_object_again_neither_comes_nor_goes(self, world: World, told: list[Any]) -> None:
        entity, box = world.spawn(), Box()
        world.add_component(entity, box)
        world.add_component(entity, box)
        world.touch(entity, Box)
        assert told == [("came", entity, box)]

    def test_those_of_a_deleted_family_go_when_all_of_it_is_gone(self, world: World) -> None:
        left: list[list[EntityId]] = []
        world.on_remove(Box, lambda world, entity, box: left.append([entity, *world.entities]))
        root = world.spawn(Box())
        child = world.spawn(Box(), parent=root)
        friend = world.spawn(Likes(root))
        world.on_remove(Likes, lambda world, entity, box: left.append([entity, *world.entities]))
        world.delete_entity(root)
        assert left == [[child, friend], [root, friend], [friend, friend]]

    def test_a_hook_never_sees_a_deletion_half_done(self, world: World) -> None:
        root = world.spawn()
        friends = [world.spawn(Likes(root)) for _ in range(3)]
        left: list[int] = []

        def look(world: World, entity: EntityId, likes: Likes) -> None:
            left.append(len(world.query(Likes)))
            world.delete_entity(friends[-1])

        world.on_remove(Likes, look)
        world.delete_entity(root)
        assert left == [0, 0, 0]
        assert world.entities == friends[:-1]

    def test_only_components_of_exactly_the_type_and_only_from_now_on(self, world: World) -> None:
        class Special(Box):
            pass

        told: list[Any] = []
        entity = world.spawn(Box())
        world.on_add(Box, telling(told, "came"))
        world.add_component(entity, Special())
        world.add_component(entity, Tag())
        assert told == []

    def test_relations_and_children_are_components_too(self, world: World) -> None:
        told: list[Any] = []
        world.on_add(ChildOf, telling(told, "came"))
        world.on_remove(ChildOf, telling(told, "went"))
        root = world.spawn()
        child = world.spawn(parent=root)
        world.delete_entity(root)
        assert told == [("came", child, ChildOf(root)), ("went", child, ChildOf(root))]

    async def test_what_a_system_adds_is_told_at_once(self, world: World, told: list[Any]) -> None:
        seen: list[int] = []

        @system
        async def add(me: Entity, tag: Tag) -> None:
            me.add(Box())
            seen.append(len(told))

        world.spawn(Tag())
        world.register_system(add)
        async with world:
            await Runner().run(world)
        assert seen == [1]


class TestWhen:
    def test_after_the_write_and_its_fact(self, world: World) -> None:
        seen: list[object] = []

        def hook(world: World, entity: EntityId, box: Box) -> None:
            seen.append((world.get_component(entity, Box), [*world.log.read()][-1].payload))

        world.on_add(Box, hook)
        entity, box = world.spawn(), Box()
        world.add_component(entity, box)
        assert seen == [(box, ComponentAdded(entity, box))]

    def test_a_spawn_is_one_write_so_a_hook_sees_the_entity_whole(self, world: World) -> None:
        seen: list[bool] = []
        world.on_add(Box, lambda world, entity, box: seen.append(world.has_component(entity, Tag)))
        world.spawn(Box(), Tag())
        world.add_component(world.spawn(), Box())
        assert seen == [True, False]

    def test_hooks_run_in_the_order_of_their_registration_and_what_they_write_comes_after(self, world: World) -> None:
        order: list[str] = []

        def first(world: World, entity: EntityId, box: Box) -> None:
            order.append("first begins")
            world.add_component(entity, Tag())
            order.append("first ends")

        world.on_add(Box, first)
        world.on_add(Tag, lambda world, entity, tag: order.append("tag"))
        world.on_add(Box, lambda world, entity, box: order.append("second"))
        world.spawn(Box())
        assert order == ["first begins", "first ends", "second", "tag"]

    def test_a_hook_may_take_back_what_it_was_told_of(self, world: World, told: list[Any]) -> None:
        world.on_add(Box, lambda world, entity, box: world.delete_entity(entity))
        entity = world.spawn(Box())
        assert not world.has_entity(entity)
        assert [word for word, *_ in told] == ["came", "went"]
        assert [type(fact.payload) for fact in world.log.read()][-1] is EntityDeleted


class TestEnd:
    def test_an_ended_hook_is_not_called_again_also_not_with_what_waits_for_it(self, world: World) -> None:
        order: list[str] = []

        def first(world: World, entity: EntityId, box: Box) -> None:
            order.append("first")
            end()
            end()

        world.on_add(Box, first)
        end = world.on_add(Box, lambda world, entity, box: order.append("second"))
        world.spawn(Box())
        world.spawn(Box())
        assert order == ["first", "first"]
        end()
        assert failures(world) == []

    def test_without_hooks_nothing_listens(self, world: World) -> None:
        ends = [world.on_add(Box, lambda world, entity, box: None), world.on_remove(Box, lambda world, entity, box: None)]
        column = world.state.query.column(Box)
        ends[0]()
        assert column.listeners()
        ends[1]()
        assert not column.listeners()
        assert not column.heard
        world.spawn(Box())
        told: list[Any] = []
        world.on_add(Box, telling(told, "came"))
        world.spawn(Box())
        assert len(told) == 1


class TestFailure:
    @pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)])
    def test_it_becomes_an_event_and_disturbs_nobody(
        self, world: World, told: list[Any], error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(world: World, entity: EntityId, component: object) -> None:
            raise error

        after: list[Any] = []
        world.on_add(Box, broken)
        world.on_add(Box, telling(after, "came"))
        with caplog.at_level(logging.CRITICAL, "ecs_agent.core.hooks"):
            entity = world.spawn(Box())
        assert world.has_component(entity, Box)
        assert len(told) == len(after) == 1
        [failed] = failures(world)
        assert failed.event == "ComponentAdded"
        assert "broken" in failed.handler
        assert failed.error == f"{type(error).__name__}: {error}"

    def test_one_of_removing_is_told_as_such(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.on_remove(Box, lambda world, entity, box: 1 / 0)
        with caplog.at_level(logging.CRITICAL, "ecs_agent.core.hooks"):
            world.remove_component(world.spawn(Box()), Box)
        assert [failed.event for failed in failures(world)] == [ComponentRemoved.__name__]

    def test_an_interrupt_passes_and_the_rest_is_told_with_the_next_write(self, world: World) -> None:
        def interrupted(world: World, entity: EntityId, box: Box) -> None:
            raise KeyboardInterrupt

        told: list[Any] = []
        end = world.on_add(Box, interrupted)
        world.on_add(Box, telling(told, "came"))
        with pytest.raises(KeyboardInterrupt):
            world.spawn(Box())
        assert told == []
        end()
        world.spawn(Tag())
        assert len(told) == 1

    def test_hooks_that_set_each_other_off_are_stopped(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def again(world: World, entity: EntityId, tag: Tag) -> None:
            world.add_component(entity, Tag(tag.number + 1))

        world.on_add(Tag, again)
        entity = world.spawn()
        with caplog.at_level(logging.CRITICAL, "ecs_agent.core.hooks"):
            world.add_component(entity, Tag())
        assert world.get_component(entity, Tag) == Tag(MAX_DEPTH)
        [failed] = failures(world)
        assert f"hooks set each other off {MAX_DEPTH} times" in failed.error
        told: list[Any] = []
        world.on_add(Box, telling(told, "came"))
        world.spawn(Box())
        assert len(told) == 1, "the next write begins anew"

    def test_what_cannot_be_made_whole_tells_of_its_end_too(self, world: World, told: list[Any]) -> None:
        with pytest.raises(KeyError):
            world.spawn(Box(), Likes(EntityId(99)))
        assert [word for word, *_ in told] == ["came", "went"]
        assert world.entities == []
