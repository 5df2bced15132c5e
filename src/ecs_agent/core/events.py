"""What the kernel itself reports. All past tense, all frozen."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class EntityCreated:
    """An entity came to be."""

    entity_id: EntityId


@dataclass(frozen=True, slots=True)
class EntityDeleted:
    """An entity and its children are gone."""

    entity_id: EntityId


@dataclass(frozen=True, slots=True)
class ComponentAdded:
    """A component was added, or replaced the one of its type."""

    entity_id: EntityId
    component: object


@dataclass(frozen=True, slots=True)
class ComponentChanged:
    """A component was changed in place; found by comparing, or said by `touch`."""

    entity_id: EntityId
    component: object


@dataclass(frozen=True, slots=True)
class ComponentRemoved:
    """A component was removed."""

    entity_id: EntityId
    component: object


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A subscriber raised, or did not finish in time; the others are not affected."""

    handler: str
    event: str
    error: str


@dataclass(frozen=True, slots=True)
class EntityQuarantined:
    """An entity failed too often in too short a time and is left alone until new input."""

    entity_id: EntityId
    reason: str


@dataclass(frozen=True, slots=True)
class WorldSystemFailed:
    """A world system raised."""

    system_name: str
    error: str


@dataclass(frozen=True, slots=True)
class CallLeaked:
    """A call did not stop within the grace period after it was cancelled; the run went on without it."""

    entity_id: EntityId
    system_name: str
