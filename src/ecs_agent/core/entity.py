"""Entities: ids that are never used again, what the World keeps about each, and the lease through which a call writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from ecs_agent.core.log import EventKind
from ecs_agent.errors import LeaseRevokedError
from ecs_agent.types import EntityId

if TYPE_CHECKING:
    from ecs_agent.core.component import Snapshot
    from ecs_agent.core.schedule import EntityEntry
    from ecs_agent.core.world import World

T = TypeVar("T")


class EntityIdGenerator:
    """Counts up from 1; an id is never given twice, also not after its entity was deleted.

    Args:
        start: the first id; a restored world goes on after its last one.
    """

    def __init__(self, start: int = 1) -> None:
        self._next = start

    def next(self) -> EntityId:
        """A fresh id."""
        given = EntityId(self._next)
        self._next += 1
        return given


@dataclass(slots=True)
class Label:
    """To which run, turn and attempt an entity's next facts belong; 0 = none yet."""

    run: int = 0
    turn: int = 0
    attempt: int = 0


class Row:
    """What the World keeps about one entity. Its life in a run (calls, place in the step) is kept by the run, not here."""

    __slots__ = (
        "_random", "calls", "children", "components", "id", "label", "parent", "place", "seen", "seq", "snapshots", "spawned", "stamp", "types",
    )  # fmt: skip

    def __init__(self, entity: EntityId, parent: EntityId | None, place: str) -> None:
        self.id = entity
        self.spawned = 0
        self.parent = parent
        self.place = place
        self.children: list[EntityId] = []
        self.components: dict[type, Any] = {}
        self.types: frozenset[type] = frozenset()
        self.snapshots: dict[type, Snapshot] = {}
        self.stamp = 0
        self.seen: dict[EntityEntry, int] = {}
        self.seq = 0
        self.label = Label()
        self.calls: list[Call] = []
        self._random: Random | None = None

    def raise_stamp(self, author: EntityEntry | None) -> None:
        """Note a change. The system whose call made it has seen it, if it had seen everything before."""
        before = self.stamp
        self.stamp = before + 1
        if author is not None and self.seen.get(author) == before:
            self.seen[author] = self.stamp

    def random(self) -> Random:
        """This entity's own source of randomness, seeded by its place in the tree of entities."""
        if self._random is None:
            self._random = Random(self.place)  # noqa: S311 - for reproducible choices, not for secrets
        return self._random


class Call:
    """One running call of an entity system: its lease, the task it runs in, and why it was told to stop, if it was."""

    __slots__ = ("_on_cancel", "entry", "leaked", "lease", "reason", "task", "timer")

    def __init__(self, entry: EntityEntry, lease: Entity, task: asyncio.Task[Any], on_cancel: Callable[[Call], None]) -> None:
        self.entry = entry
        self.lease = lease
        self.task = task
        self.reason: str | None = None
        self.leaked = False
        self.timer: asyncio.TimerHandle | None = None
        self._on_cancel = on_cancel

    def cancel(self, reason: str) -> None:
        """Tell the call to stop; the first reason counts. From now on its lease refuses."""
        if self.reason is None:
            self.reason = reason
            self.lease.revoke()
            self.task.cancel(reason)
            self._on_cancel(self)


class Entity:
    """A system's lease on the entity of its call: everything it changes goes through here.

    The lease ends with the call. After a cancel or a delete each use raises `LeaseRevokedError`, so that a call that lingers cannot write
    over what was decided since.
    """

    __slots__ = ("_entry", "_live", "_row", "_world")

    def __init__(self, world: World, row: Row, entry: EntityEntry | None = None) -> None:
        self._world = world
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
        self._world.put(self._own(), component, self._entry)

    def remove(self, component_type: type) -> None:
        """Remove a component; nothing happens when there is none."""
        self._world.take(self._own(), component_type, self._entry)

    def touch(self, component_type: type) -> None:
        """Say that something deep inside a component changed, which comparing cannot find."""
        self._world.note_edit(self._own(), component_type, self._entry)

    def edit(self, component_type: type, event: object) -> None:
        """Say that a component was changed in place, and which event tells it. Call it right after the change, without awaiting between."""
        self._world.note_edit(self._own(), component_type, self._entry, event)

    def emit(self, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under this entity and wake its subscribers. Never waits."""
        self._world.record(self._own(), event, kind)

    def label(self, *, run: int | None = None, turn: int | None = None, attempt: int | None = None) -> None:
        """Say to which run, turn and attempt the next events belong; what is not given stays."""
        label = self._own().label
        label.run = label.run if run is None else run
        label.turn = label.turn if turn is None else turn
        label.attempt = label.attempt if attempt is None else attempt

    def spawn(self, *components: object) -> EntityId:
        """Create a child of this entity; deleting the parent deletes it."""
        child = self._world.create_entity(parent=self._own().id)
        for component in components:
            self._world.add_component(child, component)
        return child

    def despawn(self, child: EntityId) -> None:
        """Delete a child of this entity.

        Raises:
            ValueError: it is not a child of this entity.
        """
        if child not in self._own().children:
            raise ValueError(f"entity {child} is not a child of entity {self.id}; a system may delete its own children only")
        self._world.delete_entity(child)

    def commit(self) -> None:
        """Compare this entity's components now instead of at the end of the call, so that what belongs together is recorded together."""
        self._world.compare(self._own(), self._entry)

    def new_id(self, prefix: str) -> str:
        """A fresh id that a seed reproduces, such as "call_3f9a01c2"."""
        return f"{prefix}_{self.random.getrandbits(32):08x}"

    @property
    def random(self) -> Random:
        """This entity's own source of randomness, seeded by the World's seed and its place among the children of its parent."""
        return self._own().random()

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type; see `World.resource`."""
        return self._world.resource(kind, make)

    async def breathe(self) -> None:
        """Let everyone else run once; for loops that may go on for long without waiting."""
        await asyncio.sleep(0)

    def now(self) -> int:
        """The World's clock: UTC in nanoseconds."""
        return self._world.clock.now()

    def monotonic(self) -> float:
        """The World's clock for durations: seconds."""
        return self._world.clock.monotonic()

    def revoke(self) -> None:
        """End the lease; done by the run when the call is over."""
        self._live = False

    def _own(self) -> Row:
        if not self._live:
            raise LeaseRevokedError(
                f"the call on entity {self._row.id} is over (ended, cancelled, or its entity deleted); it can no longer read or write it"
            )
        return self._row
