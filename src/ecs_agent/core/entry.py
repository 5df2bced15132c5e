"""Entries: the systems of a world as its schedule knows them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from ecs_agent.core.component import ErrorComponent, QuarantineComponent
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
