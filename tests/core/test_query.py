"""Queries, against a model that searches everything each time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core import Query, Watch, World
from ecs_agent.core.column import MAX_RECENT, Column
from ecs_agent.core.query import _Answer
from ecs_agent.errors import EntityNotFoundError
from ecs_agent.types import EntityId


@dataclass
class A:
    number: int = 0


@dataclass
class B:
    text: str = ""


@dataclass
class C:
    flag: bool = False


@dataclass
class D:
    value: float = 0.0


@dataclass
class E:
    data: bytes = b""


TYPES: tuple[type, ...] = (A, B, C, D)
KIND = st.sampled_from(TYPES)
WHICH = st.integers(0, 11)  # more than are alive at most times, so that some ids are stale

OPERATIONS = st.lists(
    st.one_of(
        st.just(("create",)),
        st.tuples(st.just("add"), WHICH, KIND),
        st.tuples(st.just("remove"), WHICH, KIND),
        st.tuples(st.just("delete"), WHICH),
        st.tuples(st.just("query"), st.lists(KIND, min_size=1, max_size=3), st.lists(KIND, max_size=2), st.lists(KIND, max_size=2)),
    ),
    max_size=60,
)


class Compared:
    """A world beside its specification: every entity's components, and a query that looks at each."""

    def __init__(self) -> None:
        self.world = World()
        self.held: dict[EntityId, dict[type, object]] = {}
        self.given = [EntityId(999)]

    def entity(self, which: int) -> EntityId:
        return self.given[which % len(self.given)]

    def create(self) -> None:
        entity = self.world.create_entity()
        assert entity not in self.given, "an id was given twice"
        self.given.append(entity)
        self.held[entity] = {}

    def add(self, which: int, kind: type) -> None:
        entity, component = self.entity(which), kind()
        if entity not in self.held:
            with pytest.raises(EntityNotFoundError):
                self.world.add_component(entity, component)
            return
        self.world.add_component(entity, component)
        self.held[entity][kind] = component

    def remove(self, which: int, kind: type) -> None:
        entity = self.entity(which)
        if entity not in self.held:
            with pytest.raises(EntityNotFoundError):
                self.world.remove_component(entity, kind)
            return
        self.world.remove_component(entity, kind)
        self.held[entity].pop(kind, None)

    def delete(self, which: int) -> None:
        self.world.delete_entity(self.entity(which))
        self.held.pop(self.entity(which), None)

    def query(self, types: list[type], having: list[type], without: list[type]) -> None:
        expected = {
            entity: tuple(held[kind] for kind in types)
            for entity, held in self.held.items()
            if all(kind in held for kind in types + having) and not any(kind in held for kind in without)
        }
        ask: Any = self.world.query
        answer = ask(*types, having=tuple(having), without=tuple(without))
        assert [entity for entity, _ in answer] == list(expected)
        assert all(found is wanted for entity, parts in answer for found, wanted in zip(parts, expected[entity], strict=True))

    def look_at_everything(self) -> None:
        assert self.world.entities == list(self.held)
        for entity in self.given:
            assert self.world.has_entity(entity) == (entity in self.held)
            for kind in TYPES:
                assert self.world.get_component(entity, kind) is self.held.get(entity, {}).get(kind)
                assert self.world.has_component(entity, kind) == (kind in self.held.get(entity, {}))


@given(OPERATIONS)
def test_any_sequence_of_operations_gives_the_answers_of_a_naive_search(operations: list[tuple[Any, ...]]) -> None:
    compared = Compared()
    for name, *arguments in operations:
        getattr(compared, name)(*arguments)
    compared.look_at_everything()


def filled() -> tuple[Query, A, B]:
    query, a, b = Query(), A(), B()
    query.put(EntityId(1), a)
    query.put(EntityId(2), a)
    query.put(EntityId(2), b)
    return query, a, b


def test_rule_20_the_answer_is_a_copy_and_changes_during_the_walk_affect_the_next_query() -> None:
    world = World()
    entities = [world.create_entity() for _ in range(3)]
    for entity in entities:
        world.add_component(entity, A())
    seen = []
    for entity, _ in world.query(A):
        seen.append(entity)
        world.remove_component(entity, A)
        world.add_component(world.create_entity(), A())
    assert seen == entities
    assert len(world.query(A)) == 3
    world.query(A).clear()
    assert len(world.query(A)) == 3


