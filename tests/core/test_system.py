"""Entity systems: the signature is the query, and what cannot be one is refused when it is decorated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Optional

import pytest

from ecs_agent.core import Entity, ErrorComponent, QuarantineComponent, Read, System, TerminalComponent, World, system
from ecs_agent.core.system import Access, SystemSpec, spec_of
from ecs_agent.errors import SystemDefinitionError


@dataclass
class Box:
    items: list[str]


@dataclass
class Style:
    name: str = "plain"


@dataclass
class Name:
    text: str = ""


def spec(function: Any) -> SystemSpec:
    found = spec_of(function)
    assert found is not None
    return found


def test_the_signature_is_the_query() -> None:
    @system(priority=5, without=(Name,), when=lambda box, _: box.items)
    async def deliver(me: Entity, box: Box, style: Read[Style] | None) -> None: ...

    found = spec(deliver)
    assert [(p.name, p.access, p.type, p.read) for p in found.parameters] == [
        ("me", Access.LEASE, Entity, False),
        ("box", Access.REQUIRED, Box, False),
        ("style", Access.OPTIONAL, Style, True),
    ]
    assert found.required == (Box,)
    assert found.priority == 5
    assert [p.name for p in found.components] == ["box", "style"]


def test_optional_may_be_written_either_way() -> None:
    @system
    async def first(box: Box, name: Name | None) -> None: ...

    @system
    async def second(box: Box, name: Optional[Name]) -> None: ...  # noqa: UP045 - that both forms work is what is tested

    assert spec(first).parameters == spec(second).parameters


def test_a_system_stays_away_from_halted_entities_unless_it_names_what_halts_them() -> None:
    @system
    async def ordinary(box: Box) -> None: ...

    @system(without=(Style, TerminalComponent))
    async def mending(box: Box, error: ErrorComponent, terminal: TerminalComponent | None) -> None: ...

    assert spec(ordinary).excluded == (TerminalComponent, ErrorComponent, QuarantineComponent)
    assert spec(mending).excluded == (Style, TerminalComponent, QuarantineComponent)


async def test_a_decorated_function_stays_callable_so_that_a_test_just_calls_it() -> None:
    @system
    async def fill(box: Box, style: Read[Style]) -> None:
        box.items.append(style.name)

    box = Box([])
    await fill(box, Style("bold"))
    assert box.items == ["bold"]


def test_a_class_becomes_an_entity_system_by_its_decorated_call() -> None:
    class Filling:
        @system(priority=3)
        async def __call__(self, me: Entity, box: Box) -> None: ...

    assert spec(Filling()).required == (Box,)
    assert spec_of(Filling) is None


def test_an_object_with_an_async_process_is_a_world_system_and_nothing_else_is_a_system() -> None:
    class Counting:
        async def process(self, world: World) -> None: ...

    assert isinstance(Counting(), System)
    assert spec_of(Counting()) is None
    assert spec_of(print) is None
    assert spec_of(partial(print)) is None
    assert not isinstance(object(), System)


def test_two_systems_conflict_when_one_writes_what_the_other_touches() -> None:
    @system
    async def writes_box(box: Box) -> None: ...

    @system
    async def reads_box(me: Entity, box: Read[Box], style: Style) -> None: ...

    @system
    async def reads_both(box: Read[Box], style: Read[Style]) -> None: ...

    @system
    async def writes_name(name: Name, box: Read[Box] | None) -> None: ...

    assert spec(writes_box).conflicts(spec(reads_box))
    assert spec(reads_box).conflicts(spec(writes_box))
    assert spec(reads_box).conflicts(spec(reads_both))
    assert not spec(reads_both).conflicts(spec(writes_name))
    assert not spec(writes_name).conflicts(spec(reads_box))


async def _unhinted(me: Entity, box) -> None: ...  # type: ignore[no-untyped-def]
async def _union(box: Box | Style) -> None: ...
async def _generic(box: list[Box]) -> None: ...
async def _starred(*box: Box) -> None: ...
async def _keyword_only(*, box: Box) -> None: ...
async def _twice(box: Box, again: Read[Box]) -> None: ...
async def _nothing_required(me: Entity, box: Box | None) -> None: ...
async def _unresolvable(box: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _not_async(box: Box) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_not_async, "_not_async is not an async function"),
        (_unhinted, "'box' has no type hint"),
        (_union, "'X' or 'X | None', not a union of several types"),
        (_generic, "not a component class"),
        (_starred, r"must be an ordinary one, not \*args"),
        (_keyword_only, "keyword-only"),
        (_twice, "a type stands twice"),
        (_nothing_required, "at least one component must be required"),
        (_unresolvable, "'Missing' cannot be resolved; import it"),
    ],
)
def test_a_signature_that_cannot_be_a_query_is_refused_with_what_to_do(function: Any, message: str) -> None:
    with pytest.raises(SystemDefinitionError, match=message):
        system(function)


def test_classes_of_the_function_that_defines_the_system_are_found() -> None:
    @dataclass
    class Local:
        value: int = 0

    @system
    async def uses(local: Local) -> None: ...

    assert spec(uses).required == (Local,)
