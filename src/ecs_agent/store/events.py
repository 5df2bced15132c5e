"""What a store itself reports."""

from __future__ import annotations

import msgspec

from ecs_agent.types import EntityId


class WorldRestored(msgspec.Struct, frozen=True):
    """A world was opened again, as it was behind position `to_pos - 1`: who has seen more of it, has seen what was never stored.

    `unknown` are the tags of components that nobody registered; they are kept as data.
    """

    epoch: int
    to_pos: int
    unknown: tuple[str, ...]


class FactUnsaved(msgspec.Struct, frozen=True):
    """Stands in a journal for a fact that could not be written. `component` names the one whose change is missing, if any."""

    entity_id: EntityId | None
    type: str
    component: str | None
    error: str
