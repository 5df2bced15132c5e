"""Queries: which entities have a set of components. Indexed by type, started from the smallest set, cached until a relevant type changes."""

from __future__ import annotations

from typing import Any, TypeAlias

from ecs_agent.types import EntityId

Match: TypeAlias = tuple[EntityId, tuple[Any, ...]]
_Key: TypeAlias = tuple[tuple[type, ...], tuple[type, ...]]


class Query:
    """The index behind `World.query`: per type, the components by entity, and how often the type's set has changed."""

    MAX_CACHED = 256
    """How many different queries are cached; programs ask a few, so when it overflows all are dropped."""

    def __init__(self) -> None:
        self._sets: dict[type, dict[EntityId, Any]] = {}
        self._versions: dict[type, int] = {}
        self._cache: dict[_Key, tuple[tuple[int, ...], list[Match]]] = {}

    def put(self, entity: EntityId, component: object) -> None:
        """Take in a component, new or replacing."""
        kind = type(component)
        self._sets.setdefault(kind, {})[entity] = component
        self._versions[kind] = self._versions.get(kind, 0) + 1

    def take(self, entity: EntityId, component_type: type) -> None:
        """Forget a component."""
        del self._sets[component_type][entity]
        self._versions[component_type] += 1

    def find(self, types: tuple[type, ...], without: tuple[type, ...] = ()) -> list[Match]:
        """A new list of `(entity, components)` in the order in which the entities got the rarest of the types."""
        key = (types, without)
        versions = tuple([self._versions.get(kind, 0) for kind in (*types, *without)])
        cached = self._cache.get(key)
        if cached is None or cached[0] != versions:
            if len(self._cache) >= self.MAX_CACHED:
                self._cache.clear()
            cached = self._cache[key] = (versions, self._search(types, without))
        return cached[1].copy()

    def _search(self, types: tuple[type, ...], without: tuple[type, ...]) -> list[Match]:
        empty: dict[EntityId, Any] = {}
        sets = [self._sets.get(kind, empty) for kind in types]
        refused = [found for kind in without if (found := self._sets.get(kind))]
        if len(sets) == 1 and not refused:
            return [(entity, (component,)) for entity, component in sets[0].items()]
        smallest = min(sets, key=len)
        entities = list(smallest)
        for held in sets:
            if held is not smallest:
                entities = [entity for entity in entities if entity in held]
        for held in refused:
            entities = [entity for entity in entities if entity not in held]
        columns = [map(held.__getitem__, entities) for held in sets]
        return list(zip(entities, zip(*columns, strict=True), strict=True))
