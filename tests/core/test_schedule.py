"""The schedule: which systems exist, in which order, and which of them an entity meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core import Schedule, TerminalComponent, World, system
from ecs_agent.core.entry import EntityEntry
from ecs_agent.errors import SystemDefinitionError


@dataclass
class Box:
    items: list[str]


@dataclass
class Style:
    name: str = ""


class Counting:
    """A world system."""

    async def process(self, world: World) -> None: ...


def named(name: str, priority: int = 0) -> Any:
    @system(priority=priority)
    async def one(box: Box) -> None: ...

    one.__name__ = name
    return one


@given(st.lists(st.integers(-2, 2), max_size=8))
def test_rule_6_order_is_priority_then_registration(priorities: list[int]) -> None:
    schedule = Schedule()
    for number, priority in enumerate(priorities):
        schedule.register(named(str(number)), priority)
    expected = [str(number) for number, _ in sorted(enumerate(priorities), key=lambda item: item[1])]  # sorting is stable
    assert [entry.name for entry in schedule.entity_systems] == expected
    assert [entry.name for entry in schedule.matching(frozenset({Box}))] == expected


def test_rule_6_the_priority_is_the_argument_else_the_attribute_else_the_decorators_else_0() -> None:
    class WithAttribute:
        def __init__(self) -> None:
            self.priority = 7

        @system(priority=3)
        async def __call__(self, box: Box) -> None: ...

    schedule = Schedule()
    assert schedule.register(WithAttribute(), 1).priority == 1
    assert schedule.register(WithAttribute()).priority == 7
    assert schedule.register(named("decorated", 3)).priority == 3
    assert schedule.register(named("default")).priority == 0
    assert schedule.register(Counting()).priority == 0
    assert schedule.register(Counting(), -5).priority == -5


def test_an_entity_meets_the_systems_whose_required_types_it_has_and_whose_unwanted_ones_it_has_not() -> None:
    @system(without=(Style,))
    async def plain(box: Box) -> None: ...

    @system
    async def styled(box: Box, style: Style) -> None: ...

    schedule = Schedule()
    schedule.register(plain)
    schedule.register(styled)

    def meets(*types: type) -> list[str]:
        return [entry.name for entry in schedule.matching(frozenset(types))]

    assert meets() == []
    assert meets(Style) == []
    assert meets(Box) == ["plain"]
    assert meets(Box, Style) == ["styled"]
    assert meets(Box, TerminalComponent) == []


def test_an_entity_is_of_concern_while_it_has_what_some_system_requires_also_when_it_is_halted() -> None:
    schedule = Schedule()
    schedule.register(named("one"))
    assert schedule.concerns(frozenset({Box, Style}))
    assert schedule.concerns(frozenset({Box, TerminalComponent}))
    assert not schedule.concerns(frozenset({Style}))


def test_a_system_that_is_registered_later_is_met_at_once() -> None:
    schedule = Schedule()
    schedule.register(named("first"))
    assert len(schedule.matching(frozenset({Box}))) == 1
    schedule.register(named("second"))
    assert len(schedule.matching(frozenset({Box}))) == 2


def test_what_is_remembered_about_sets_of_types_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule()
    for _ in range(10_000):
        schedule.matching(frozenset({type("Kind", (), {})}))
    schedule.matching(frozenset({Box}))
    assert len(schedule._by_types) == 1


def test_what_is_no_system_is_refused_with_what_to_do() -> None:
    async def undecorated(box: Box) -> None: ...

    for wrong in (undecorated, object(), "system", Counting):
        with pytest.raises(SystemDefinitionError, match="is no system: decorate an async function with @system, or give an object"):
            Schedule().register(wrong)
    with pytest.raises(SystemDefinitionError, match="decorate it with @system"):
        EntityEntry(undecorated, "undecorated", 0, 0)


def test_the_same_function_may_be_registered_twice_and_in_two_worlds() -> None:
    one = named("one")
    first, second = Schedule(), Schedule()
    assert first.register(one) is not first.register(one)
    assert isinstance(second.register(one), EntityEntry)
    assert len(first.entity_systems) == 2
