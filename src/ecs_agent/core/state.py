"""State: every row of a world, and the one way in which any of them changes.

Every structural change and every edit passes through here. It is written first, then appended to the log as a fact, then subscribers are
woken; no handler runs inside a write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, Protocol, TypeAlias, TypeVar

from ecs_agent.core.change import Change, Dropped, appended, edited, put
from ecs_agent.core.clock import Clock
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, changed, grown, snapshot
from ecs_agent.core.delivery.event_filter import NO_TYPES
from ecs_agent.core.depth import is_deep
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.event_bus import EventBus
from ecs_agent.core.events import ComponentAdded, ComponentChanged, ComponentRemoved, EntityCreated, EntityDeleted
from ecs_agent.core.hooks import Hooks
from ecs_agent.core.lease import Lease
from ecs_agent.core.log import Burst, Envelope, EventKind, EventType, Gatherer, Log, gathers
from ecs_agent.core.outcome import Outcome
from ecs_agent.core.query import Query
from ecs_agent.core.relation import ChildOf, Relations
from ecs_agent.core.resources import Resources
from ecs_agent.core.row import EntityIdGenerator, Row
from ecs_agent.errors import EntityNotFoundError, ForeignWriteError
from ecs_agent.types import EntityId

T = TypeVar("T")
Growth: TypeAlias = tuple[str, int]
"""The field of a list that only grew, and by how many elements."""

MAX_STEPS = 10_000
"""So many steps between sets of component types are kept; programs make a few dozen."""


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

    async def join(self, lease: Lease, entity: EntityId) -> Outcome:
        """Wait, in the call of a lease, until another entity comes to rest."""
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
        self.relations = Relations(self.rows)
        self.query = Query(self.relations)
        self.hooks = Hooks(self.report)
        self.resources = Resources()
        self.bus = EventBus()
        self.bus.bind(self._publish, self.report)
        self.run: Run | None = None
        self.acting: dict[asyncio.Task[Any], Row] | None = None  # whose call runs in a task; kept only in checked mode
        self.ids = ids
        self.seed = seed
        self.roots = 0
        self.sent = 0  # letters from outside of any entity
        self._kinds: dict[object, tuple[str, int]] = {}
        self._grown: dict[tuple[frozenset[type], type], frozenset[type]] = {}
        self._shrunk: dict[tuple[frozenset[type], type], frozenset[type]] = {}

    def resume(self, seed: str, roots: int, ids: EntityIdGenerator, sent: int) -> None:
        """Go on with the seed, the counts and the ids of a saved world."""
        self.seed, self.roots, self.ids, self.sent = seed, roots, ids, sent

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
        """A new entity without components, but for the `ChildOf` of one that has a parent."""
        above = None if parent is None else self.row(parent)
        entity = self.ids.next()
        if entity in self.rows:
            raise ValueError(f"the World's source of ids gave {entity} again, which is in use; an id is never given twice")
        # Its place is its number among its siblings and not its id, since ids depend on who spawned first.
        if above is None:
            place = f"{self.seed}/{self.roots}"
            self.roots += 1
        else:
            place = f"{above.place}/{above.spawned}"
            above.children[entity] = None
            above.spawned += 1
        row = self.rows[entity] = Row(entity, parent, place)
        self.changed(row, None)
        self.record(row, EntityCreated(entity))
        if parent is not None:
            self.put(row, ChildOf(parent), None)
        return row

    def delete(self, row: Row) -> None:
        """Delete an entity and its children, children first, and whoever goes with one of them; running calls on them are cancelled."""
        outer = self.hooks.hold()
        try:
            loose: list[tuple[EntityId, type]] = []
            for each in self.relations.doomed(row):
                self._delete(each)
                loose += self.relations.gone(each.id)
            for source, kind in loose:
                if (left := self.rows.get(source)) is not None:
                    self.take(left, kind, None)
        finally:
            self.hooks.release(outer)

    def _delete(self, row: Row) -> None:
        del self.rows[row.id]
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
        taken = snapshot(component)  # first, as a foreign object may raise here, and a relation may be refused by the next line
        self.query.put(row.id, component)
        row.snapshots[kind] = taken
        row.components[kind] = component
        if added:
            row.types = self._grown.get((row.types, kind)) or self._type(row, kind, self._grown)
        self.changed(row, author)
        self.record(row, ComponentAdded(row.id, component), change=put(kind, snapshot(component)) if self.log.keeps_changes else None)
        if added and row.calls:
            _cancel_mismatched(row, author)
        if self.hooks.waiting:
            self.hooks.run()

    def take(self, row: Row, component_type: type, author: EntityEntry | None) -> None:
        """Remove a component of a row, if it is there."""
        if component_type not in row.components:
            return
        component = row.components.pop(component_type)
        row.snapshots.pop(component_type, None)
        self.query.take(row.id, component_type)
        row.types = self._shrunk.get((row.types, component_type)) or self._type(row, component_type, self._shrunk)
        self.changed(row, author)
        self.record(row, ComponentRemoved(row.id, component), change=Dropped(component_type) if self.log.keeps_changes else None)
        if row.calls:
            _cancel_mismatched(row, author)
        if self.hooks.waiting:
            self.hooks.run()

    def note_edit(
        self, row: Row, component_type: type, author: EntityEntry | None, event: object | None = None, kind: EventKind = EventKind.DERIVED,
        growth: Growth | None = None, *, is_told: bool = True,
    ) -> None:  # fmt: skip
        """Take note that a component was changed in place; with `growth`, that a list in it has new elements at its end, and nothing else is new.

        `is_told` is false where comparing found it. Who tells of a change may mean one so deep that comparing cannot find it.

        Raises:
            EntityNotFoundError: the entity has no such component.
        """
        component = row.components.get(component_type)
        if component is None:
            raise EntityNotFoundError(f"entity {row.id} has no {component_type.__name__} that could have changed")
        before = after = row.snapshots[component_type]
        tail = grown(component, before, *growth) if growth is not None else None
        if tail is None:
            row.snapshots[component_type] = after = snapshot(component)
        if self.query.watched:
            self.query.edited(row.id, component_type)
        self.changed(row, author)
        change: Change | None = None
        if self.log.keeps_changes:
            if growth is not None and tail is not None:
                change = appended(component_type, growth[0], after, tail)
            elif gathers(component_type) or (is_told and is_deep(component_type, after)):
                change = put(component_type, snapshot(component))  # comparing would tell once more what it took in, and miss what is deep
            else:
                change = edited(component_type, before, after)
        self.record(row, event if event is not None else ComponentChanged(row.id, component), kind, change)

    def touch(self, row: Row, component_type: type | None, author: EntityEntry | None) -> None:
        """Take note of a change that comparing cannot see; an entity that failed is ready again. By a call of its own no limit is lifted."""
        if author is None:
            row.failures = ()
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
        held = row.components
        if author is not None and row.calls:
            held = {kind: held[kind] for kind in author.writes if kind in held}
        for kind in changed(held, row.snapshots):
            self.note_edit(row, kind, author, is_told=False)

    def changed(self, row: Row, author: EntityEntry | None) -> None:
        """Raise an entity's stamp, and tell whoever moves it. The system whose call made the change has seen it, if it had seen all before."""
        before = row.stamp
        row.stamp = before + 1
        if author is not None and row.seen.get(author) == before:
            row.seen[author] = before + 1
        if self.run is not None:
            self.run.changed(row)

    def author(self, row: Row) -> EntityEntry | None:
        """The system whose call runs right now on this row, when a write comes past its lease.

        Raises:
            ForeignWriteError: in checked mode, when it is the call of another entity.
        """
        if self.acting and not self.hooks.calling:
            self._check(row)
        if not row.calls:
            return None
        task = asyncio.current_task()
        return next((call.entry for call in row.calls if call.task is task), None)

    def _check(self, row: Row) -> None:
        """Refuse what an entity system must not do: change an entity that is neither its own nor below it."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        acting = (self.acting or {}).get(task) if task is not None else None
        above: Row | None = row
        while acting is not None and above is not acting:
            if above is None:
                raise ForeignWriteError(
                    f"a system running on entity {acting.id} changed entity {row.id}; it may change its own and its children, and others by "
                    "me.send(…) or me.request(…)"
                )
            above = None if above.parent is None else self.rows.get(above.parent)

    @staticmethod
    def _type(row: Row, kind: type, steps: dict[tuple[frozenset[type], type], frozenset[type]]) -> frozenset[type]:
        """The set of a row's types after `kind` came or went. Each step from one set to the next is built once and kept."""
        if len(steps) >= MAX_STEPS:
            steps.clear()
        types = steps[row.types, kind] = frozenset(row.components)
        return types

    # Facts

    def record(self, row: Row, event: object, kind: EventKind = EventKind.DERIVED, change: Change | None = None) -> None:
        """Append an event under a row and hand it to subscribers."""
        envelope = self._enveloped(row, event, kind, change)
        self.log.append(envelope)
        if self.bus.listening:
            self.bus.dispatch(envelope, row.types)

    def record_each(
        self, row: Row, make: EventType[T], items: Sequence[T], kind: EventKind = EventKind.DERIVED, into: Gatherer[T] | None = None
    ) -> None:
        """Append facts of one type that arrived together, `make(entity, item)` for each item; nobody may change `items` afterwards.

        `into` is the component of the row that takes the items in, before anybody hears of them.
        """
        if not items:
            return
        log, label, at = self.log, row.label, 0.0
        if into is not None:
            at = self.clock.monotonic()
            into.add(items, at)
        name, version = self._kinds.get(make) or self._kind(make)
        burst = Burst(
            log.epoch, log.next_pos, row.id, row.seq + 1, label.run, label.turn, label.attempt, row.parent,
            kind, name, version, self.clock.now(), items, make, None if into is None else type(into), at,
        )  # fmt: skip
        row.seq += len(items)
        log.extend(burst)
        if self.bus.listening:
            self.bus.dispatch(burst, row.types)

    def report(self, event: object) -> None:
        """Append an event of the world itself, which belongs to no entity."""
        envelope = self._of_the_world(event)
        self.log.append(envelope)
        if self.bus.listening:
            self.bus.dispatch(envelope)

    def _enveloped(self, row: Row, event: object, kind: EventKind, change: Change | None = None) -> Envelope:
        log, label = self.log, row.label
        name, version = self._kinds.get(event.__class__) or self._kind(type(event))
        row.seq = seq = row.seq + 1
        return Envelope(
            log.epoch, log.next_pos, row.id, seq, label.run, label.turn, label.attempt, row.parent, kind, name, version, self.clock.now(), event,
            change,
        )  # fmt: skip

    def _of_the_world(self, event: object) -> Envelope:
        log = self.log
        name, version = self._kind(type(event))
        return Envelope(log.epoch, log.next_pos, None, 0, 0, 0, 0, None, EventKind.DERIVED, name, version, self.clock.now(), event)

    def _kind(self, event_type: EventType[Any] | type) -> tuple[str, int]:
        """The name and the version of a type of events. A version is the type's, never a field of one event."""
        version = getattr(event_type, "version", 1)
        kind = self._kinds[event_type] = (event_type.__name__, version if isinstance(version, int) else 1)
        return kind

    def _publish(self, event: object) -> None:
        row = self.rows.get(getattr(event, "entity_id", EntityId(0)))
        envelope = self._of_the_world(event) if row is None else self._enveloped(row, event, EventKind.DERIVED)
        self.log.append(envelope)
        if self.bus.listening:
            self.bus.show(envelope, NO_TYPES if row is None else row.types)


def seed_of(rng: Random | None) -> str:
    """The seed of a world's randomness, drawn from the source it was given."""
    return f"{(rng if rng is not None else Random()).getrandbits(64):x}"  # noqa: S311 - reproducible choices, not secrets


def _cancel_mismatched(row: Row, author: EntityEntry | None) -> None:
    for call in row.calls:
        if call.entry is not author and not call.entry.goes_on(row.types):
            call.cancel("the entity's components no longer match")