def test_components_come_in_the_order_in_which_the_types_were_named() -> None:
    query, a, b = filled()
    assert query.find((A, B)) == [(EntityId(2), (a, b))]
    assert query.find((B, A)) == [(EntityId(2), (b, a))]
    assert query.find((A, A)) == [(EntityId(1), (a, a)), (EntityId(2), (a, a))]


def test_entities_come_oldest_first_whatever_happened_to_them_since() -> None:
    query = Query()
    for number in (3, 1, 2):
        query.put(EntityId(number), A())
    for number in (2, 3):
        query.put(EntityId(number), B())
    assert [entity for entity, _ in query.find((A,))] == [1, 2, 3]
    assert [entity for entity, _ in query.find((A, B))] == [2, 3]
    query.take(EntityId(1), A)
    assert [entity for entity, _ in query.find((A,))] == [2, 3]
    query.put(EntityId(1), A())
    assert [entity for entity, _ in query.find((A,))] == [1, 2, 3]


def test_a_component_of_having_must_be_there_and_is_not_returned() -> None:
    query, a, b = filled()
    assert query.find((A,), having=(B,)) == [(EntityId(2), (a,))]
    assert query.find((A,), (B,), (A,)) == [(EntityId(1), (a,))]
    assert query.find((B,), (A,), (A,)) == []
    assert query.find((A, B), having=(A, B)) == [(EntityId(2), (a, b))]


def test_a_type_that_nobody_has_matches_nothing_and_keeps_nobody_away() -> None:
    query, a, _ = filled()
    assert query.find((C,)) == []
    assert query.find((A, C, D)) == []
    assert query.find((A,), (C,)) == [(EntityId(1), (a,)), (EntityId(2), (a,))]


def test_an_answer_is_cached_until_one_of_its_types_changes() -> None:
    query, a, b = filled()
    first = query.find((A,), (C,))
    query.put(EntityId(1), D())
    assert query.find((A,), (C,))[0] is first[0]  # the same row: nothing was searched again
    query.put(EntityId(1), C())
    assert query.find((A,), (C,)) == [(EntityId(2), (a,))]
    query.take(EntityId(1), C)
    assert query.find((A,), (C,)) == [(EntityId(1), (a,)), (EntityId(2), (a,))]
    replaced = A(7)
    query.put(EntityId(1), replaced)
    assert query.find((A,))[0] == (EntityId(1), (replaced,))
    assert query.find((A, B)) == [(EntityId(2), (a, b))]


def test_the_cache_is_bounded() -> None:
    query, _, _ = filled()
    kinds = [type(f"Kind{number}", (), {}) for number in range(Query.MAX_CACHED + 10)]
    for kind in kinds:
        query.find((A,), (kind,))
    assert len(query._answers) <= Query.MAX_CACHED
    assert len(query._columns) <= Query.MAX_CACHED + 3, "types that nobody has are forgotten with the answers"
    assert len(query.find((A,), (kinds[0],))) == 2


