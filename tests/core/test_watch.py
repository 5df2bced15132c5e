"""Watches: what changed in the answer to a query, compared with what was told last."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.core import ChildOf, Entity, Query, Runner, Watch, World, system
from ecs_agent.errors import CircularParentError, EntityNotFoundError
from ecs_agent.types import EntityId


@dataclass
class Here:
    number: int = 0


@dataclass
class Tag:
    name: str = ""


@dataclass
class Hidden:
    pass


@pytest.fixture
def quiet() -> World:
    """A world in which nothing runs."""
    return World()


def news(watch: Watch[Any]) -> tuple[list[EntityId], list[EntityId], list[EntityId]]:
    """Added, removed, changed, without components."""
    return [entity for entity, _ in watch.added()], watch.removed(), [entity for entity, _ in watch.changed()]


class TestAdded:
    def test_who_came_to_match_is_told_once_with_its_components(self, quiet: World) -> None:
        watch = quiet.watch(Here, Tag)
        here, tag = Here(), Tag()
        entity = quiet.spawn(here)
        assert watch.added() == []
        quiet.add_component(entity, tag)
        [(told, components)] = watch.added()
        assert told == entity
        assert components[0] is here
        assert components[1] is tag
        assert news(watch) == ([], [], [])

    def test_who_matches_already_when_it_begins_counts_as_told(self, quiet: World) -> None:
        entity = quiet.spawn(Here())
        watch = quiet.watch(Here)
        assert news(watch) == ([], [], [])
        quiet.remove_component(entity, Here)
        assert news(watch) == ([], [entity], [])

    def test_entities_come_in_the_order_in_which_they_came_to_match(self, quiet: World) -> None:
        first, second = quiet.spawn(), quiet.spawn()
        watch = quiet.watch(Here)
        quiet.add_component(second, Here())
        quiet.add_component(first, Here())
        assert [entity for entity, _ in watch.added()] == [second, first]

    def test_the_components_are_those_of_the_moment_of_asking(self, quiet: World) -> None:
        watch = quiet.watch(Here)
        entity = quiet.spawn(Here(1))
        quiet.add_component(entity, Here(2))
        quiet.touch(entity, Here)
        assert watch.added() == [(entity, (Here(2),))]
        assert news(watch) == ([], [], []), "who is new is not changed as well"


class TestRemoved:
    @pytest.mark.parametrize(
        "go",
        [
            lambda world, entity: world.remove_component(entity, Here),
            lambda world, entity: world.remove_component(entity, Tag),
            lambda world, entity: world.add_component(entity, Hidden()),
            lambda world, entity: world.delete_entity(entity),
            lambda world, entity: world.delete_entity(world.parent(entity)),
        ],
    )
    def test_who_no_longer_matches_is_told_once(self, quiet: World, go: Any) -> None:
        entity = quiet.spawn(Here(), Tag(), parent=quiet.spawn())
        watch = quiet.watch(Here, having=(Tag,), without=(Hidden,))
        quiet.touch(entity, Here)
        go(quiet, entity)
        assert news(watch) == ([], [entity], []), "who is gone is not changed as well"
        assert news(watch) == ([], [], [])

    def test_who_was_no_match_before_is_not_told(self, quiet: World) -> None:
        entity = quiet.spawn(Here(), Hidden())
        watch = quiet.watch(Here, without=(Hidden,))
        quiet.remove_component(entity, Here)
        quiet.delete_entity(entity)
        assert news(watch) == ([], [], [])


class TestNet:
    def test_who_came_and_went_between_two_askings_is_in_none(self, quiet: World) -> None:
        watch = quiet.watch(Here, without=(Hidden,))
        entity = quiet.spawn(Here())
        quiet.delete_entity(entity)
        other = quiet.spawn(Here(), Hidden())
        quiet.delete_entity(other)  # in the middle of which it would match, for the blink of an eye
        assert news(watch) == ([], [], [])

    def test_who_went_and_came_back_is_changed(self, quiet: World) -> None:
        entity = quiet.spawn(Here())
        watch = quiet.watch(Here, without=(Hidden,))
        quiet.add_component(entity, Hidden())
        quiet.remove_component(entity, Hidden)
        assert news(watch) == ([], [], [entity])

    def test_the_three_lists_may_be_asked_for_in_any_order_and_at_any_time(self, quiet: World) -> None:
        watch = quiet.watch(Here)
        entity = quiet.spawn(Here())
        assert [found for found, _ in watch.added()] == [entity]
        quiet.delete_entity(entity)
        assert watch.removed() == [entity], "that it matched was told, so that it does no more is told too"

    def test_two_watches_know_nothing_of_each_other(self, quiet: World) -> None:
        one, other = quiet.watch(Here), quiet.watch(Here)
        entity = quiet.spawn(Here())
        assert news(one) == ([entity], [], [])
        assert news(other) == ([entity], [], [])


class TestChanged:
    def test_a_replaced_component_and_an_edited_one_are_told_once(self, quiet: World) -> None:
        replaced, edited, touched, still = [quiet.spawn(Here(), Tag()) for _ in range(4)]
        watch = quiet.watch(Here, Tag)
        quiet.add_component(replaced, Here(5))
        quiet.edit(edited, Tag, "an event")
        quiet.touch(touched, Tag)
        quiet.touch(touched, Here)
        assert news(watch) == ([], [], [replaced, edited, touched])
        assert still not in news(watch)[2]

    def test_components_that_are_not_returned_do_not_count(self, quiet: World) -> None:
        entity = quiet.spawn(Here(), Tag())
        watch = quiet.watch(Here, having=(Tag,))
        quiet.add_component(entity, Tag("other"))
        quiet.touch(entity, Tag)
        quiet.touch(entity)
        assert news(watch) == ([], [], [])

    def test_who_does_not_match_is_not_told(self, quiet: World) -> None:
        entity = quiet.spawn(Here())
        watch = quiet.watch(Here, having=(Tag,))
        quiet.touch(entity, Here)
        quiet.add_component(entity, Here(2))
        assert news(watch) == ([], [], [])

    async def test_what_a_system_changes_in_place_is_told_when_its_call_ends(self, world: World) -> None:
        seen: list[int] = []

        @system
        async def count(me: Entity, here: Here) -> None:
            here.number += 1
            seen.append(len(watch.changed()))

        entity = world.spawn(Here())
        watch = world.watch(Here)
        world.register_system(count)
        await Runner().run(world)
        assert seen == [0]
        assert watch.changed() == [(entity, (Here(1),))]


class TestBounds:
    def test_a_type_that_nobody_has_yet_is_watched_also_when_queries_are_forgotten(self, quiet: World) -> None:
        watch = quiet.watch(Here)
        for number in range(Query.MAX_CACHED + 10):
            quiet.query(type(f"Kind{number}", (), {}))
        entity = quiet.spawn(Here())
        assert news(watch) == ([entity], [], [])

    def test_a_relation_is_checked_also_after_a_watch_on_it_has_ended(self, quiet: World) -> None:
        root = quiet.spawn()
        child = quiet.spawn(parent=root)
        quiet.watch(ChildOf).close()
        with pytest.raises(CircularParentError):
            quiet.reparent(root, child)
        quiet.remove_component(child, ChildOf)
        quiet.watch(ChildOf).close()
        with pytest.raises(EntityNotFoundError):
            quiet.reparent(root, EntityId(99))

    def test_an_entity_stands_at_most_once_however_often_it_changes(self, quiet: World) -> None:
        watch = quiet.watch(Here)
        entities = [quiet.spawn(Here()) for _ in range(3)]
        news(watch)
        for _ in range(100):
            for entity in entities:
                quiet.add_component(entity, Here())
            quiet.delete_entity(quiet.spawn(Here()))
        assert len(watch._added) + len(watch._removed) + len(watch._changed) == 3

    def test_a_watch_that_was_dropped_costs_nothing_any_more(self, quiet: World) -> None:
        watch = quiet.watch(Here, without=(Hidden,))
        assert quiet.state.query.watched
        columns = [quiet.state.query.column(kind) for kind in (Here, Hidden)]
        assert all(column.heard for column in columns)
        del watch
        gc.collect()
        assert not quiet.state.query.watched
        assert not any(column.heard or column._listeners for column in columns)
        quiet.spawn(Here())

    def test_a_closed_watch_tells_nothing_and_may_be_closed_again(self, quiet: World) -> None:
        watch, other = quiet.watch(Here), quiet.watch(Here)
        entity = quiet.spawn(Here())
        watch.close()
        watch.close()
        quiet.add_component(entity, Here())
        assert news(watch) == ([], [], [])
        assert news(other) == ([entity], [], [])
        assert list(quiet.state.query.watched) == [reference for reference in quiet.state.query.watched if reference() is other]

    def test_a_question_that_contradicts_itself_is_never_answered(self, quiet: World) -> None:
        watch = quiet.watch(Here, without=(Here,))
        entity = quiet.spawn(Here())
        quiet.remove_component(entity, Here)
        assert news(watch) == ([], [], [])


def test_lists_are_copies_that_may_be_walked_through_while_the_world_changes(quiet: World) -> None:
    watch = quiet.watch(Here)
    entities = [quiet.spawn(Here()) for _ in range(3)]
    for entity, _ in watch.added():
        quiet.delete_entity(entity)
        quiet.spawn(Here())
    assert watch.removed() == entities
    assert len(watch.added()) == 3
