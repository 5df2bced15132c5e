"""Changes: what a fact did to a component, so that the same can be done once more elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core import MemoryLog, World
from ecs_agent.core.change import Change, Dropped, Edited, Grown, Merged, Put, Replaced, edited, put
from ecs_agent.core.component import snapshot


@dataclass(slots=True)
class Notes:
    lines: list[Any] = field(default_factory=list)
    words: dict[Any, Any] = field(default_factory=dict)
    mood: Any = "calm"


class KeepingLog(MemoryLog):
    """As a journal, it asks what became of components."""

    keeps_changes = True


@pytest.fixture
def world() -> World:
    return World(KeepingLog())


def changes(world: World) -> list[Change]:
    return [fact.change for fact in world.log.read() if fact.change is not None]


def redone(before: Notes, change: Change) -> dict[str, Any]:
    """The change once more, on a copy."""
    values = dict(zip(("lines", "words", "mood"), snapshot(before), strict=True))
    assert isinstance(change, Edited)
    for edit in change.edits:
        match edit:
            case Replaced(name, value):
                values[name] = value
            case Grown(name, kept, tail):
                values[name] = [*values[name][:kept], *tail]
            case Merged(name, items, gone):
                values[name] = {key: value for key, value in values[name].items() if key not in gone} | items
    return values


def test_what_came_went_and_was_edited_is_told(world: World) -> None:
    entity = world.create_entity()
    world.add_component(entity, Notes(["a"]))
    notes = world.get_component(entity, Notes)
    assert notes is not None
    notes.lines.append("b")
    notes.words["x"] = 1
    world.touch(entity, Notes)
    world.remove_component(entity, Notes)
    assert changes(world) == [
        Put(Notes, ("lines", "words", "mood"), (["a"], {}, "calm")),
        Edited(Notes, (Grown("lines", 1, ["b"]), Merged("words", {"x": 1}, ()))),
        Dropped(Notes),
    ]


def test_a_touch_that_changed_nothing_to_be_seen_is_an_empty_edit(world: World) -> None:
    entity = world.spawn(Notes())
    world.touch(entity, Notes)
    assert changes(world)[-1] == Edited(Notes, ())


def test_a_log_that_keeps_no_state_is_told_nothing() -> None:
    world = World()
    world.touch(world.spawn(Notes()), Notes)
    assert changes(world) == []


def test_values_of_a_change_are_safe_from_later_changes(world: World) -> None:
    entity = world.spawn(Notes([["deep"]], {"k": ["v"]}))
    notes = world.get_component(entity, Notes)
    assert notes is not None
    notes.lines[0].append("changed")
    notes.words["k"].clear()
    assert changes(world)[-1] == Put(Notes, ("lines", "words", "mood"), ([["deep"]], {"k": ["v"]}, "calm"))


@pytest.mark.parametrize(
    ("before", "after", "edit"),
    [
        (Notes([1, 2]), Notes([1, 2, 3]), Grown("lines", 2, [3])),
        (Notes([1, 2]), Notes([1]), Grown("lines", 1, [])),
        (Notes([1, 2]), Notes([1, 9]), Replaced("lines", [1, 9])),
        (Notes([]), Notes([]), None),
        (Notes(words={"a": 1, "b": 2}), Notes(words={"b": 3, "c": 4}), Merged("words", {"b": 3, "c": 4}, ("a",))),
        (Notes(words={1: 1}), Notes(words={1: 2}), Replaced("words", {1: 2})),
        (Notes(mood=1), Notes(mood=True), Replaced("mood", True)),
        (Notes(mood=1), Notes(mood=1.0), Replaced("mood", 1.0)),
    ],
)
def test_an_edit_says_no_more_than_it_must(before: Notes, after: Notes, edit: Any) -> None:
    edits = edited(Notes, snapshot(before), snapshot(after)).edits
    assert edits == (() if edit is None else (edit,))
    assert [type(each.value) for each in edits if isinstance(each, Replaced)] == ([type(edit.value)] if isinstance(edit, Replaced) else [])


class Odd:
    """Compares as arrays do: with anything but a truth value."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = object.__hash__


