"""What a schedule does, as a value: its systems in order, whom each archetype meets, and what only the order of registration decides.

The components are the state machine of an entity, so the archetypes that were seen, each with the systems that match it, are its states. What a
system adds or removes through its lease stands in no signature and cannot be shown. Everything here is names in a fixed order: equal
schedules are explained by equal text and equal pictures.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby

from ecs_agent.core.component import HALTING
from ecs_agent.core.entry import EntityEntry, WorldEntry
from ecs_agent.core.explain.mermaid import mermaid
from ecs_agent.core.explain.svg import svg
from ecs_agent.core.system import Access

LISTED = 50
"""How many archetypes and how many ambiguities are listed; of the rest their number is told."""

WARNING = "barrier: every agent waits here for all others; an entity system does not"
ARRIVED = "runs as soon as somebody arrives, waits for nobody"


@dataclass(frozen=True, slots=True)
class ComponentUse:
    """A component in the signature of a system."""

    component: str
    read: bool
    optional: bool

    def __str__(self) -> str:
        return f"Read[{self.component}]" if self.read else self.component


@dataclass(frozen=True, slots=True)
class ExplainedSystem:
    """A system in its place. `meets` is None for an entity system, "all" for a barrier, "arrived" for a world system that waits for nobody."""

    name: str
    priority: int
    due: str
    meets: str | None = None
    uses: tuple[ComponentUse, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def barrier(self) -> bool:
        """Whether all entities wait here for each other."""
        return self.meets is not None and self.meets != "arrived"

    @property
    def access(self) -> tuple[tuple[str, str], ...]:
        """What it asks for, by kind; kinds of which there is nothing are left out."""
        kinds = (
            ("requires", ", ".join([str(use) for use in self.uses if not use.optional])),
            ("optional", ", ".join([str(use) for use in self.uses if use.optional])),
            ("without", ", ".join(self.without)),
        )
        return tuple([kind for kind in kinds if kind[1]])


@dataclass(frozen=True, slots=True)
class Archetype:
    """A set of components that was seen, and what runs on it when all of it is due: groups one after another, a group's systems together."""

    components: tuple[str, ...]
    halted_by: tuple[str, ...]
    groups: tuple[tuple[int, tuple[str, ...]], ...]

    def __str__(self) -> str:
        runs = " > ".join([f"{priority} {' + '.join(names)}" for priority, names in self.groups]) or "nothing runs on it"
        return f"halted by {' and '.join(self.halted_by)}: {runs}" if self.halted_by else runs


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Two systems of one priority that may match one entity and may not run together on it: who was registered first goes first."""

    priority: int
    first: str
    second: str
    both_write: tuple[str, ...]
    first_writes: tuple[str, ...]
    second_writes: tuple[str, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """What the two contend for."""
        return tuple(sorted([*self.both_write, *self.first_writes, *self.second_writes]))

    def __str__(self) -> str:
        reasons = [f"both write {', '.join(self.both_write)}"] if self.both_write else []
        reasons += [f"{self.first} writes {', '.join(self.first_writes)}, which {self.second} reads"] if self.first_writes else []
        reasons += [f"{self.second} writes {', '.join(self.second_writes)}, which {self.first} reads"] if self.second_writes else []
        read = " or ".join([f"Read[{component}]" for component in self.components])
        return (
            f"priority {self.priority}: {self.first} and {self.second}: {'; '.join(reasons)}. {self.first} goes first only because it was "
            f"registered first. Give them different priorities, or write {read} where it is only read."
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A schedule, explained: `str()` is the text, `mermaid()` and `svg()` draw it.

    `systems` are all, in order. `archetypes` and `ambiguities` are at most `LISTED` each; how many more there are stands beside them.
    """

    systems: tuple[ExplainedSystem, ...]
    archetypes: tuple[Archetype, ...] = ()
    ambiguities: tuple[Ambiguity, ...] = ()
    more_archetypes: int = 0
    more_ambiguities: int = 0

    @classmethod
    def of(cls, entity_systems: Sequence[EntityEntry], world_systems: Sequence[WorldEntry], seen: Iterable[frozenset[type]]) -> Explanation:
        """Explain these systems, and what they do on the sets of component types that were seen."""
        sets = list(seen)
        entries = sorted(entity_systems, key=lambda entry: entry.place)
        names = _Names(
            [*[p.type for e in entries for p in e.spec.components], *[t for e in entries for t in e.unwanted], *[t for s in sets for t in s]]
        )
        systems = _ordered(entries, sorted(world_systems, key=lambda entry: (entry.priority, entry.index)), names)
        titles = dict(zip(entries, [system.name for system in systems if system.meets is None], strict=True))
        sets.sort(key=names.of)
        archetypes = [_archetype(types, titles, names) for types in sets[:LISTED]]
        ambiguities = _ambiguities(titles, names)
        return cls(systems, tuple(archetypes), tuple(ambiguities[:LISTED]), len(sets[LISTED:]), len(ambiguities[LISTED:]))

    def __str__(self) -> str:
        if not self.systems:
            return "no system is registered"
        return "\n".join([*self._systems(), "", *self._archetypes(), "", *self._ambiguities()])

    def mermaid(self) -> str:
        """A Mermaid flowchart: systems in lanes by priority, and an arrow from who writes a component to whom it concerns."""
        return mermaid(self)

    def svg(self) -> str:
        """A picture that needs nothing else: systems in lanes by priority, components as lines across them, barriers as bars."""
        return svg(self)

    def beside(self, system: ExplainedSystem) -> str:
        """What to know about a world system among the others of its priority, "" if there is nothing."""
        others = [other for other in self.systems if other.priority == system.priority and other is not system]
        after = [other.name for other in others if other.meets is None]
        along = [other.name for other in others if other.barrier]
        if not system.barrier:
            return ""
        notes = [f"together with {', '.join(along)}"] if along else []
        notes += [f"before the entity systems of its priority: {', '.join(after)}"] if after else []
        return f"runs {' and '.join(notes)}" if notes else ""

    def _systems(self) -> list[str]:
        lines = ["priority  system"]
        for system in self.systems:
            brackets = "({})" if system.meets is None else "[{}]"
            lines.append(f"{system.priority:>8}  {system.name}  {brackets.format(system.due)}")
            for kind, what in system.access:
                lines += _wrapped(f"{kind:<8}  {what}", " " * 14, " " * 24)
            lines += _wrapped(self.beside(system), " " * 14, " " * 14)
        halting = [kind.__name__ for kind in HALTING]
        if any(system.meets is None for system in self.systems):
            lines += _wrapped(
                f"No entity system runs where there is a {', '.join(halting[:-1])} or {halting[-1]}, unless it names it.", " " * 10, " " * 10
            )
        return lines

    def _archetypes(self) -> list[str]:
        if not self.archetypes:
            return ["archetypes: none was seen yet; they show once a run has begun"]
        lines = ["archetypes seen, and what runs on each when all of it is due (+ together, > one after the other)"]
        for archetype in self.archetypes:
            lines += _wrapped(", ".join(archetype.components) or "no components", " " * 4, " " * 4)
            lines += _wrapped(str(archetype), " " * 8, " " * 12)
        return lines + ([f"    and {self.more_archetypes} more"] if self.more_archetypes else [])

    def _ambiguities(self) -> list[str]:
        if not self.ambiguities:
            return ["ambiguities: none"]
        lines = ["ambiguities, where only the order of registration decides"]
        for ambiguity in self.ambiguities:
            lines += _wrapped(str(ambiguity), " " * 4, " " * 8)
        return lines + ([f"    and {self.more_ambiguities} more"] if self.more_ambiguities else [])


