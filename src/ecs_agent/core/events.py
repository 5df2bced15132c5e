"""What the kernel itself reports. All past tense, all frozen; structs of msgspec, since one is made with every write and this costs a fifth."""

from __future__ import annotations

import msgspec

from ecs_agent.types import EntityId


class EntityCreated(msgspec.Struct, frozen=True):
    """An entity came to be."""

    entity_id: EntityId


class EntityDeleted(msgspec.Struct, frozen=True):
    """An entity and its children are gone."""

    entity_id: EntityId


class ComponentAdded(msgspec.Struct, frozen=True):
    """A component was added, or replaced the one of its type."""

    entity_id: EntityId
    component: object


class ComponentChanged(msgspec.Struct, frozen=True):
    """A component was changed in place; found by comparing, or said by `touch`."""

    entity_id: EntityId
    component: object


class ComponentRemoved(msgspec.Struct, frozen=True):
    """A component was removed."""

    entity_id: EntityId
    component: object


class HandlerFailed(msgspec.Struct, frozen=True):
    """A subscriber raised, did not finish in time, or was so far behind that events were dropped; the others are not affected."""

    handler: str
    event: str
    error: str


class EventsSkipped(msgspec.Struct, frozen=True):
    """A stream held more than it may, and dropped `count` facts, the oldest, between these positions. Only its reader is told."""

    count: int
    first_pos: int
    last_pos: int


class BlockLifted(msgspec.Struct, frozen=True):
    """A stream with the policy `Block` was not read for so many seconds while producers waited; they no longer do.

    `entity_id` is whose stream it is, None for one of all entities.
    """

    entity_id: EntityId | None
    waiting: int
    seconds: float


class EntityQuarantined(msgspec.Struct, frozen=True):
    """An entity failed too often in too short a time and is left alone until new input."""

    entity_id: EntityId
    reason: str


class WorldSystemFailed(msgspec.Struct, frozen=True):
    """A world system raised."""

    system_name: str
    error: str


class CallLeaked(msgspec.Struct, frozen=True):
    """A call did not stop within the grace period after it was cancelled; the run went on without it."""

    entity_id: EntityId
    system_name: str


class LoopBlocked(msgspec.Struct, frozen=True):
    """A call kept the event loop, and so every agent, for so many seconds without awaiting."""

    entity_id: EntityId
    system_name: str
    seconds: float


class DeadlockFound(msgspec.Struct, frozen=True):
    """These entities waited for each other, each for the next and the last for the first; their waits were ended."""

    entity_ids: tuple[EntityId, ...]


class RequestFailed(msgspec.Struct, frozen=True):
    """A change that one entity had asked of another raised; nobody is worse off but the one who asked."""

    entity_id: EntityId
    sender: EntityId | None
    error: str


class JournalFailed(msgspec.Struct, frozen=True):
    """The journal cannot be written at the moment, or a fact could not be. What was committed before is kept; `error` says what to do."""

    error: str