class TestUpkeep:
    """An answer is patched where few entities changed, and searched again where many did."""

    @staticmethod
    def crowd(monkeypatch: pytest.MonkeyPatch) -> tuple[Query, list[None]]:
        query, searches = Query(), list[None]()
        for number in range(1, 1001):
            query.put(EntityId(number), A(number))
            if number % 2:
                query.put(EntityId(number), B())
        search = _Answer._search

        def counted(answer: _Answer) -> Any:
            searches.append(None)
            return search(answer)

        monkeypatch.setattr(_Answer, "_search", counted)
        query.find((A,), (C,), (B,))
        return query, searches

    def test_a_few_changes_are_looked_at_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, searches = self.crowd(monkeypatch)
        replaced = A(-1)
        query.put(EntityId(1), replaced)  # another component
        query.put(EntityId(3), C())  # matches no more
        query.take(EntityId(5), B)  # likewise
        query.put(EntityId(4), B())  # matches now
        query.put(EntityId(7), C())
        query.take(EntityId(7), C)  # went and came
        found = query.find((A,), (C,), (B,))
        assert [entity for entity, _ in found[:4]] == [1, 4, 7, 9]
        assert found[0] == (EntityId(1), (replaced,))
        assert len(found) == 499
        assert len(searches) == 1

    def test_many_changes_are_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, searches = self.crowd(monkeypatch)
        for number in range(1, 201):
            query.put(EntityId(number), C())
        assert len(query.find((A,), (C,), (B,))) == 400
        assert len(searches) == 2

    def test_more_changes_than_are_remembered_are_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, searches = self.crowd(monkeypatch)
        query.put(EntityId(1), C())
        for _ in range(MAX_RECENT):
            query.put(EntityId(2), C())
        assert query.find((A,), (C,), (B,))[0][0] == 3
        assert len(searches) == 2

    def test_what_was_handed_out_stays_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, _ = self.crowd(monkeypatch)
        before = query.find((A,), (C,), (B,))
        copied = list(before)
        query.put(EntityId(1), A(-1))
        query.take(EntityId(3), B)
        assert query.find((A,), (C,), (B,)) != copied
        assert before == copied

    @pytest.mark.parametrize("seed", range(5))
    def test_a_patched_answer_is_the_one_that_a_search_gives(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = random.Random(seed)
        query, searches = self.crowd(monkeypatch)
        questions: list[tuple[tuple[type, ...], tuple[type, ...], tuple[type, ...]]] = [
            ((A,), (), ()), ((A, B), (C,), ()), ((B,), (A,), ()), ((A, A), (), (B, C)), ((B, A), (C, D), (A,)),
        ]  # fmt: skip
        asked = 0
        for _ in range(300):
            for _ in range(rng.choice((0, 1, 2, 20))):
                entity, kind = EntityId(rng.randint(1, 1200)), rng.choice(TYPES)
                if entity in query.column(kind).held and rng.random() < 0.5:
                    query.take(entity, kind)
                else:
                    query.put(entity, kind())
            question = rng.choice(questions)
            found = query.find(*question)
            asked += 1
            columns: list[list[Column]] = [[query.column(kind) for kind in kinds] for kinds in question]
            expected = _Answer(*columns)
            assert found == expected._found
            assert all(
                one is other for (_, parts), (_, wanted) in zip(found, expected._found, strict=True) for one, other in zip(parts, wanted, strict=True)
            )
        assert len(searches) < 1.5 * asked, "most answers were patched"

    def test_a_column_remembers_a_bounded_number_of_changes(self) -> None:
        column = Column()
        for number in range(10 * MAX_RECENT):
            column.put(EntityId(1), A(number))
        assert len(column._recent) <= MAX_RECENT
        assert column.version == 10 * MAX_RECENT
        assert column.changed_since(column.version - 2) == [1, 1]
        oldest = column.version - len(column._recent)
        assert column.changed_since(oldest) == column._recent
        assert column.changed_since(oldest - 1) is None


def test_a_query_without_a_type_is_refused() -> None:
    with pytest.raises(TypeError, match="at least one component type"):
        World().query()  # type: ignore[call-overload]


def test_the_types_of_the_answer_are_known_to_type_checkers() -> None:
    world = World()
    assert_type(world.query(A), list[tuple[EntityId, tuple[A]]])
    assert_type(world.query(A, B), list[tuple[EntityId, tuple[A, B]]])
    assert_type(world.query(A, B, C), list[tuple[EntityId, tuple[A, B, C]]])
    assert_type(world.query(A, B, C, D), list[tuple[EntityId, tuple[A, B, C, D]]])
    assert_type(world.query(A, B, C, D, E, without=(B,)), list[tuple[EntityId, tuple[A, B, C, D, E]]])
    assert_type(world.query(A, B, having=(C,), without=(D,)), list[tuple[EntityId, tuple[A, B]]])
    assert_type(world.get_component(EntityId(1), A), A | None)
    assert_type(world.watch(A), Watch[tuple[A]])
    assert_type(world.watch(A, B), Watch[tuple[A, B]])
    assert_type(world.watch(A, B, C), Watch[tuple[A, B, C]])
    assert_type(world.watch(A, B, C, D), Watch[tuple[A, B, C, D]])
    assert_type(world.watch(A, B, C, D, E, having=(B,), without=(B,)), Watch[tuple[A, B, C, D, E]])
    assert_type(world.watch(A, B).added(), list[tuple[EntityId, tuple[A, B]]])
    assert_type(world.watch(A, B).changed(), list[tuple[EntityId, tuple[A, B]]])
    assert_type(world.watch(A, B).removed(), list[EntityId])
    assert_type(world.get_resource(A), A | None)


def test_code_that_asks_in_a_wrong_way_is_refused_by_type_checkers() -> None:
    world = World()

    def wrong(world: World, entity: EntityId, component: A) -> None: ...

    world.on_add(B, wrong)  # type: ignore[arg-type]  # a hook for another type
    with pytest.raises(TypeError):
        world.query(A, B, C, D, E, B, maximum=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="at least one component type"):
        world.watch(having=(A,))  # type: ignore[call-overload]