class _Names:
    """What types are called: by their name, or in full where two types share one."""

    def __init__(self, types: Iterable[type]) -> None:
        self._shared = {name for name, count in Counter([kind.__name__ for kind in dict.fromkeys(types)]).items() if count > 1}

    def __getitem__(self, kind: type) -> str:
        return _printable(f"{kind.__module__}.{kind.__qualname__}" if kind.__name__ in self._shared else kind.__name__)

    def of(self, types: Iterable[type]) -> tuple[str, ...]:
        """Sorted, since sets have no order."""
        return tuple(sorted([self[kind] for kind in types]))


def _printable(name: str) -> str:
    """A name as it can stand anywhere: one of a line break or an escape sequence would change what is around it."""
    return "".join([letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name])


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def _ordered(entries: Sequence[EntityEntry], worlds: Sequence[WorldEntry], names: _Names) -> tuple[ExplainedSystem, ...]:
    """All systems; at one priority the world systems go first. Of two that are called alike, the second gets a number."""
    found = [*[_world_system(entry) for entry in worlds], *[_entity_system(entry, names) for entry in entries]]
    found.sort(key=lambda system: system.priority)
    times: Counter[str] = Counter()
    for place, system in enumerate(found):
        title = system.name
        while times[title]:
            times[system.name] += 1
            title = f"{system.name} #{times[system.name]}"
        times[title] = 1
        found[place] = replace(system, name=title)
    return tuple(found)


