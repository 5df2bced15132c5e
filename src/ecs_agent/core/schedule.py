"""The schedule: the registered systems in order, and which of them an entity meets.

Order is priority, then registration. Which entity systems concern an entity follows from the types of its components alone, so it is looked
up once per set of types (an archetype) and kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from ecs_agent.core.entry import EntityEntry, Entry, WorldEntry
from ecs_agent.core.explain.explanation import Explanation
from ecs_agent.core.system import System, spec_of
from ecs_agent.errors import SystemDefinitionError


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