def test_what_cannot_be_compared_counts_as_changed() -> None:
    odd = Odd()
    assert edited(Notes, snapshot(Notes(mood=odd)), snapshot(Notes(mood=odd))).edits == ()
    assert edited(Notes, snapshot(Notes(mood=odd)), snapshot(Notes(mood=Odd()))).edits
    assert edited(Notes, snapshot(Notes([Odd()])), snapshot(Notes([Odd()]))).edits


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def notes() -> st.SearchStrategy[Notes]:
    return st.builds(Notes, st.lists(VALUES, max_size=5), st.dictionaries(st.text(max_size=2) | st.integers(0, 3), VALUES, max_size=4), VALUES)


def typed(value: object) -> object:
    """With the types of all values, as 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return {repr(key): typed(inner) for key, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


def pairs() -> Iterator[st.SearchStrategy[tuple[Notes, Notes]]]:
    yield st.tuples(notes(), notes())
    yield notes().flatmap(
        lambda one: st.tuples(st.just(one), st.builds(lambda more: Notes([*one.lines, *more], one.words, one.mood), st.lists(VALUES, max_size=2)))
    )


@given(st.one_of(*pairs()))
def test_a_change_done_once_more_gives_the_same(pair: tuple[Notes, Notes]) -> None:
    before, after = pair
    again = redone(before, edited(Notes, snapshot(before), snapshot(after)))
    wanted = dict(zip(("lines", "words", "mood"), snapshot(after), strict=True))
    assert again == wanted


class TestGrowth:
    """Whoever says that a list only grew saves the look at what stood in it."""

    def test_only_the_new_elements_are_told(self, world: World) -> None:
        entity = world.spawn(Notes([1]))
        notes = world.get_component(entity, Notes)
        assert notes is not None
        for number in (2, 3):
            notes.lines.append([number])
            world.edit(entity, Notes, "grew", growth=("lines", 1))
        assert changes(world) == [
            Put(Notes, ("lines", "words", "mood"), ([1], {}, "calm")),
            Edited(Notes, (Grown("lines", 1, [[2]]),)),
            Edited(Notes, (Grown("lines", 2, [[3]]),)),
        ]

    def test_later_changes_are_found_as_ever(self, world: World) -> None:
        entity = world.spawn(Notes([1]))
        notes = world.get_component(entity, Notes)
        assert notes is not None
        notes.lines.append([2])
        world.edit(entity, Notes, "grew", growth=("lines", 1))
        world.state.compare(world.state.row(entity))
        assert len(changes(world)) == 2  # nothing is new
        notes.lines[1].append("in place")
        world.state.compare(world.state.row(entity))
        assert changes(world)[-1] == Edited(Notes, (Replaced("lines", [1, [2, "in place"]]),))
        notes.lines.append(3)
        world.edit(entity, Notes, "grew", growth=("lines", 1))
        assert changes(world)[-2:] == [Edited(Notes, (Replaced("lines", [1, [2, "in place"]]),)), Edited(Notes, (Grown("lines", 2, [3]),))]

    def test_a_growth_that_is_none_is_looked_at(self, world: World) -> None:
        entity = world.spawn(Notes([1, 2]))
        notes = world.get_component(entity, Notes)
        assert notes is not None
        notes.lines[:] = [9]
        world.edit(entity, Notes, "grew", growth=("lines", 1))
        notes.mood = "odd"
        world.edit(entity, Notes, "grew", growth=("mood", 1))
        assert changes(world)[1:] == [Edited(Notes, (Replaced("lines", [9]),)), Edited(Notes, (Replaced("mood", "odd"),))]


def test_putting_names_the_fields() -> None:
    assert put(Notes, (1, 2, 3)) == Put(Notes, ("lines", "words", "mood"), (1, 2, 3))