def _world_system(entry: WorldEntry) -> ExplainedSystem:
    meets = str(getattr(entry.system, "meets", "all"))
    return ExplainedSystem(_printable(entry.name), entry.priority, ARRIVED if meets == "arrived" else WARNING, meets)


def _entity_system(entry: EntityEntry, names: _Names) -> ExplainedSystem:
    uses = tuple([ComponentUse(names[p.type], p.read, p.access is Access.OPTIONAL) for p in entry.spec.components])
    without = tuple([names[kind] for kind in entry.spec.without])
    return ExplainedSystem(_printable(entry.name), entry.priority, _due(entry), None, uses, without)


def _due(entry: EntityEntry) -> str:
    if entry.when is None:
        return "after a change"
    name = getattr(entry.when, "__name__", "<lambda>")
    return "while its predicate is true" if name == "<lambda>" else f"while {_printable(name)} is true"


def _archetype(types: frozenset[type], titles: dict[EntityEntry, str], names: _Names) -> Archetype:
    """The groups are those that the engine makes when all that match are due."""
    groups: list[list[EntityEntry]] = []
    for entry in titles:
        if not entry.matches(types):
            continue
        last = groups[-1] if groups else []
        if last and last[0].priority == entry.priority and not any(entry.spec.conflicts(other.spec) for other in last):
            last.append(entry)
        else:
            groups.append([entry])
    shown = tuple([(group[0].priority, tuple([titles[entry] for entry in group])) for group in groups])
    return Archetype(names.of(types), names.of([kind for kind in HALTING if kind in types]), shown)


def _ambiguities(titles: dict[EntityEntry, str], names: _Names) -> list[Ambiguity]:
    found: list[Ambiguity] = []
    for priority, lane in groupby(titles, key=lambda entry: entry.priority):
        for first, second in combinations(lane, 2):
            if (first.required | second.required).isdisjoint(first.unwanted | second.unwanted):
                both, one, other = _contested(first, second)
                if both or one or other:
                    found.append(Ambiguity(priority, titles[first], titles[second], names.of(both), names.of(one), names.of(other)))
    return found


def _contested(first: EntityEntry, second: EntityEntry) -> tuple[list[type], list[type], list[type]]:
    """The components that both write, that only the first writes, that only the second writes, of those that an entity of both may have."""
    mine, theirs = ({p.type: p.read for p in entry.spec.components if p.type not in entry.unwanted} for entry in (first, second))
    shared = [(kind, not read, not theirs[kind]) for kind, read in mine.items() if kind in theirs]
    return (
        [kind for kind, here, there in shared if here and there],
        [kind for kind, here, there in shared if here and not there],
        [kind for kind, here, there in shared if there and not here],
    )
