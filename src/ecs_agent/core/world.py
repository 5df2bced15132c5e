"""The World: the container of entities, components and systems. Its state changes in one way, which `core/state.py` holds.

A World belongs to one event loop at a time; `call_soon_threadsafe` enters it from another thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, NoReturn, Self, TypeVar, overload

from ecs_agent.core.clock import Clock, SystemClock
from ecs_agent.core.engine import Engine
from ecs_agent.core.event_bus import EventBus, EventStream
from ecs_agent.core.log import EventKind, Log, MemoryLog
from ecs_agent.core.row import EntityIdGenerator
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.state import State, seed_of
from ecs_agent.core.tasks import gather
from ecs_agent.errors import WorldClosedError
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
        self.state = State(
            journal if journal is not None else MemoryLog(),
            clock if clock is not None else SystemClock(),
            ids if ids is not None else EntityIdGenerator(),
            seed_of(rng),
        )
        self.schedule = Schedule()
        self._closed = False

    # Entities and components

    def create_entity(self, *, parent: EntityId | None = None) -> EntityId:
        """A new entity without components; a child is deleted with its parent.

        Raises:
            EntityNotFoundError: there is no such parent.
            WorldClosedError: the world was closed.
        """
        if self._closed:
            raise WorldClosedError("this world was closed; create a new one")
        return self.state.create(parent).id

    def add_component(self, entity: EntityId, component: object) -> None:
        """Add a component, or replace the one of its type.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.put(row, component, state.author(row))

    def get_component(self, entity: EntityId, component_type: type[T]) -> T | None:
        """An entity's component of a type, None if it has none or does not exist."""
        row = self.state.rows.get(entity)
        return None if row is None else row.components.get(component_type)

    def has_component(self, entity: EntityId, component_type: type) -> bool:
        """Whether an entity has a component of a type."""
        row = self.state.rows.get(entity)
        return row is not None and component_type in row.components

    def remove_component(self, entity: EntityId, component_type: type) -> None:
        """Remove a component; nothing happens when there is none.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.take(row, component_type, state.author(row))

    def delete_entity(self, entity: EntityId) -> None:
        """Delete an entity and its children, children first; running calls on them are cancelled. Nothing happens when it is gone already."""
        row = self.state.rows.get(entity)
        if row is not None:
            self.state.delete(row)

    def has_entity(self, entity: EntityId) -> bool:
        """Whether an entity exists."""
        return entity in self.state.rows

    @property
    def entities(self) -> list[EntityId]:
        """All entities, oldest first."""
        return list(self.state.rows)

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
        return self.state.query.find(types, without)

    def touch(self, entity: EntityId, component_type: type | None = None) -> None:
        """Say that something changed which comparing cannot see, and make a failed or quarantined entity ready again.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.touch(row, component_type, state.author(row))

    def edit(self, entity: EntityId, component_type: type, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Say that a component was changed in place, and which event tells it; call it right after the change, without awaiting between.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.note_edit(row, component_type, state.author(row), event, kind)

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
        if self.engine is not None:
            self.engine.registered(entry)

    def emit(self, entity: EntityId, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under an entity and wake its subscribers. Never waits.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        self.state.record(self.state.row(entity), event, kind)

    def report(self, event: object) -> None:
        """Append an event of the world itself, which belongs to no entity. Never waits."""
        self.state.report(event)

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
        engine = self.begin(one_step=True)
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
        engine = self.engine
        if engine is None:
            raise RuntimeError("no run is active in this world, so there is no event loop to call into")
        engine.loop.call_soon_threadsafe(callback, *args)

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type, made at first use: what systems share and what is no state, such as a pool of threads.

        If it has an `aclose`, it is closed with the World.
        """
        return self.state.resources.get(kind, make)

    def on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have something ended with the World; the last one added is ended first."""
        self.state.resources.on_close(callback)

    async def aclose(self) -> None:
        """End everything the World owns: the run, its calls, handlers, event streams. Safe to call twice.

        Raises:
            Exception: what a callback of `on_close` raised, an ExceptionGroup if several did; everything else was ended all the same.
        """
        self._closed = True
        if self.engine is not None:
            await self.engine.stop()
        failures = await self.state.resources.aclose()
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

    # For runners

    def begin(self, *, one_step: bool = False, max_ticks: int | None = None, grace: float = 5.0) -> Engine:
        """An engine that is about to move this world; see `Engine` for the arguments.

        Raises:
            WorldBusyError: a run or a tick is active already.
            WorldClosedError: the world was closed.
        """
        if self._closed:
            raise WorldClosedError("this world was closed; create a new one")
        return Engine(self.state, self.schedule, lambda entry: entry.system.process(self), one_step=one_step, max_ticks=max_ticks, grace=grace)

    @property
    def engine(self) -> Engine | None:
        """The active run or tick."""
        run = self.state.run
        return run if isinstance(run, Engine) else None

    @property
    def event_bus(self) -> EventBus:
        """Where handlers subscribe."""
        return self.state.bus

    @property
    def log(self) -> Log:
        """Every fact so far."""
        return self.state.log

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        return self.state.clock
