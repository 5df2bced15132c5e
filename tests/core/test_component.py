"""Finding changes inside components: what a snapshot sees, against every kind of change one can make in place."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core.component import Snapshot, changed, snapshot


def differs(component: object, taken: Snapshot) -> bool:
    """Whether one component is found to be changed."""
    kind = type(component)
    return changed({kind: component}, {kind: taken}) == [kind]


@dataclass(slots=True)
class Holder:
    first: Any
    second: Any = 0


@dataclass(slots=True)
class Single:
    value: Any


@dataclass(slots=True)
class Nothing:
    pass


class Plain:
    """A class that is no dataclass: its annotations are its fields."""

    count: int
    unset: str

    def __init__(self) -> None:
        self.count = 1


class Raising:
    """As arrays do: no answer to the question whether two are equal."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
DATA = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3), max_leaves=10)


def containers(value: Any) -> list[Any]:
    """Every list and dict within a value, itself first."""
    if not isinstance(value, list | dict):
        return []
    inside = value if isinstance(value, list) else list(value.values())
    return [value, *[found for item in inside for found in containers(item)]]


@given(DATA, DATA)
def test_a_component_that_nobody_touched_does_not_differ(first: Any, second: Any) -> None:
    component = Holder(first, second)
    assert not differs(component, snapshot(component))


@given(DATA, DATA)
def test_assigning_a_field_is_seen_exactly_when_the_value_is_another(before: Any, after: Any) -> None:
    component = Holder(before)
    taken = snapshot(component)
    component.first = after
    assert differs(component, taken) == (before != after)


@given(DATA, st.data())
def test_a_change_in_place_is_seen_at_any_depth_of_lists_and_dicts(value: Any, data: st.DataObject) -> None:
    component = Holder(0, [value])
    taken = snapshot(component)
    place = data.draw(st.sampled_from(containers(component.second)))
    if isinstance(place, list):
        place.append("new")
    else:
        place["new"] = "new"
    assert differs(component, taken)


@given(DATA)
def test_a_snapshot_is_safe_from_later_changes(value: Any) -> None:
    component = Single(value)
    taken, expected = snapshot(component), copy.deepcopy(value)
    for place in containers(component.value):
        place.clear()
    assert taken == (expected,)


def test_containers_of_the_standard_library_are_looked_into() -> None:
    containing = Holder(deque([1]), defaultdict(list, a=[1]))
    ordered = Holder(OrderedDict(a=1, b=2), bytearray(b"x"))
    numbers = Single({1, 2})
    cases: list[tuple[object, Callable[[], object]]] = [
        (containing, lambda: containing.first.append(2)),
        (containing, lambda: containing.second["a"].append(2)),
        (ordered, lambda: ordered.first.move_to_end("a")),
        (ordered, lambda: ordered.second.extend(b"y")),
        (numbers, lambda: numbers.value.discard(1)),
    ]
    for component, change in cases:
        taken = snapshot(component)
        assert not differs(component, taken)
        change()
        assert differs(component, taken)


def test_a_field_that_is_a_tuple_is_not_taken_for_the_fields() -> None:
    component = Single((1, 2))
    taken = snapshot(component)
    component.value = (1, 2, 3)
    assert differs(component, taken)


def test_a_component_without_fields_never_differs() -> None:
    assert not differs(Nothing(), snapshot(Nothing()))


def test_the_annotated_fields_of_a_plain_class_are_compared_also_where_one_is_not_set() -> None:
    component = Plain()
    taken = snapshot(component)
    assert not differs(component, taken)
    component.unset = "now"
    assert differs(component, taken)


def test_a_deleted_field_is_a_difference_once_and_raises_nothing() -> None:
    component = Holder([1])
    taken = snapshot(component)
    del component.first
    assert differs(component, taken)
    assert not differs(component, snapshot(component))


def test_a_comparison_that_raises_counts_as_a_difference_and_a_fresh_snapshot_settles_it() -> None:
    component = Holder(Raising())
    taken = snapshot(component)
    assert not differs(component, taken)  # the very same object needs no comparison
    component.first = Raising()
    assert differs(component, taken)
    assert not differs(component, snapshot(component))


def test_what_is_mutated_inside_another_object_is_not_seen_and_needs_touch() -> None:
    @dataclass
    class Inner:
        items: list[int] = field(default_factory=list)

    component = Single(Inner())
    taken = snapshot(component)
    component.value.items.append(1)
    assert not differs(component, taken)


def test_data_that_contains_itself_is_compared_as_one_value() -> None:
    component = Single([])
    component.value.append(component.value)
    taken = snapshot(component)
    assert not differs(component, taken)
    component.value = []
    assert differs(component, taken)
