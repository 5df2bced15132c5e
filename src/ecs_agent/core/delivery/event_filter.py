"""Which events a stream is about."""

from __future__ import annotations

from dataclasses import dataclass, field

NO_TYPES: frozenset[type] = frozenset()


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a stream takes of the facts it hears of; without any types it takes all.

    `types` are those of the events, exactly. `query` and `without` are component types that the fact's entity has, or has not, right after
    the fact; a fact of the world itself has no entity and passes only where there is no `query`.
    """

    types: frozenset[type] = NO_TYPES
    query: frozenset[type] = NO_TYPES
    without: frozenset[type] = NO_TYPES
    everything: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "everything", not (self.types or self.query or self.without))

    def takes(self, event_type: type, components: frozenset[type]) -> bool:
        """Whether an event of a type passes, on an entity with these components."""
        return (not self.types or event_type in self.types) and self.concerns(components)

    def concerns(self, components: frozenset[type]) -> bool:
        """Whether an event on an entity with these components may pass."""
        return self.query <= components and self.without.isdisjoint(components)
