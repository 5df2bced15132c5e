"""A world beside a model that keeps plain dictionaries and searches all of them each time: whatever is done, the answers are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ecs_agent.core import ChildOf, Relation, Watch, World
from ecs_agent.core.relation import OnTargetDeleted
from ecs_agent.errors import CircularParentError, EntityNotFoundError
from ecs_agent.types import EntityId


@dataclass
class A:
    number: int = 0


@dataclass
class B:
    number: int = 0


@dataclass
class C:
    number: int = 0


@dataclass(frozen=True)
class Likes(Relation):
    pass


@dataclass(frozen=True)
class Owns(Relation):
    on_target_deleted: ClassVar[OnTargetDeleted] = "delete"


@dataclass(frozen=True)
class Remembers(Relation):
    on_target_deleted: ClassVar[OnTargetDeleted] = "keep"


PLAIN: list[Any] = [A, B, C]
POINTING: list[type[Relation]] = [ChildOf, Likes, Owns, Remembers]
KINDS: list[type] = [*PLAIN, *POINTING]
WHICH = st.integers(0, 1000)
SOME = st.lists(st.sampled_from(KINDS), max_size=2).map(tuple)
SHOWN = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3).map(tuple)

Held = dict[EntityId, dict[type, Any]]
Question = tuple[tuple[type, ...], tuple[type, ...], tuple[type, ...]]


def answer(held: Held, question: Question) -> dict[EntityId, tuple[Any, ...]]:
    shown, having, without = question
    return {
        entity: tuple([components[kind] for kind in shown])
        for entity, components in sorted(held.items())
        if all(kind in components for kind in (*shown, *having)) and not any(kind in components for kind in without)
    }


class WatchModel:
    """What a watch was told, and which of those it was told of were changed since or did not match all the time."""

    def __init__(self, question: Question, held: Held) -> None:
        self.question = question
        self.told: dict[EntityId, bool] = dict.fromkeys(answer(held, question), False)

    def follow(self, held: Held, edited: set[tuple[EntityId, type]]) -> None:
        """Look at the world after one write."""
        now = answer(held, self.question)
        for entity in self.told:
            if entity not in now or any((entity, kind) in edited for kind in self.question[0]):
                self.told[entity] = True

    def added(self, held: Held) -> dict[EntityId, tuple[Any, ...]]:
        new = {entity: parts for entity, parts in answer(held, self.question).items() if entity not in self.told}
        self.told.update(dict.fromkeys(new, False))
        return new

    def removed(self, held: Held) -> set[EntityId]:
        gone = self.told.keys() - answer(held, self.question)
        for entity in gone:
            del self.told[entity]
        return gone

    def changed(self, held: Held) -> dict[EntityId, tuple[Any, ...]]:
        found = {entity: parts for entity, parts in answer(held, self.question).items() if self.told.get(entity)}
        self.told.update(dict.fromkeys(found, False))
        return found


class Storage(RuleBasedStateMachine):
    @initialize(crowd=st.sampled_from([0, 0, 3, 40]))
    def begin(self, crowd: int) -> None:
        self.world = World()
        self.held: Held = {}
        self.given: list[EntityId] = [EntityId(999)]  # and one that never was
        self.watches: list[tuple[Watch[Any], WatchModel]] = []
        self.questions: list[Question] = [((A,), (), ()), ((A, B), (), (C,)), ((ChildOf,), (A,), (Likes,))]
        self.came: list[tuple[EntityId, object]] = []
        self.went: list[tuple[EntityId, object]] = []
        self.expected_came: list[tuple[EntityId, object]] = []
        self.expected_went: list[tuple[EntityId, object]] = []
        for kind in KINDS:
            self.world.on_add(kind, lambda _, entity, component: self.came.append((entity, component)))
            self.world.on_remove(kind, lambda _, entity, component: self.went.append((entity, component)))
        for number in range(crowd):  # so many that answers are patched and not searched again
            self.spawn(parent=number // 2 if number % 3 else None, number=number % 4)

    def pick(self, which: int) -> EntityId:
        """Mostly one that is alive."""
        among = list(self.held) if self.held and which % 5 else self.given
        return among[which % len(among)]

    # The model

    def below(self, entity: EntityId) -> list[EntityId]:
        """Children first, oldest first."""
        found: list[EntityId] = []
        for child in self.related(ChildOf, entity):
            found += [*self.below(child), child]
        return found

    def related(self, kind: type[Relation], target: EntityId) -> list[EntityId]:
        return sorted(entity for entity, components in self.held.items() if kind in components and components[kind].target == target)

    def refused(self, entity: EntityId, component: object) -> type[Exception] | None:
        if entity not in self.held or (isinstance(component, Relation) and component.target not in self.held):
            return EntityNotFoundError
        if isinstance(component, ChildOf) and component.target in (entity, *self.below(entity)):
            return CircularParentError
        return None

    def wrote(self, *edited: tuple[EntityId, type]) -> None:
        for _, model in self.watches:
            model.follow(self.held, set(edited))

    def put(self, entity: EntityId, component: object) -> None:
        kind = type(component)
        if kind in self.held[entity]:
            self.expected_went.append((entity, self.held[entity][kind]))
        self.held[entity][kind] = component
        self.expected_came.append((entity, component))
        self.wrote((entity, kind))

    def drop(self, entity: EntityId, kind: type) -> None:
        if kind in self.held[entity]:
            self.expected_went.append((entity, self.held[entity].pop(kind)))
            self.wrote()

    def go(self, entity: EntityId) -> None:
        doomed: list[EntityId] = []
        left = [entity]
        while left:
            family = [each for each in (*self.below(left[0]), left[0]) if each not in doomed]
            doomed += family
            left = left[1:] + [owner for each in family for owner in self.related(Owns, each)]
        for each in doomed:
            self.expected_went += [(each, component) for component in self.held.pop(each).values()]
        for each in doomed:
            for fan in self.related(Likes, each):
                self.expected_went.append((fan, self.held[fan].pop(Likes)))
        self.wrote()

    def compare_errors(self, act: Any, expected: type[Exception] | None) -> bool:
        """Whether it was done, as it should have been."""
        start = self.world.log.next_pos
        try:
            act()
        except (EntityNotFoundError, CircularParentError) as error:
            assert type(error) is expected
            assert self.world.log.next_pos == start, "what is refused leaves no trace"
            return False
        assert expected is None
        return True

    # What is done

    @rule(parent=st.none() | WHICH, number=st.integers(0, 3))
    def spawn(self, parent: int | None, number: int) -> None:
        above = None if parent is None else self.pick(parent)
        components = [kind(number) for kind in PLAIN[:number]]
        made: list[EntityId] = []
        refused = EntityNotFoundError if above is not None and above not in self.held else None
        if self.compare_errors(lambda: made.append(self.world.spawn(*components, parent=above)), refused):
            assert made[0] not in self.given, "an id was given twice"
            self.given += made
            self.held[made[0]] = {}
            for component in [*([] if above is None else [ChildOf(above)]), *components]:
                self.put(made[0], component)

    @rule(which=WHICH, kind=st.sampled_from(PLAIN), number=st.integers(0, 5))
    def add(self, which: int, kind: Any, number: int) -> None:
        entity, component = self.pick(which), kind(number)
        if self.compare_errors(lambda: self.world.add_component(entity, component), self.refused(entity, component)):
            self.put(entity, component)

    @rule(which=WHICH, to=WHICH, kind=st.sampled_from(POINTING))
    def relate(self, which: int, to: int, kind: type[Relation]) -> None:
        entity, component = self.pick(which), kind(self.pick(to))
        if self.compare_errors(lambda: self.world.add_component(entity, component), self.refused(entity, component)):
            self.put(entity, component)

    @rule(which=WHICH, to=st.none() | WHICH)
    def reparent(self, which: int, to: int | None) -> None:
        entity, parent = self.pick(which), None if to is None else self.pick(to)
        before = self.held.get(entity, {}).get(ChildOf)
        refused = self.refused(entity, A() if parent is None else ChildOf(parent))
        if self.compare_errors(lambda: self.world.reparent(entity, parent), refused):
            if parent is None:
                self.drop(entity, ChildOf)
            elif before != ChildOf(parent):
                self.put(entity, ChildOf(parent))

    @rule(which=WHICH, kind=st.sampled_from(KINDS))
    def remove(self, which: int, kind: type) -> None:
        entity = self.pick(which)
        if self.compare_errors(lambda: self.world.remove_component(entity, kind), None if entity in self.held else EntityNotFoundError):
            self.drop(entity, kind)

    @rule(which=WHICH, kind=st.sampled_from(PLAIN))
    def touch(self, which: int, kind: Any) -> None:
        entity = self.pick(which)
        refused = None if kind in self.held.get(entity, {}) else EntityNotFoundError
        if self.compare_errors(lambda: self.world.touch(entity, kind), refused):
            self.wrote((entity, kind))

    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        entity = self.pick(which)
        self.world.delete_entity(entity)
        if entity in self.held:
            self.go(entity)

    # What is asked

    @rule(shown=SHOWN, having=SOME, without=SOME)
    def query(self, shown: tuple[type, ...], having: tuple[type, ...], without: tuple[type, ...]) -> None:
        self.questions = [*self.questions[-10:], (shown, having, without)]

    @rule(shown=SHOWN, having=SOME, without=SOME)
    def watch(self, shown: tuple[type, ...], having: tuple[type, ...], without: tuple[type, ...]) -> None:
        ask: Any = self.world.watch
        model = WatchModel((shown, having, without), self.held)
        self.watches = [*self.watches[-3:], (ask(*shown, having=having, without=without), model)]

    @precondition(lambda self: self.watches)
    @rule(which=WHICH)
    def added(self, which: int) -> None:
        watch, model = self.watches[which % len(self.watches)]
        same(watch.added(), model.added(self.held))

    @precondition(lambda self: self.watches)
    @rule(which=WHICH)
    def removed(self, which: int) -> None:
        watch, model = self.watches[which % len(self.watches)]
        removed = watch.removed()
        assert set(removed) == model.removed(self.held)
        assert len(set(removed)) == len(removed)

    @precondition(lambda self: self.watches)
    @rule(which=WHICH)
    def changed(self, which: int) -> None:
        watch, model = self.watches[which % len(self.watches)]
        same(watch.changed(), model.changed(self.held))

    @invariant()
    def queries_are_equal(self) -> None:
        ask: Any = self.world.query
        for question in self.questions:
            shown, having, without = question
            found, expected = ask(*shown, having=having, without=without), answer(self.held, question)
            same(found, expected)
            assert [entity for entity, _ in found] == list(expected)

    @invariant()
    def trees_and_relations_are_equal(self) -> None:
        assert self.world.entities == list(self.held)
        for entity, components in self.held.items():
            assert self.world.children(entity) == self.related(ChildOf, entity)
            assert set(self.world.descendants(entity)) == set(self.below(entity))
            assert self.world.parent(entity) == (components[ChildOf].target if ChildOf in components else None)
            for kind in POINTING:
                assert self.world.related(kind, entity) == self.related(kind, entity)
            for kind in KINDS:
                assert self.world.get_component(entity, kind) is components.get(kind) or kind is ChildOf
        pointing = {(c.target, kind, entity) for entity, held in self.held.items() for kind, c in held.items() if isinstance(c, Relation)}
        index = self.world.state.relations._by_target
        kept = {(target, kind, entity) for target, by_kind in index.items() for kind, sources in by_kind.items() for entity in sources}
        assert kept == {found for found in pointing if found[1] is not ChildOf and found[0] in self.held}, "nothing is kept of what is over"

    @invariant()
    def hooks_were_told_of_each_component_once(self) -> None:
        assert sorted(self.came, key=repr) == sorted(self.expected_came, key=repr)
        assert sorted(self.went, key=repr) == sorted(self.expected_went, key=repr)


def same(found: list[tuple[EntityId, tuple[Any, ...]]], expected: dict[EntityId, tuple[Any, ...]]) -> None:
    assert dict(found) == expected
    assert len(found) == len(expected)
    for entity, parts in found:
        assert all(one is other or isinstance(one, Relation) for one, other in zip(parts, expected[entity], strict=True))


TestStorage = Storage.TestCase
TestStorage.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
