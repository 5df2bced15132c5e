"""The lease through which a system's call reads and writes its entity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

from ecs_agent.core.lease import Lease
from ecs_agent.core.log import EventKind
from ecs_agent.core.row import Row
from ecs_agent.core.schedule import EntityEntry
from ecs_agent.core.state import State
from ecs_agent.errors import LeaseRevokedError
from ecs_agent.types import EntityId

T = TypeVar("T")


class Entity(Lease):
    """A system's lease on the entity of its call: everything it changes goes through here.

    The lease ends with the call. After a cancel or a delete each use raises `LeaseRevokedError`, so that a call that lingers cannot write
    over what was decided since.
    """

    __slots__ = ("_entry", "_live", "_row", "_state")

    def __init__(self, state: State, row: Row, entry: EntityEntry | None = None) -> None:
        self._state = state
        self._row = row
        self._entry = entry
        self._live = True

    @property
    def id(self) -> EntityId:
        """The entity's id; readable also after the lease has ended."""
        return self._row.id

    def __repr__(self) -> str:
        return f"Entity({self._row.id})"

    def get(self, component_type: type[T]) -> T | None:
        """A component of this entity."""
        return self._own().components.get(component_type)

    def has(self, component_type: type) -> bool:
        """Whether this entity has a component of the type."""
        return component_type in self._own().components

    def add(self, component: object) -> None:
        """Add a component, or replace the one of its type."""
        self._state.put(self._own(), component, self._entry)

    def remove(self, component_type: type) -> None:
        """Remove a component; nothing happens when there is none."""
        self._state.take(self._own(), component_type, self._entry)

    def touch(self, component_type: type) -> None:
        """Say that something deep inside a component changed, which comparing cannot find."""
        self._state.note_edit(self._own(), component_type, self._entry)

    def edit(self, component_type: type, event: object) -> None:
        """Say that a component was changed in place, and which event tells it. Call it right after the change, without awaiting between."""
        self._state.note_edit(self._own(), component_type, self._entry, event)

    def emit(self, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under this entity and wake its subscribers. Never waits."""
        self._state.record(self._own(), event, kind)

    def label(self, *, run: int | None = None, turn: int | None = None, attempt: int | None = None) -> None:
        """Say to which run, turn and attempt the next events belong; what is not given stays."""
        label = self._own().label
        label.run = label.run if run is None else run
        label.turn = label.turn if turn is None else turn
        label.attempt = label.attempt if attempt is None else attempt

    def spawn(self, *components: object) -> EntityId:
        """Create a child of this entity; deleting the parent deletes it."""
        child = self._state.create(self._own().id)
        for component in components:
            self._state.put(child, component, None)
        return child.id

    def despawn(self, child: EntityId) -> None:
        """Delete a child of this entity.

        Raises:
            ValueError: it is not a child of this entity.
        """
        if child not in self._own().children:
            raise ValueError(f"entity {child} is not a child of entity {self.id}; a system may delete its own children only")
        self._state.delete(self._state.row(child))

    def commit(self) -> None:
        """Compare this entity's components now instead of at the end of the call, so that what belongs together is recorded together."""
        self._state.compare(self._own(), self._entry)

    def new_id(self, prefix: str) -> str:
        """A fresh id that a seed reproduces, such as "call_3f9a01c2"."""
        return f"{prefix}_{self.random.getrandbits(32):08x}"

    @property
    def random(self) -> Random:
        """This entity's own source of randomness, seeded by the World's seed and its place among the children of its parent."""
        return self._own().random()

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type; see `World.resource`."""
        return self._state.resources.get(kind, make)

    async def breathe(self) -> None:
        """Let everyone else run once; for loops that may go on for long without waiting."""
        await asyncio.sleep(0)

    def now(self) -> int:
        """The World's clock: UTC in nanoseconds."""
        return self._state.clock.now()

    def monotonic(self) -> float:
        """The World's clock for durations: seconds."""
        return self._state.clock.monotonic()

    def revoke(self) -> None:
        """End the lease; done by the run when the call is over."""
        self._live = False

    def _own(self) -> Row:
        if not self._live:
            raise LeaseRevokedError(
                f"the call on entity {self._row.id} is over (ended, cancelled, or its entity deleted); it can no longer read or write it"
            )
        return self._row
