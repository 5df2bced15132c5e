"""Explaining a schedule: its systems, what runs on each archetype, and what only the order of registration decides; the same in every process."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecs_agent.core import Entity, ErrorComponent, QuarantineComponent, Read, Schedule, TerminalComponent, World, system
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.explain.explanation import LISTED, Explanation

DOCS = Path(__file__).parents[2] / "docs"


@dataclass
class Box:
    items: list[str]


@dataclass
class Style:
    name: str = ""


@dataclass
class Lid:
    closed: bool = False


class Counting:
    """A world system."""

    async def process(self, world: World) -> None: ...


class Greeting:
    """A world system that waits for nobody."""

    meets = "arrived"

    async def process(self, world: World) -> None: ...


def is_full(box: Box) -> bool:
    return bool(box.items)


@system
async def look(box: Read[Box], style: Style | None) -> None: ...


@system
async def fill(me: Entity, box: Box) -> None: ...


@system
async def paint(style: Style) -> None: ...


@system(without=(Lid,))
async def peek(box: Read[Box]) -> None: ...


@system
async def report(error: Read[ErrorComponent]) -> None: ...


def named(name: str, one: Any = None) -> Any:
    """A copy of a system under another name; by default of one that writes Box."""

    @system
    async def writes(box: Box) -> None: ...

    chosen = one or writes
    chosen.__name__ = name
    return chosen


def schedule(*systems: object, seen: tuple[tuple[type, ...], ...] = ()) -> Schedule:
    """Systems, each alone or with its priority, that have met these sets of components."""
    made = Schedule()
    for item in systems:
        one, priority = item if isinstance(item, tuple) else (item, None)
        made.register(one, priority)
    for types in seen:
        made.matching(frozenset(types))
    return made


def explain(*systems: object, seen: tuple[tuple[type, ...], ...] = ()) -> Explanation:
    return schedule(*systems, seen=seen).explain()


# The text


def test_the_text_has_the_systems_in_order_then_the_archetypes_then_the_ambiguities() -> None:
    @system(priority=2, without=(Style,), when=is_full)
    async def empty(me: Entity, box: Box) -> None: ...

    assert str(explain(empty, (Counting(), 1), look, seen=((Box,), (Box, Style)))).splitlines() == [
        "priority  system",
        "       0  look  (after a change)",
        "              requires  Read[Box]",
        "              optional  Style",
        "       1  Counting  [barrier: every agent waits here for all others; an entity system does not]",
        "       2  empty  (while is_full is true)",
        "              requires  Box",
        "              without   Style",
        "          No entity system runs where there is a TerminalComponent, ErrorComponent or QuarantineComponent, unless it",
        "          names it.",
        "",
        "archetypes seen, and what runs on each when all of it is due (+ together, > one after the other)",
        "    Box",
        "        0 look > 2 empty",
        "    Box, Style",
        "        0 look",
        "",
        "ambiguities: none",
    ]


def test_an_empty_schedule_says_so() -> None:
    assert str(explain()) == "no system is registered"


def test_before_anything_was_seen_the_text_says_when_archetypes_show() -> None:
    assert "archetypes: none was seen yet; they show once a run has begun" in str(explain(look))


def test_a_predicate_without_a_name_is_its_predicate() -> None:
    @system(when=lambda _: True)
    async def always(box: Box) -> None: ...

    assert "always  (while its predicate is true)" in str(explain(always))


def test_every_barrier_is_warned_about_and_one_that_waits_for_nobody_is_none() -> None:
    text = str(explain(Counting(), Counting(), Greeting()))
    assert text.count("barrier: every agent waits here for all others; an entity system does not") == 2
    assert "Greeting  [runs as soon as somebody arrives, waits for nobody]" in text
    assert [one.barrier for one in explain(Counting(), Greeting(), look).systems] == [True, False, False]


def test_a_barrier_at_the_priority_of_entity_systems_goes_before_them_also_when_registered_later() -> None:
    explanation = explain(fill, (look, 1), Counting())
    assert [one.name for one in explanation.systems] == ["Counting", "fill", "look"]
    assert "              runs before the entity systems of its priority: fill\n" in str(explanation)


def test_barriers_of_one_priority_run_together() -> None:
    text = str(explain(Counting(), named("Other", Counting())))
    assert text.count("runs together with Other\n") == 1
    assert text.count("runs together with Counting\n") == 1
    assert "before the entity systems" not in text


def test_of_those_that_are_called_alike_the_later_ones_get_a_number() -> None:
    assert [one.name for one in explain(*[named(name) for name in ("a", "a #2", "a", "a", "a #2")]).systems] == [
        "a",
        "a #2",
        "a #3",
        "a #4",
        "a #2 #2",
    ]
    explanation = explain(named("fill"), named("fill"))
    assert [one.name for one in explanation.systems] == ["fill", "fill #2"]
    assert (explanation.ambiguities[0].first, explanation.ambiguities[0].second) == ("fill", "fill #2")


def test_two_components_of_one_name_are_told_apart_by_their_full_names() -> None:
    class Other: ...

    Other.__name__ = "Box"
    other: Any = Other

    @system
    async def both(box: Box, other: Read[other]) -> None: ...

    (one,) = explain(both).systems
    assert [use.component for use in one.uses] == [f"{__name__}.Box", f"{__name__}.{Other.__qualname__}"]


@pytest.mark.parametrize("trick", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\ud800b", "a\x00b"])
def test_a_name_can_change_nothing_around_it(trick: str) -> None:
    explanation = explain(named(trick))
    assert explanation.systems[0].name == "a\N{REPLACEMENT CHARACTER}" + trick[2:]
    for shown in (str(explanation), explanation.mermaid(), explanation.svg()):
        assert trick not in shown


# Archetypes


def groups(explanation: Explanation) -> list[tuple[int, list[str]]]:
    (archetype,) = explanation.archetypes
    return [(priority, list(names)) for priority, names in archetype.groups]


def test_an_archetype_has_the_systems_that_match_it_in_order() -> None:
    assert groups(explain((fill, 3), paint, (peek, 1), seen=((Box,),))) == [(1, ["peek"]), (3, ["fill"])]


def test_systems_that_run_together_stand_together_and_the_others_one_after_the_other() -> None:
    assert groups(explain(peek, look, fill, paint, seen=((Box, Style),))) == [(0, ["peek", "look"]), (0, ["fill", "paint"])]
    assert "0 peek + look > 0 fill + paint" in str(explain(peek, look, fill, paint, seen=((Box, Style),)))


def test_one_that_may_not_run_beside_any_of_those_before_it_comes_after_them() -> None:
    assert groups(explain(fill, paint, peek, seen=((Box, Style),))) == [(0, ["fill", "paint"]), (0, ["peek"])]


def test_an_archetype_that_nothing_matches_says_so() -> None:
    assert "    Lid\n        nothing runs on it\n" in str(explain(fill, seen=((Lid,),)))
    assert "    no components\n        nothing runs on it\n" in str(explain(fill, seen=((),)))


def test_a_halted_archetype_says_by_what_and_who_runs_nevertheless() -> None:
    text = str(explain(fill, report, seen=((Box, ErrorComponent), (Box, TerminalComponent), (Box, ErrorComponent, QuarantineComponent))))
    assert "    Box, ErrorComponent\n        halted by ErrorComponent: 0 report\n" in text
    assert "    Box, TerminalComponent\n        halted by TerminalComponent: nothing runs on it\n" in text
    assert "halted by ErrorComponent and QuarantineComponent: nothing runs on it" in text


def test_archetypes_are_sorted_by_name_and_their_number_is_bounded() -> None:
    kinds = [type(f"Kind{number:03}", (), {}) for number in range(LISTED + 7)]
    explanation = explain(fill, seen=tuple([(kind,) for kind in reversed(kinds)]))
    assert [one.components for one in explanation.archetypes] == [(kind.__name__,) for kind in kinds[:LISTED]]
    assert str(explanation).count("nothing runs on it") == LISTED
    assert "    and 7 more\n" in str(explanation)


KINDS = (Box, Style, Lid, ErrorComponent)
Asked = dict[type, str]


def made_of(asked: Asked, number: int) -> Any:
    """A system that asks for each component in one way: to write or read it, also if it is optional, or to be kept away by it."""

    read: Any = Read
    hints: dict[str, Callable[[Any], Any]] = {
        "write": lambda kind: kind,
        "read": lambda kind: read[kind],
        "may write": lambda kind: kind | None,
        "may read": lambda kind: read[kind] | None,
    }
    body = {kind.__name__.lower(): hints[how](kind) for kind, how in asked.items() if how in hints}
    namespace: dict[str, Any] = {}
    exec(f"async def system_{number}({', '.join(body)}): ...", namespace)
    function = namespace[f"system_{number}"]
    function.__annotations__ = body
    return system(without=tuple([kind for kind, how in asked.items() if how == "without"]))(function)


asked = st.dictionaries(st.sampled_from(KINDS), st.sampled_from(["write", "read", "may write", "may read", "without"]), min_size=1)
askers = st.lists(
    st.tuples(asked.filter(lambda one: bool({"write", "read"} & set(one.values()))), st.integers(0, 1)),
    max_size=5,
)


def registered(made: list[tuple[Asked, int]]) -> Schedule:
    return schedule(*[(made_of(one, number), priority) for number, (one, priority) in enumerate(made)])


@given(askers, st.sets(st.sampled_from(KINDS)))
def test_the_groups_are_those_that_match_in_order_and_each_begins_where_one_may_not_run_beside_the_last(
    made: list[tuple[Asked, int]], types: set[type]
) -> None:
    made_schedule = registered(made)
    matching = made_schedule.matching(frozenset(types))
    entries = {entry.name: entry for entry in matching}
    found = [[entries[name] for name in names] for _, names in groups(made_schedule.explain())]
    assert [entry for group in found for entry in group] == list(matching)
    for group in found:
        assert not any(one.spec.conflicts(other.spec) for one, other in combinations(group, 2))
    for group, after in pairwise(found):
        assert group[0].priority != after[0].priority or any(after[0].spec.conflicts(one.spec) for one in group)


# Ambiguities


def test_two_of_one_priority_that_write_the_same_are_ambiguous_with_what_to_do() -> None:
    (ambiguity,) = explain(fill, named("empty")).ambiguities
    assert str(ambiguity) == (
        "priority 0: fill and empty: both write Box. fill goes first only because it was registered first. "
        "Give them different priorities, or write Read[Box] where it is only read."
    )


def test_one_that_writes_what_the_other_reads_is_ambiguous_whichever_comes_first() -> None:
    assert "fill writes Box, which peek reads. fill goes first only" in str(explain(fill, peek).ambiguities[0])
    assert "fill writes Box, which peek reads. peek goes first only" in str(explain(peek, fill).ambiguities[0])


@pytest.mark.parametrize(
    "systems",
    [
        pytest.param((fill, (named("empty"), 1)), id="of different priorities"),
        pytest.param((look, peek), id="both only read"),
        pytest.param((fill, paint), id="nothing in common"),
        pytest.param((fill, Counting()), id="a world system"),
    ],
)
def test_no_ambiguity(systems: tuple[object, ...]) -> None:
    assert explain(*systems).ambiguities == ()


def test_two_that_can_never_meet_on_one_entity_are_not_ambiguous() -> None:
    @system(without=(Style,))
    async def plain(box: Box) -> None: ...

    @system
    async def styled(box: Box, style: Style) -> None: ...

    @system
    async def mend(box: Box, error: ErrorComponent) -> None: ...

    assert explain(plain, styled).ambiguities == ()

    @system(without=(Box,))
    async def never(box: Box) -> None: ...

    @system(without=(Box,))
    async def unboxed(style: Read[Style], box: Box | None) -> None: ...

    @system
    async def boxed(style: Read[Style], box: Box | None) -> None: ...

    assert explain(fill, never).ambiguities == ()
    assert explain(unboxed, boxed).ambiguities == ()  # they meet, but never on an entity with a Box
    assert explain(plain, mend).ambiguities == ()  # where one runs, the entity is halted for the other


@given(askers)
@example([({Box: "write"}, 0), ({Box: "may write", Style: "read"}, 0)])
@example([({Box: "write", Style: "without"}, 0), ({Box: "write", Style: "read"}, 0)])
def test_a_pair_is_ambiguous_exactly_if_some_entity_has_both_and_what_they_contend_for(made: list[tuple[Asked, int]]) -> None:
    made_schedule = registered(made)

    def contend(one: EntityEntry, other: EntityEntry, types: frozenset[type]) -> bool:
        ways = [{p.type: p.read for p in entry.spec.components if p.type in types} for entry in (one, other)]
        return one.matches(types) and other.matches(types) and any(not (ways[0][t] and ways[1][t]) for t in ways[0].keys() & ways[1].keys())

    entities = [frozenset(types) for size in range(len(KINDS) + 1) for types in combinations(KINDS, size)]
    expected = [
        (one.name, other.name)
        for one, other in combinations(made_schedule.entity_systems, 2)
        if one.priority == other.priority and any(contend(one, other, types) for types in entities)
    ]
    assert [(one.first, one.second) for one in made_schedule.explain().ambiguities] == expected


def test_the_number_of_ambiguities_that_are_listed_is_bounded() -> None:
    explanation = explain(*[named(f"s{number:02}") for number in range(12)])
    assert len(explanation.ambiguities) == LISTED
    assert str(explanation).endswith(f"    and {12 * 11 // 2 - LISTED} more")


# The same everywhere

PROGRAM = """
from dataclasses import make_dataclass
from ecs_agent.core import Read, Schedule, system
kinds = {name: make_dataclass(name, []) for name in "ABCDEFGH"}
schedule = Schedule()
for first, second in zip("ABCDEFG", "BCDEFGH"):
    async def one(a, b, c): ...
    one.__annotations__ = {"a": kinds[first], "b": Read[kinds[second]], "c": kinds["A" if first != "A" else "H"] | None}
    schedule.register(system(one), 0)
for end in range(1, 8):
    schedule.matching(frozenset(list(kinds.values())[:end]))
explanation = schedule.explain()
import sys
sys.stdout.write(str(explanation) + explanation.mermaid() + explanation.svg())
"""


def test_the_order_of_sets_does_not_show() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True, timeout=60
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert b"ambiguities, where" in runs[0]


async def test_the_page_shows_the_shipped_agent_loop_as_it_is() -> None:
    explanation: Explanation = await runpy.run_path(str(DOCS / "draw_schedule.py"))["explained"]()
    assert (DOCS / "schedule.svg").read_text("utf-8") == explanation.svg(), "run python docs/draw_schedule.py"
    assert f"```text\n{explanation}\n```" in (DOCS / "schedule.md").read_text("utf-8"), "run python docs/draw_schedule.py"


def test_the_page_shows_an_ambiguity_as_it_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "schedule.md").read_text("utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)\n```", page, re.DOTALL) if "ambiguity" in block]
    module = ModuleType("schedule_page")
    monkeypatch.setitem(sys.modules, "schedule_page", module)  # dataclasses look their module up
    exec(code, vars(module))
    assert f"```text\n{capsys.readouterr().out}```" in page
