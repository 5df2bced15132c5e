"""The schedule: the registered systems in order, and which of them an entity meets.

Order is priority, then registration. Which entity systems concern an entity follows from the types of its components alone, so it is looked
up once per set of types (an archetype) and kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

from ecs_agent.core.component import ErrorComponent, QuarantineComponent
from ecs_agent.core.explain import Explanation
from ecs_agent.core.lease import Lease
from ecs_agent.core.system import Access, System, spec_of
from ecs_agent.errors import SystemDefinitionError


class EntityEntry:
    """A registered entity system. Compared by identity: the same function may be registered in two worlds."""

    __slots__ = (
        "_asked", "_lease_at", "_passed", "call", "index", "name", "place", "priority", "required", "settle", "spec", "stopping", "unwanted",
        "when", "writes",
    )  # fmt: skip

    def __init__(self, system: Callable[..., Awaitable[None]], name: str, priority: int, index: int) -> None:
        spec = spec_of(system)
        if spec is None:
            raise SystemDefinitionError(f"{name} is not an entity system; decorate it with @system")
        self.call = system
        self.name = name
        self.priority = priority
        self.index = index
        self.spec = spec
        self.place = (priority, index)
        self.when = spec.when
        self.required = frozenset(spec.required)
        self.unwanted = frozenset(spec.excluded)
        self.stopping = self.unwanted - {ErrorComponent, QuarantineComponent}
        self.writes = tuple(p.type for p in spec.components if not p.read)
        self.settle: Callable[[Any], None] | None = getattr(system, "settle", None)
        self._passed = [p.type for p in spec.parameters]
        self._lease_at = next((at for at, p in enumerate(spec.parameters) if p.access is Access.LEASE), None)
        self._asked = [p.type for p in spec.components][: spec.asked]

    def matches(self, types: frozenset[type]) -> bool:
        """Whether an entity with these components is one of this system's."""
        return self.required <= types and self.unwanted.isdisjoint(types)

    def goes_on(self, types: frozenset[type]) -> bool:
        """Whether a running call may go on: another system's failure keeps new calls away, but does not stop this one."""
        return self.required <= types and self.stopping.isdisjoint(types)

    def arguments(self, held: Mapping[type, Any], lease: Lease) -> list[object]:
        """The call's arguments, out of an entity's components."""
        found: list[object] = list(map(held.get, self._passed))
        if self._lease_at is not None:
            found[self._lease_at] = lease
        return found

    def holds(self, held: Mapping[type, Any]) -> bool:
        """Whether the `when` of this system is true of these components; without one it is."""
        return self.when is None or bool(self.when(*map(held.get, self._asked)))


class WorldEntry:
    """A registered world system: a barrier at its priority, unless it waits for nobody."""

    __slots__ = ("index", "name", "priority", "system", "waits_for_nobody")

    def __init__(self, system: System, name: str, priority: int, index: int) -> None:
        self.system = system
        self.name = name
        self.priority = priority
        self.index = index
        meets = getattr(system, "meets", "all")
        if meets not in ("all", "arrived"):
            raise SystemDefinitionError(f"{name}.meets is {meets!r}; it is 'all', a barrier, or 'arrived', which waits for nobody")
        self.waits_for_nobody = meets == "arrived"


Entry: TypeAlias = EntityEntry | WorldEntry


class Schedule:
    """All systems of a world."""

    def __init__(self) -> None:
        self.entity_systems: list[EntityEntry] = []
        self.world_systems: list[WorldEntry] = []
        self._by_types: dict[frozenset[type], tuple[EntityEntry, ...]] = {}

    def register(self, system: object, priority: int | None = None) -> Entry:
        """Take in a system; see `World.register_system`."""
        name = getattr(system, "__name__", None) or type(system).__name__
        index = len(self.entity_systems) + len(self.world_systems)
        spec = spec_of(system)
        chosen = _first_known(priority, getattr(system, "priority", None), spec.priority if spec else None)
        if spec is not None and callable(system):
            entry = EntityEntry(cast("Callable[..., Awaitable[None]]", system), name, chosen, index)
            self.entity_systems.append(entry)
            self.entity_systems.sort(key=lambda e: e.place)
            self._by_types.clear()
            return entry
        if isinstance(system, type) or not isinstance(system, System):
            raise SystemDefinitionError(
                f"{name} is no system: decorate an async function with @system, or give an object with 'async def process(self, world)'"
            )
        world_entry = WorldEntry(system, name, chosen, index)
        self.world_systems.append(world_entry)
        self.world_systems.sort(key=lambda e: (e.priority, e.index))
        return world_entry

    def remove(self, entry: Entry) -> None:
        """Leave out a system that has just been registered and cannot be used."""
        if isinstance(entry, EntityEntry):
            self.entity_systems.remove(entry)
            self._by_types.clear()
        else:
            self.world_systems.remove(entry)

    def matching(self, types: frozenset[type]) -> tuple[EntityEntry, ...]:
        """The entity systems that concern an entity with these components, in order."""
        found = self._by_types.get(types)
        if found is None:
            if len(self._by_types) >= 10_000:
                self._by_types.clear()
            found = self._by_types[types] = tuple([entry for entry in self.entity_systems if entry.matches(types)])
        return found

    def concerns(self, types: frozenset[type]) -> bool:
        """Whether an entity with these components is, was or can come to be of any entity system's concern."""
        return any(entry.required <= types for entry in self.entity_systems)

    def explain(self) -> Explanation:
        """The systems in order, what runs on each archetype seen so far, and ambiguities; `print` it, or draw it: `.mermaid()`, `.svg()`."""
        return Explanation.of(self.entity_systems, self.world_systems, self._by_types)


def _first_known(*candidates: int | None) -> int:
    return next((c for c in candidates if c is not None), 0)
