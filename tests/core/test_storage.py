"""Stale ids, and changes during a walk: what each method that takes an id answers to one that is not there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.core import ChildOf, EntityIdGenerator, Relation, World
from ecs_agent.errors import EntityNotFoundError
from ecs_agent.types import EntityId


@dataclass
class Box:
    number: int = 0


@dataclass
class Other:
    pass


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    pass


RAISES: dict[str, Callable[[World, EntityId], object]] = {
    "add_component": lambda world, stale: world.add_component(stale, Box()),
    "remove_component": lambda world, stale: world.remove_component(stale, Box),
    "touch": lambda world, stale: world.touch(stale, Box),
    "edit": lambda world, stale: world.edit(stale, Box, "event"),
    "emit": lambda world, stale: world.emit(stale, "event"),
    "send": lambda world, stale: world.send(stale, "letter"),
    "request": lambda world, stale: world.request(stale, lambda me: me.add(Box())),
    "create_entity": lambda world, stale: world.create_entity(parent=stale),
    "spawn": lambda world, stale: world.spawn(Box(), parent=stale),
    "fork": lambda world, stale: world.fork(stale),
    "undo": lambda world, stale: world.undo(stale, 1),
    "parent": lambda world, stale: world.parent(stale),
    "children": lambda world, stale: world.children(stale),
    "descendants": lambda world, stale: world.descendants(stale),
    "root": lambda world, stale: world.root(stale),
    "reparent": lambda world, stale: world.reparent(stale, None),
    "related": lambda world, stale: world.related(Likes, stale),
}
ANSWERS: dict[str, tuple[Callable[[World, EntityId], object], object]] = {
    "get_component": (lambda world, stale: world.get_component(stale, Box), None),
    "has_component": (lambda world, stale: world.has_component(stale, Box), False),
    "has_entity": (lambda world, stale: world.has_entity(stale), False),
    "delete_entity": (lambda world, stale: world.delete_entity(stale), None),
}
LATER = {"events"}  # a stream may wait for an entity that is still to come; see test_event_stream.py


def stale_ids(world: World) -> list[EntityId]:
    """One that was deleted, one that went with its parent, one that was never given."""
    root = world.spawn(Box())
    child = world.spawn(Box(), parent=root)
    alone = world.spawn(Box(), Likes(root))
    world.delete_entity(root)
    world.delete_entity(alone)
    return [child, alone, EntityId(99)]


@pytest.mark.parametrize("method", RAISES)
def test_what_needs_the_entity_raises_and_names_it_and_nothing_happens(method: str) -> None:
    world = World()
    for stale in stale_ids(world):
        start, alive = world.log.next_pos, world.entities
        with pytest.raises(EntityNotFoundError, match=f"there is no entity {stale} in this world; it was deleted or never created"):
            RAISES[method](world, stale)
        assert world.log.next_pos == start
        assert world.entities == alive


@pytest.mark.parametrize("method", ANSWERS)
def test_what_only_asks_or_is_done_already_does_not_raise(method: str) -> None:
    world = World()
    ask, answer = ANSWERS[method]
    for stale in stale_ids(world):
        start = world.log.next_pos
        assert ask(world, stale) is answer
        assert world.log.next_pos == start


def test_these_are_all_methods_that_take_an_id() -> None:
    takes = {
        name
        for name, member in inspect.getmembers(World, inspect.isfunction)
        if not name.startswith("_")
        and any("EntityId" in str(hint.annotation).split("Callable")[0] for hint in list(inspect.signature(member).parameters.values())[1:])
    }
    assert takes == {*RAISES, *ANSWERS} | LATER


def test_a_target_that_is_gone_is_named() -> None:
    world = World()
    entity = world.spawn()
    uses: list[Callable[[EntityId], None]] = [lambda stale: world.reparent(entity, stale), lambda stale: world.add_component(entity, Likes(stale))]
    for stale in stale_ids(world):
        for use in uses:
            with pytest.raises(EntityNotFoundError, match=f"no entity {stale}"):
                use(stale)
    assert world.get_component(entity, ChildOf) is None


def test_an_id_is_never_given_twice() -> None:
    world = World()
    given: list[EntityId] = []
    for _ in range(50):
        given += [world.spawn(), world.spawn(Box())]
        world.delete_entity(given[-1])
        world.delete_entity(given[-2])
    assert len(set(given)) == len(given)


def test_a_source_of_ids_that_repeats_itself_is_found_out() -> None:
    class Stuck(EntityIdGenerator):
        def next(self) -> EntityId:
            return EntityId(7)

    world = World(ids=Stuck())
    world.spawn(Box())
    with pytest.raises(ValueError, match="gave 7 again"):
        world.spawn(Other())
    assert world.query(Box) == [(EntityId(7), (Box(),))]


class TestChangesDuringAWalk:
    @pytest.mark.parametrize(
        "change",
        [
            lambda world, entity: world.delete_entity(entity),
            lambda world, entity: world.remove_component(entity, Box),
            lambda world, entity: world.add_component(entity, Box(9)),
            lambda world, entity: world.add_component(entity, Other()),
            lambda world, entity: world.spawn(Box(), parent=entity),
            lambda world, entity: [world.delete_entity(each) for each in world.entities],
        ],
    )
    @pytest.mark.parametrize(
        "ask",
        [
            lambda world, root, watch: world.query(Box, without=(Other,)),
            lambda world, root, watch: world.entities,
            lambda world, root, watch: world.children(root),
            lambda world, root, watch: world.descendants(root),
            lambda world, root, watch: world.related(Likes, root),
            lambda world, root, watch: watch.added(),
        ],
    )
    def test_every_list_goes_on_as_it_was(self, change: Any, ask: Any) -> None:
        world = World()
        root, watch = world.spawn(), world.watch(Box)
        for number in range(4):
            world.spawn(Box(number), Likes(root), parent=root)
        world.query(Box, without=(Other,))
        found = ask(world, root, watch)
        before = list(found)
        assert len(found) in {4, 5}
        for each in found:
            entity = each[0] if isinstance(each, tuple) else each
            if world.has_entity(entity):
                change(world, entity)
        assert found == before
