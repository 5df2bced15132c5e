"""What a stream had to drop, and how it says so in the place where it stood."""

from __future__ import annotations

import msgspec

from ecs_agent.core.events import EventsSkipped
from ecs_agent.core.log import Envelope, EventKind
from ecs_agent.types import EntityId


class Gap:
    """The facts dropped at the front of a stream since something was last read from it.

    Args:
        newest: the newest of the facts dropped first; the newest of all lends the gap its place.
        first_pos: the first one's place.
        count: how many they are.
    """

    __slots__ = ("_count", "_first", "_newest")

    def __init__(self, newest: Envelope, first_pos: int, count: int) -> None:
        self._newest = newest
        self._first = first_pos
        self._count = count

    def add(self, newest: Envelope, first_pos: int, count: int) -> None:
        """Drop more."""
        self._count += count
        self._first = min(self._first, first_pos)
        if newest.pos > self._newest.pos:
            self._newest = newest

    def envelope(self, entity: EntityId | None) -> Envelope:
        """The gap as an event of the entity whose stream it is; in a stream of all entities it belongs to none of them."""
        newest = self._newest
        skipped = EventsSkipped(self._count, self._first, newest.pos)
        if entity is None:
            return Envelope(newest.epoch, newest.pos, None, 0, 0, 0, 0, None, EventKind.DERIVED, "EventsSkipped", 1, newest.time, skipped)
        return msgspec.structs.replace(newest, kind=EventKind.DERIVED, type="EventsSkipped", version=1, payload=skipped)
