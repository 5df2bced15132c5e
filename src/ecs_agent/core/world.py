"""The World: the container of entities, components and systems, and the one way in which any of them changes.

Every structural change and every edit passes through here. It is written first, then appended to the log as a fact, then subscribers are
woken; no handler runs inside a write. A World belongs to one event loop at a time; `call_soon_threadsafe` enters it from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, NoReturn, Self, TypeVar, cast, overload

from ecs_agent.core.clock import Clock, SystemClock
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, differs, snapshot
from ecs_agent.core.engine import Engine
from ecs_agent.core.entity import EntityIdGenerator, Row
from ecs_agent.core.event_bus import EventBus, EventStream
from ecs_agent.core.events import ComponentAdded, ComponentChanged, ComponentRemoved, EntityCreated, EntityDeleted
from ecs_agent.core.log import Envelope, EventKind, Log, MemoryLog
from ecs_agent.core.query import Query
from ecs_agent.core.schedule import EntityEntry, Schedule
from ecs_agent.core.tasks import gather
from ecs_agent.errors import EntityNotFoundError, WorldClosedError
from ecs_agent.types import EntityId

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


class World:
    """Entities, their components, the systems that act on them, and the log of what happened.

    Args:
        journal: where facts go; a `MemoryLog` by default.
        clock: where time comes from; the machine's clocks by default.
        ids: where entity ids come from.
        rng: the source of every entity's randomness; give a seeded one to reproduce a run.
    """

    def __init__(
        self, journal: Log | None = None, clock: Clock | None = None, ids: EntityIdGenerator | None = None, rng: Random | None = None
    ) -> None:
        self.log: Log = journal if journal is not None else MemoryLog()
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.event_bus = EventBus()
        self.event_bus.bind(self._record_published, self.report)
        self.schedule = Schedule()
        self._ids = ids if ids is not None else EntityIdGenerator()
        self._seed = f"{(rng if rng is not None else Random()).getrandbits(64):x}"  # noqa: S311 - reproducible choices, not secrets
        self._rows: dict[EntityId, Row] = {}
        self._roots = 0
        self._query = Query()
        self._types: dict[frozenset[type], frozenset[type]] = {}
        self._engine: Engine | None = None
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._closed = False
        self._resources: dict[type, Any] = {}

    # Entities and components

    def create_entity(self, *, parent: EntityId | None = None) -> EntityId:
        """A new entity without components; a child is deleted with its parent.

        Raises:
            EntityNotFoundError: there is no such parent.
            WorldClosedError: the world was closed.
        """
        if self._closed:
            raise WorldClosedError("this world was closed; create a new one")
        above = None if parent is None else self.row(parent)
        entity = self._ids.next()
        # Its place is its number among its siblings and not its id, since ids depend on who spawned first.
        if above is None:
            place = f"{self._seed}/{self._roots}"
            self._roots += 1
        else:
            place = f"{above.place}/{above.spawned}"
            above.children.append(entity)
            above.spawned += 1
        row = self._rows[entity] = Row(entity, parent, place)
        self._changed(row, None)
        self.record(row, EntityCreated(entity))
        return entity

    def add_component(self, entity: EntityId, component: object) -> None:
        """Add a component, or replace the one of its type.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        row = self.row(entity)
        self.put(row, component, self._author(row))

    def get_component(self, entity: EntityId, component_type: type[T]) -> T | None:
        """An entity's component of a type, None if it has none or does not exist."""
        row = self._rows.get(entity)
        return None if row is None else row.components.get(component_type)

    def has_component(self, entity: EntityId, component_type: type) -> bool:
        """Whether an entity has a component of a type."""
        row = self._rows.get(entity)
        return row is not None and component_type in row.components

    def remove_component(self, entity: EntityId, component_type: type) -> None:
        """Remove a component; nothing happens when there is none.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        row = self.row(entity)
        self.take(row, component_type, self._author(row))

    def delete_entity(self, entity: EntityId) -> None:
        """Delete an entity and its children, children first; running calls on them are cancelled. Nothing happens when it is gone already."""
        row = self._rows.get(entity)
        if row is None:
            return
        for child in list(row.children):
            self.delete_entity(child)
        del self._rows[entity]
        if row.parent is not None and (parent := self._rows.get(row.parent)) is not None:
            parent.children.remove(entity)
        for component_type in row.components:
            self._query.take(entity, component_type)
        self.record(row, EntityDeleted(entity))
        for call in row.calls:
            call.cancel("its entity was deleted")
        if self._engine is not None:
            self._engine.gone(row)

    def has_entity(self, entity: EntityId) -> bool:
        """Whether an entity exists."""
        return entity in self._rows

    @property
    def entities(self) -> list[EntityId]:
        """All entities, oldest first."""
        return list(self._rows)

    @overload
    def query(self, a: type[A], /, *, without: tuple[type, ...] = ()) -> list[tuple[EntityId, tuple[A]]]: ...
    @overload
    def query(self, a: type[A], b: type[B], /, *, without: tuple[type, ...] = ()) -> list[tuple[EntityId, tuple[A, B]]]: ...
    @overload
    def query(self, a: type[A], b: type[B], c: type[C], /, *, without: tuple[type, ...] = ()) -> list[tuple[EntityId, tuple[A, B, C]]]: ...
    @overload
    def query(
        self, a: type[A], b: type[B], c: type[C], d: type[D], /, *, without: tuple[type, ...] = ()
    ) -> list[tuple[EntityId, tuple[A, B, C, D]]]: ...
    @overload
    def query(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /, *, without: tuple[type, ...] = ()
    ) -> list[tuple[EntityId, tuple[A, B, C, D, E]]]: ...
    def query(self, *types: type, without: tuple[type, ...] = ()) -> list[Any]:
        """The entities that have all of the types and none of `without`: a new list of `(entity, components)`.

        It is a copy: changes made while it is walked through appear in the next query.

        Raises:
            TypeError: no type was given.
        """
        if not types:
            raise TypeError("query needs at least one component type; World.entities lists all entities")
        return self._query.find(types, without)

    def touch(self, entity: EntityId, component_type: type | None = None) -> None:
        """Say that something changed which comparing cannot see, and make a failed or quarantined entity ready again.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        row = self.row(entity)
        if self._engine is not None:
            self._engine.forgive(row)
        for halting in (ErrorComponent, QuarantineComponent):
            self.take(row, halting, None)
        if component_type is not None:
            self.note_edit(row, component_type, self._author(row))
        else:
            self._changed(row, None)

    def edit(self, entity: EntityId, component_type: type, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Say that a component was changed in place, and which event tells it; call it right after the change, without awaiting between.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        row = self.row(entity)
        self.note_edit(row, component_type, self._author(row), event, kind)

    # Systems and events

    def register_system(self, system: object, priority: int | None = None) -> None:
        """Add a system: a function or class with `@system`, or an object with `async process(world)`.

        Args:
            system: the system.
            priority: lower runs first; by default the system's own, else 0.

        Raises:
            SystemDefinitionError: it is neither form.
        """
        entry = self.schedule.register(system, priority)
        registered = getattr(system, "registered", None)
        if registered is not None:
            registered(self)
        if self._engine is not None:
            self._engine.registered(entry)

    def emit(self, entity: EntityId, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under an entity and wake its subscribers. Never waits.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        self.record(self.row(entity), event, kind)

    def events(self, entity: EntityId | None = None, *, limit: int = 1024) -> EventStream:
        """Watch the events of one entity, or of all, from now on. Leaving the iteration never stops an agent."""
        return self.event_bus.open(entity, limit=limit)

    @staticmethod
    async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines side by side, in an order that a seed reproduces; see `ecs_agent.core.tasks.gather`."""
        return await gather(coroutines)

    # Life

    async def process(self) -> None:
        """One tick: one step of every entity that is due, world systems once each as meetings in between, all calls awaited.

        Raises:
            WorldBusyError: a run or another tick is active.
            WorldClosedError: the world was closed.
            Exception: what a world system raised, an ExceptionGroup if several did. The failure of an entity's call becomes its
                `ErrorComponent` instead.
        """
        engine = Engine(self, one_step=True)
        await engine.run()
        if len(engine.failures) == 1:
            raise engine.failures[0]
        if engine.failures:
            raise ExceptionGroup("several world systems failed", engine.failures)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in the World's event loop, from any thread. It is how everything from other threads enters.

        Raises:
            RuntimeError: nothing runs in this world at the moment.
        """
        if self._engine is None:
            raise RuntimeError("no run is active in this world, so there is no event loop to call into")
        self._engine.loop.call_soon_threadsafe(callback, *args)

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type, made at first use: what systems share and what is no state, such as a pool of threads.

        If it has an `aclose`, it is closed with the World.
        """
        found = self._resources.get(kind)
        if found is None:
            found = self._resources[kind] = make()
            close = getattr(found, "aclose", None)
            if close is not None:
                self.on_close(close)
        return cast("T", found)

    def on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have something ended with the World; the last one added is ended first."""
        self._closing.append(callback)

    async def aclose(self) -> None:
        """End everything the World owns: the run, its calls, handlers, event streams. Safe to call twice.

        Raises:
            Exception: what a callback of `on_close` raised, an ExceptionGroup if several did; everything else was ended all the same.
        """
        self._closed = True
        if self._engine is not None:
            await self._engine.stop()
        failures: list[Exception] = []
        while self._closing:
            try:
                await self._closing.pop()()
            except Exception as error:  # noqa: BLE001 - whatever one raises, the others are ended too
                failures.append(error)
        await self.event_bus.close()
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("several things could not be closed", failures)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a World holds live objects (tasks, sockets) and cannot be pickled or copied; its components are data and can be saved")

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closed

    # The write path, for leases and the engine

    @property
    def engine(self) -> Engine | None:
        """The active run or tick."""
        return self._engine

    @engine.setter
    def engine(self, engine: Engine | None) -> None:
        self._engine = engine

    @property
    def rows(self) -> dict[EntityId, Row]:
        """All rows by entity."""
        return self._rows

    def row(self, entity: EntityId) -> Row:
        """An entity's row.

        Raises:
            EntityNotFoundError: there is none.
        """
        row = self._rows.get(entity)
        if row is None:
            raise EntityNotFoundError(f"there is no entity {entity} in this world; it was deleted or never created")
        return row

    def put(self, row: Row, component: object, author: EntityEntry | None) -> None:
        """Add or replace a component of a row."""
        kind = type(component)
        if kind is type:
            raise TypeError(f"add_component needs a component, got the class {component!r}; write {getattr(component, '__name__', 'It')}(…)")
        added = kind not in row.components
        row.snapshots[kind] = snapshot(component)  # first, as a foreign object may raise here
        row.components[kind] = component
        self._query.put(row.id, component)
        if added:
            self._retype(row)
        self._changed(row, author)
        self.record(row, ComponentAdded(row.id, component))
        if added:
            self._cancel_mismatched(row, author)

    def take(self, row: Row, component_type: type, author: EntityEntry | None) -> None:
        """Remove a component of a row, if it is there."""
        if component_type not in row.components:
            return
        component = row.components.pop(component_type)
        row.snapshots.pop(component_type, None)
        self._query.take(row.id, component_type)
        self._retype(row)
        self._changed(row, author)
        self.record(row, ComponentRemoved(row.id, component))
        self._cancel_mismatched(row, author)

    def note_edit(
        self, row: Row, component_type: type, author: EntityEntry | None, event: object | None = None, kind: EventKind = EventKind.DERIVED
    ) -> None:
        """Take note that a component was changed in place."""
        component = row.components.get(component_type)
        if component is None:
            raise EntityNotFoundError(f"entity {row.id} has no {component_type.__name__} that could have changed")
        row.snapshots[component_type] = snapshot(component)
        self._changed(row, author)
        self.record(row, event if event is not None else ComponentChanged(row.id, component), kind)

    def compare(self, row: Row, author: EntityEntry | None = None) -> bool:
        """Find changes made in place, and say whether there were any.

        With an author they count as its own. While other calls run on the entity, only what the author may write is compared, since a component
        of theirs may be in the middle of a change.
        """
        found = False
        held, before = row.components, row.snapshots
        for component_type in author.writes if author is not None and row.calls else tuple(held):
            component = held.get(component_type)
            if component is not None and differs(component, before[component_type]):
                self.note_edit(row, component_type, author)
                found = True
        return found

    def record(self, row: Row, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event under a row and hand it to subscribers."""
        self.event_bus.dispatch(self._append(row, event, kind))

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
        row = self._rows.get(getattr(event, "entity_id", EntityId(0)))
        return self._append(row, event, EventKind.DERIVED)

    def report(self, event: object) -> None:
        """Append an event of the world itself, which belongs to no entity."""
        self.event_bus.dispatch(self._append(None, event, EventKind.DERIVED))

    def _retype(self, row: Row) -> None:
        types = frozenset(row.components)
        row.types = self._types.setdefault(types, types)

    def _changed(self, row: Row, author: EntityEntry | None) -> None:
        row.raise_stamp(author)
        if self._engine is not None:
            self._engine.changed(row)

    def _author(self, row: Row) -> EntityEntry | None:
        """The system whose call runs right now on this row, when a write comes past its lease."""
        if not row.calls:
            return None
        task = asyncio.current_task()
        return next((call.entry for call in row.calls if call.task is task), None)

    @staticmethod
    def _cancel_mismatched(row: Row, author: EntityEntry | None) -> None:
        for call in row.calls:
            if call.entry is not author and not call.entry.goes_on(row.types):
                call.cancel("the entity's components no longer match")
