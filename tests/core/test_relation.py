"""Relations: who points at whom, and what becomes of that when the target goes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import pytest

from ecs_agent.core import ChildOf, ComponentAdded, ComponentRemoved, Entity, EntityDeleted, Relation, Runner, World, system
from ecs_agent.core.relation import OnTargetDeleted
from ecs_agent.errors import CircularParentError, EntityNotFoundError
from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    how_much: int = 1


@dataclass(frozen=True, slots=True)
class Owns(Relation):
    """Who goes when what it is about goes."""

    on_target_deleted: ClassVar[OnTargetDeleted] = "delete"


@dataclass(frozen=True, slots=True)
class Remembers(Relation):
    on_target_deleted: ClassVar[OnTargetDeleted] = "keep"


@dataclass
class Note:
    text: str = ""


@pytest.fixture
def world() -> World:  # in most of these nothing runs
    return World()


def payloads(world: World) -> list[object]:
    return [fact.payload for fact in world.log.read()]


class TestTree:
    def test_a_child_holds_its_relation_as_a_component(self, world: World) -> None:
        root = world.spawn()
        children = [world.create_entity(parent=root), world.spawn(parent=root), world.spawn(ChildOf(root))]
        assert world.children(root) == children
        for child in children:
            assert world.parent(child) == root
            assert world.get_component(child, ChildOf) == ChildOf(root)
        assert [entity for entity, _ in world.query(ChildOf)] == children
        assert world.parent(root) is None
        assert not world.has_component(root, ChildOf)

    def test_roots_and_sub_agents_are_told_apart_by_a_query(self, world: World) -> None:
        root = world.spawn(Note("root"))
        child = world.spawn(Note("child"), parent=root)
        assert [entity for entity, _ in world.query(Note, without=(ChildOf,))] == [root]
        assert [entity for entity, _ in world.query(Note, having=(ChildOf,))] == [child]

    async def test_roots_and_sub_agents_are_told_apart_by_a_signature(self, world: World) -> None:
        met: list[tuple[EntityId, EntityId | None]] = []

        @system(priority=0)
        async def below(me: Entity, note: Note, child: ChildOf) -> None:
            met.append((me.id, child.target))

        @system(priority=1, without=(ChildOf,))
        async def above(me: Entity, note: Note) -> None:
            met.append((me.id, None))

        root = world.spawn(Note())
        child = world.spawn(Note(), parent=root)
        world.register_system(below)
        world.register_system(above)
        async with world:
            await Runner().run(world)
        assert sorted(met) == [(root, None), (child, root)]

    def test_descendants_come_child_by_child_each_with_all_below_it(self, world: World) -> None:
        root = world.spawn()
        first, second = world.spawn(parent=root), world.spawn(parent=root)
        below_second = world.spawn(parent=second)
        below_first = world.spawn(parent=first)
        assert world.descendants(root) == [first, below_first, second, below_second]
        assert world.descendants(below_first) == []
        assert world.children(root) == [first, second]
        assert [world.root(entity) for entity in (root, first, below_second)] == [root] * 3

    def test_a_chain_longer_than_the_stack_is_no_problem(self, world: World) -> None:
        chain = [world.spawn()]
        for _ in range(3000):
            chain.append(world.spawn(parent=chain[-1]))
        assert world.descendants(chain[0]) == chain[1:]
        assert world.root(chain[-1]) == chain[0]
        with pytest.raises(CircularParentError):
            world.reparent(chain[0], chain[-1])
        world.delete_entity(chain[0])
        assert world.entities == []

    def test_lists_are_copies_that_may_be_walked_through_while_the_tree_changes(self, world: World) -> None:
        root = world.spawn()
        children = [world.spawn(parent=root) for _ in range(3)]
        for child in world.children(root):
            world.delete_entity(child)
            world.spawn(parent=root)
        assert len(world.children(root)) == 3
        assert not set(world.children(root)) & set(children)
        for entity in world.descendants(root):
            world.reparent(entity, None)
        assert world.children(root) == []


class TestReparent:
    def test_an_entity_moves_with_everybody_below_it_and_its_new_parent_takes_it_along(self, world: World) -> None:
        old, new = world.spawn(), world.spawn()
        entity = world.spawn(parent=old)
        below = world.spawn(parent=entity)
        world.reparent(entity, new)
        assert world.children(old) == []
        assert world.descendants(new) == [entity, below]
        assert world.get_component(entity, ChildOf) == ChildOf(new)
        world.delete_entity(old)
        assert world.has_entity(below)
        world.delete_entity(new)
        assert world.entities == []

    def test_children_come_oldest_first_whoever_came_last(self, world: World) -> None:
        oldest, parent = world.spawn(), world.spawn()
        young = world.spawn(parent=parent)
        world.reparent(oldest, parent)
        assert world.children(parent) == world.descendants(parent) == [oldest, young]

    def test_none_makes_it_a_root(self, world: World) -> None:
        parent = world.spawn()
        child = world.spawn(parent=parent)
        world.reparent(child, None)
        world.reparent(child, None)
        assert world.parent(child) is None
        assert world.children(parent) == []
        world.delete_entity(parent)
        assert world.entities == [child]

    def test_it_is_adding_replacing_and_removing_the_component(self, world: World) -> None:
        parent, entity = world.spawn(), world.spawn()
        start = world.log.next_pos
        world.reparent(entity, parent)
        world.reparent(entity, parent)  # where it is already
        world.reparent(entity, None)
        assert [fact.payload for fact in world.log.read(start)] == [
            ComponentAdded(entity, ChildOf(parent)),
            ComponentRemoved(entity, ChildOf(parent)),
        ]
        world.add_component(entity, ChildOf(parent))
        assert world.children(parent) == [entity]
        world.remove_component(entity, ChildOf)
        assert world.children(parent) == []

    def test_facts_name_the_parent_of_the_moment(self, world: World) -> None:
        first, second = world.spawn(), world.spawn()
        entity = world.spawn(parent=first)
        world.reparent(entity, second)
        world.delete_entity(entity)
        assert [fact.parent for fact in world.log.read() if fact.entity == entity] == [first, first, second, second]

    def test_a_circle_is_refused_and_nothing_is_changed(self, world: World) -> None:
        root = world.spawn()
        child = world.spawn(parent=root)
        below = world.spawn(parent=child)
        start = world.log.next_pos
        for parent in (root, child, below):
            with pytest.raises(CircularParentError, match=f"entity {root} cannot be a child of {parent}"):
                world.reparent(root, parent)
            with pytest.raises(ValueError, match="cannot be a child"):
                world.add_component(root, ChildOf(parent))
        assert world.log.next_pos == start
        assert world.descendants(root) == [child, below]
        assert not world.has_component(root, ChildOf)
        world.reparent(below, root)
        world.reparent(child, below)
        assert world.descendants(root) == [below, child]

    def test_randomness_stays_what_it_was_by_birth(self, world: World) -> None:
        root = world.spawn()
        child = world.spawn(parent=root)
        place = world.state.row(child).place
        world.reparent(child, None)
        assert world.state.row(child).place == place


class TestIndex:
    def test_related_are_those_whose_relation_points_at_the_target_now(self, world: World) -> None:
        cake, soup = world.spawn(), world.spawn()
        one, other = world.spawn(Likes(cake)), world.spawn(Likes(cake, how_much=9))
        assert world.related(Likes, cake) == [one, other]
        world.add_component(one, Likes(soup))
        assert world.related(Likes, cake) == [other]
        assert world.related(Likes, soup) == [one]
        world.add_component(one, Likes(cake))
        assert world.related(Likes, cake) == [one, other], "oldest first, whoever came last"
        world.remove_component(one, Likes)
        world.delete_entity(other)
        assert world.related(Likes, cake) == []
        assert world.related(Owns, cake) == []
        assert not world.state.relations._by_target, "the index holds nothing of what is over"

    def test_relations_of_different_types_do_not_mix_and_an_entity_may_point_at_itself(self, world: World) -> None:
        entity = world.spawn()
        world.add_component(entity, Likes(entity))
        world.add_component(entity, Remembers(entity))
        assert world.related(Likes, entity) == world.related(Remembers, entity) == [entity]
        assert world.children(entity) == []
        world.delete_entity(entity)
        assert world.entities == []

    def test_a_target_that_is_not_there_is_refused_and_nothing_is_changed(self, world: World) -> None:
        gone = world.spawn()
        world.delete_entity(gone)
        cake = world.spawn()
        entity = world.spawn(Likes(cake))
        start = world.log.next_pos
        for target in (gone, EntityId(99)):
            for relation in (Likes(target), Owns(target), ChildOf(target)):
                with pytest.raises(EntityNotFoundError, match=f"no entity {target}"):
                    world.add_component(entity, relation)
            with pytest.raises(EntityNotFoundError):
                world.related(Likes, target)
        assert world.log.next_pos == start
        assert world.get_component(entity, Likes) == Likes(cake)
        assert world.related(Likes, cake) == [entity]
        world.state.compare(world.state.row(entity))
        assert world.log.next_pos == start, "the refused one left no trace that comparing would find"

    def test_a_relation_is_frozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Likes(EntityId(1)).target = EntityId(2)  # type: ignore[misc]

    def test_a_policy_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(TypeError, match='on_target_deleted is \'explode\'; it must be "remove", "delete" or "keep"'):

            class Wrong(Relation):
                on_target_deleted = "explode"  # type: ignore[assignment]


class TestTargetDeleted:
    def test_remove_takes_the_relation_away_and_leaves_its_entity(self, world: World) -> None:
        cake = world.spawn()
        entity = world.spawn(Likes(cake), Note())
        world.delete_entity(cake)
        assert world.has_component(entity, Note)
        assert not world.has_component(entity, Likes)
        assert payloads(world)[-2:] == [EntityDeleted(cake), ComponentRemoved(entity, Likes(cake))]

    def test_delete_takes_its_entity_along_with_all_below_it_target_first(self, world: World) -> None:
        target = world.spawn()
        child = world.spawn(parent=target)
        owner = world.spawn(Owns(child))
        below = world.spawn(parent=owner)
        owner_of_owner = world.spawn(Owns(below))
        bystander = world.spawn(Likes(owner))
        world.delete_entity(target)
        deleted = [fact for fact in payloads(world) if isinstance(fact, EntityDeleted)]
        assert deleted == [EntityDeleted(entity) for entity in (child, target, below, owner, owner_of_owner)]
        assert world.entities == [bystander]
        assert not world.has_component(bystander, Likes)

    def test_keep_leaves_it_pointing_at_an_id_that_is_never_used_again(self, world: World) -> None:
        friend = world.spawn()
        entity = world.spawn(Remembers(friend))
        world.delete_entity(friend)
        assert world.get_component(entity, Remembers) == Remembers(friend)
        with pytest.raises(EntityNotFoundError):
            world.related(Remembers, friend)
        assert not world.state.relations._by_target
        world.remove_component(entity, Remembers)
        other = world.spawn()
        world.add_component(entity, Remembers(other))
        assert world.related(Remembers, other) == [entity]

    def test_a_circle_of_owners_goes_together(self, world: World) -> None:
        one, other = world.spawn(), world.spawn()
        world.add_component(one, Owns(other))
        world.add_component(other, Owns(one))
        world.delete_entity(one)
        assert world.entities == []

    def test_a_parent_that_owns_its_child_goes_after_it(self, world: World) -> None:
        parent = world.spawn()
        child, sibling = world.spawn(parent=parent), world.spawn(parent=parent)
        world.add_component(parent, Owns(child))
        world.delete_entity(child)
        deleted = [fact for fact in payloads(world) if isinstance(fact, EntityDeleted)]
        assert deleted == [EntityDeleted(child), EntityDeleted(sibling), EntityDeleted(parent)]

    def test_children_go_before_their_parents_also_where_they_own_something_else_that_goes(self, world: World) -> None:
        root = world.spawn()
        parent = world.spawn(parent=root)
        child = world.spawn(Owns(root), parent=parent)
        world.delete_entity(root)
        deleted = [fact for fact in payloads(world) if isinstance(fact, EntityDeleted)]
        assert deleted == [EntityDeleted(entity) for entity in (child, parent, root)]


def test_a_program_without_relations_pays_nothing_for_them(world: World) -> None:
    world.delete_entity(world.spawn(Note()))
    assert not world.state.query.column(Note).heard
    assert not world.state.relations._by_target
