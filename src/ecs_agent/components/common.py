"""Plain data that any agent may carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ecs_agent.types import EntityId


@dataclass(slots=True)
class NameComponent:
    """What people call this entity, in tables and logs; nothing else goes by it."""

    name: str


@dataclass(slots=True)
class KVStoreComponent:
    """A place for an application's own values."""

    store: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class OwnerComponent:
    """Who this entity belongs to."""

    owner_id: EntityId
