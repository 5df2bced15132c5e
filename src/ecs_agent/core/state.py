"""State: every row of a world, and the one way in which any of them changes.

Every structural change and every edit passes through here. It is written first, then appended to the log as a fact, then subscribers are
woken; no handler runs inside a write.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Protocol

from ecs_agent.core.clock import Clock
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, differs, snapshot
from ecs_agent.core.event_bus import EventBus
from ecs_agent.core.events import ComponentAdded, ComponentChanged, ComponentRemoved, EntityCreated, EntityDeleted
from ecs_agent.core.log import Envelope, EventKind, Log
from ecs_agent.core.query import Query
from ecs_agent.core.resources import Resources
from ecs_agent.core.row import EntityIdGenerator, Row
from ecs_agent.core.schedule import EntityEntry
from ecs_agent.errors import EntityNotFoundError
from ecs_agent.types import EntityId


class Run(Protocol):
    """Whoever moves the entities at the moment, and must hear what happens to them."""

    def changed(self, row: Row) -> None:
        """An entity changed."""
        ...

    def gone(self, row: Row) -> None:
        """An entity was deleted."""
        ...

    def forgive(self, row: Row) -> None:
        """There is new input for an entity: its failures and limits no longer count."""
        ...


class State:
    """The rows of a world and the write path to them.

    Args:
        log: where facts go.
        clock: where time comes from.
        ids: where entity ids come from.
        seed: of every entity's randomness.
    """

    def __init__(self, log: Log, clock: Clock, ids: EntityIdGenerator, seed: str) -> None:
        self.log = log
        self.clock = clock
        self.rows: dict[EntityId, Row] = {}
        self.query = Query()
        self.resources = Resources()
        self.bus = EventBus()
        self.bus.bind(self._record_published, self.report)
        self.run: Run | None = None
        self._ids = ids
        self._seed = seed
        self._roots = 0
        self._types: dict[frozenset[type], frozenset[type]] = {}

    # Entities

    def row(self, entity: EntityId) -> Row:
        """An entity's row.

        Raises:
            EntityNotFoundError: there is none.
        """
        row = self.rows.get(entity)
        if row is None:
            raise EntityNotFoundError(f"there is no entity {entity} in this world; it was deleted or never created")
        return row

    def create(self, parent: EntityId | None) -> Row:
        """A new entity without components."""
        above = None if parent is None else self.row(parent)
        entity = self._ids.next()
        # Its place is its number among its siblings and not its id, since ids depend on who spawned first.
        if above is None:
            place = f"{self._seed}/{self._roots}"
            self._roots += 1
        else:
            place = f"{above.place}/{above.spawned}"
            above.children[entity] = None
            above.spawned += 1
        row = self.rows[entity] = Row(entity, parent, place)
        self.changed(row, None)
        self.record(row, EntityCreated(entity))
        return row

    def delete(self, row: Row) -> None:
        """Delete an entity and its children, children first; running calls on them are cancelled."""
        family: list[Row] = []
        left = [row]  # not by recursion: a chain of agents may be longer than Python's stack
        while left:
            family.append(left.pop())
            left += [self.rows[child] for child in family[-1].children]
        for each in reversed(family):
            self._delete(each)

    def _delete(self, row: Row) -> None:
        del self.rows[row.id]
        if row.parent is not None and (parent := self.rows.get(row.parent)) is not None:
            del parent.children[row.id]
        for component_type in row.components:
            self.query.take(row.id, component_type)
        self.record(row, EntityDeleted(row.id))
        for call in row.calls:
            call.cancel("its entity was deleted")
        if self.run is not None:
            self.run.gone(row)

    # Components

    def put(self, row: Row, component: object, author: EntityEntry | None) -> None:
        """Add or replace a component of a row."""
        kind = type(component)
        if kind is type:
            raise TypeError(f"add_component needs a component, got the class {component!r}; write {getattr(component, '__name__', 'It')}(…)")
        added = kind not in row.components
        row.snapshots[kind] = snapshot(component)  # first, as a foreign object may raise here
        row.components[kind] = component
        self.query.put(row.id, component)
        if added:
            self._retype(row)
        self.changed(row, author)
        self.record(row, ComponentAdded(row.id, component))
        if added and row.calls:
            _cancel_mismatched(row, author)

    def take(self, row: Row, component_type: type, author: EntityEntry | None) -> None:
        """Remove a component of a row, if it is there."""
        if component_type not in row.components:
            return
        component = row.components.pop(component_type)
        row.snapshots.pop(component_type, None)
        self.query.take(row.id, component_type)
        self._retype(row)
        self.changed(row, author)
        self.record(row, ComponentRemoved(row.id, component))
        if row.calls:
            _cancel_mismatched(row, author)

    def note_edit(
        self, row: Row, component_type: type, author: EntityEntry | None, event: object | None = None, kind: EventKind = EventKind.DERIVED
    ) -> None:
        """Take note that a component was changed in place.

        Raises:
            EntityNotFoundError: the entity has no such component.
        """
        component = row.components.get(component_type)
        if component is None:
            raise EntityNotFoundError(f"entity {row.id} has no {component_type.__name__} that could have changed")
        row.snapshots[component_type] = snapshot(component)
        self.changed(row, author)
        self.record(row, event if event is not None else ComponentChanged(row.id, component), kind)

    def touch(self, row: Row, component_type: type | None, author: EntityEntry | None) -> None:
        """Take note of a change that comparing cannot see; an entity that failed is ready again."""
        if self.run is not None:
            self.run.forgive(row)
        for halting in (ErrorComponent, QuarantineComponent):
            self.take(row, halting, None)
        if component_type is not None:
            self.note_edit(row, component_type, author)
        else:
            self.changed(row, None)

    def compare(self, row: Row, author: EntityEntry | None = None) -> None:
        """Find changes made in place.

        With an author they count as its own. While other calls run on the entity, only what the author may write is compared, since a component
        of theirs may be in the middle of a change.
        """
        held, before = row.components, row.snapshots
        for component_type in author.writes if author is not None and row.calls else tuple(held):
            component = held.get(component_type)
            if component is not None and differs(component, before[component_type]):
                self.note_edit(row, component_type, author)

    def changed(self, row: Row, author: EntityEntry | None) -> None:
        """Raise an entity's stamp, and tell whoever moves it."""
        row.raise_stamp(author)
        if self.run is not None:
            self.run.changed(row)

    @staticmethod
    def author(row: Row) -> EntityEntry | None:
        """The system whose call runs right now on this row, when a write comes past its lease."""
        if not row.calls:
            return None
        task = asyncio.current_task()
        return next((call.entry for call in row.calls if call.task is task), None)

    def _retype(self, row: Row) -> None:
        types = frozenset(row.components)
        row.types = self._types.setdefault(types, types)

    # Facts

    def record(self, row: Row, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event under a row and hand it to subscribers."""
        self.bus.dispatch(self._append(row, event, kind))

    def report(self, event: object) -> None:
        """Append an event of the world itself, which belongs to no entity."""
        self.bus.dispatch(self._append(None, event, EventKind.DERIVED))

    def _append(self, row: Row | None, event: object, kind: EventKind) -> Envelope:
        log = self.log
        version = getattr(event, "version", 1)
        if row is None:
            envelope = Envelope(log.epoch, log.next_pos, None, 0, 0, 0, 0, None, kind, type(event).__name__, version, self.clock.now(), event)
        else:
            row.seq += 1
            label = row.label
            envelope = Envelope(
                log.epoch, log.next_pos, row.id, row.seq, label.run, label.turn, label.attempt, row.parent,
                kind, type(event).__name__, version, self.clock.now(), event,
            )  # fmt: skip
        log.append(envelope)
        return envelope

    def _record_published(self, event: object) -> Envelope:
        row = self.rows.get(getattr(event, "entity_id", EntityId(0)))
        return self._append(row, event, EventKind.DERIVED)


def seed_of(rng: Random | None) -> str:
    """The seed of a world's randomness, drawn from the source it was given."""
    return f"{(rng if rng is not None else Random()).getrandbits(64):x}"  # noqa: S311 - reproducible choices, not secrets


def _cancel_mismatched(row: Row, author: EntityEntry | None) -> None:
    for call in row.calls:
        if call.entry is not author and not call.entry.goes_on(row.types):
            call.cancel("the entity's components no longer match")
