"""What waits in a stream that wants the latest only."""

from __future__ import annotations

from collections import OrderedDict

from ecs_agent.core.delivery.gap import Gap
from ecs_agent.core.delivery.policy import MOST
from ecs_agent.core.log import Entry, Envelope
from ecs_agent.types import EntityId


class Newest:
    """Of each entity the newest fact of each type, in the order in which they happened.

    Args:
        entity: whose they are, None for all.
    """

    def __init__(self, entity: EntityId | None) -> None:
        self._entity = entity
        self._held: OrderedDict[tuple[EntityId | None, type], Entry] = OrderedDict()
        self._gap: Gap | None = None

    @property
    def waiting(self) -> int:
        """How many facts wait."""
        return len(self._held)

    @property
    def readable(self) -> int:
        """More than 0 if there is something to hand out now."""
        return len(self._held) + (self._gap is not None)

    def release(self) -> None:
        """Nothing is ever kept back here."""

    def push(self, entry: Entry, kind: type) -> None:
        """Take facts of a type in; the last of them takes the place of what waited."""
        key = (entry.entity, kind)
        self._held[key] = entry
        self._held.move_to_end(key)
        if len(self._held) > MOST:
            dropped = self._take()
            if self._gap is None:
                self._gap = Gap(dropped, dropped.pos, 1)
            else:
                self._gap.add(dropped, dropped.pos, 1)

    def pop(self) -> Envelope:
        """Hand out the next; there is one if it is `readable`."""
        if self._gap is None:
            return self._take()
        gap, self._gap = self._gap, None
        return gap.envelope(self._entity)

    def _take(self) -> Envelope:
        _, entry = self._held.popitem(last=False)
        return entry.fact(entry.count - 1)
