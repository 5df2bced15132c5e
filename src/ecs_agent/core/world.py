"""The World: the container of entities, components and systems. Its state changes in one way, which `core/state.py` holds.

A World belongs to one event loop at a time; `call_soon_threadsafe` enters it from another thread.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from random import Random
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from ecs_agent.core.clock import Clock, SystemClock
from ecs_agent.core.delivery.event_filter import EventFilter
from ecs_agent.core.delivery.event_stream import EventStream
from ecs_agent.core.delivery.policy import Delivery, EveryDelta
from ecs_agent.core.entity import Entity, request
from ecs_agent.core.event_bus import EventBus
from ecs_agent.core.inbox import Letter, deliver
from ecs_agent.core.loading import load
from ecs_agent.core.log import EventKind, Log, MemoryLog
from ecs_agent.core.outcome import EndReason
from ecs_agent.core.row import EntityIdGenerator
from ecs_agent.core.running.engine import Engine
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.state import State, seed_of
from ecs_agent.core.stats import WorldStats, survey
from ecs_agent.core.storage import Storage
from ecs_agent.core.tasks import gather
from ecs_agent.types import EntityId

T = TypeVar("T")

_logger = logging.getLogger("ecs_agent.core.world")


class World(Storage):
    """Entities, their components, the systems that act on them, and the log of what happened.

    Args:
        journal: where facts go; a `MemoryLog` by default.
        clock: where time comes from; the machine's clocks by default.
        ids: where entity ids come from.
        rng: the source of every entity's randomness; give a seeded one to reproduce a run.
        checked: refuse with `ForeignWriteError` what a system must not do, changing another entity than its own; for tests, as it costs time.
    """

    def __init__(
        self,
        journal: Log | None = None,
        clock: Clock | None = None,
        ids: EntityIdGenerator | None = None,
        rng: Random | None = None,
        *,
        checked: bool = False,
    ) -> None:
        super().__init__(
            State(
                journal if journal is not None else MemoryLog(),
                clock if clock is not None else SystemClock(),
                ids if ids is not None else EntityIdGenerator(),
                seed_of(rng),
            )
        )
        self.state.acting = {} if checked else None
        self.schedule = Schedule()

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
            try:
                registered(self)
            except BaseException:
                self.schedule.remove(entry)
                raise
        if self.engine is not None:
            self.engine.registered(entry)

    def emit(self, entity: EntityId, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under an entity and wake its subscribers. Never waits.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        self.state.record(self.state.row(entity), event, kind)

    def send(self, to: EntityId, content: object) -> Letter:
        """Send something to an entity, from outside of any: it stands in its `InboxComponent`, the sender is None. Systems use `me.send`.

        A letter is for the systems that take it. To say something to an agent, use `append_message` or `agent.run`.

        Raises:
            EntityNotFoundError: there is no such entity.
            InboxFullError: it has not taken its letters for too long.
        """
        return deliver(self.state, None, to, content)

    def request(self, entity: EntityId, change: Callable[[Entity], None]) -> None:
        """Change an entity through a lease: at once, or as soon as no call runs on it. `change` is a plain function; see `Entity.request`.

        Raises:
            EntityNotFoundError: there is no such entity.
            RequestsFullError: too many requests wait for it.
        """
        request(self.state, None, entity, change)

    def report(self, event: object) -> None:
        """Append an event of the world itself, which belongs to no entity. Never waits."""
        self.state.report(event)

    def events(
        self,
        entity: EntityId | None = None,
        *,
        types: Collection[type] = (),
        query: Collection[type] = (),
        without: Collection[type] = (),
        policy: Delivery | None = None,
        limit: int | None = None,
    ) -> EventStream:
        """Watch events from now on. Leaving the iteration never stops an agent.

        Args:
            entity: whose, until it is deleted; None for those of all entities and of the world itself.
            types: of exactly these types; all by default.
            query: of entities that have all of these components.
            without: of entities that have none of these components.
            policy: how they wait for a slow reader; `EveryDelta()` by default.
            limit: short for `policy=EveryDelta(limit)`.

        Raises:
            ValueError: both a policy and a limit were given.
            EntityNotFoundError: there is no such entity.
        """
        if entity is not None:
            self.state.row(entity)
        if policy is not None and limit is not None:
            raise ValueError("give world.events a policy or a limit, not both; limit=n is short for policy=EveryDelta(n)")
        which = EventFilter(frozenset(types), frozenset(query), frozenset(without))
        return self.event_bus.open(entity, which=which, policy=EveryDelta(limit) if limit is not None else policy)

    @staticmethod
    async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines side by side, in an order that a seed reproduces; see `ecs_agent.core.tasks.gather`."""
        return await gather(coroutines)

    # History

    async def commit(self) -> int:
        """Wait until everything so far is safe in the journal, and return the position behind it; at once if there is no journal.

        Raises:
            JournalError: it could not be written.
        """
        return await self.log.commit()

    def at(self, pos: int) -> World:
        """This world as it was behind the fact at a position: a World of its own, without systems, that shares nothing with this one but what
        is frozen and the live providers and tools. Register systems to have it go on from there, another way.

        Raises:
            NoHistoryError: this world keeps no history (`store.open_world`), or there is no such position.
        """
        past = World(clock=self.clock)
        load(past.state, self.log.state_at(pos))
        return past

    # Life

    async def process(self) -> None:
        """One tick: one step of every entity that is due, world systems once each as meetings in between, all calls awaited.

        Raises:
            WorldBusyError: a run or another tick is active.
            WorldClosedError: the world was closed.
            Exception: what a world system raised, an ExceptionGroup if several did. The failure of an entity's call becomes its
                `ErrorComponent` instead.
        """
        await self.until_vacant()
        engine = self.begin(one_step=True)
        await engine.run()
        if len(engine.failures) == 1:
            raise engine.failures[0]
        if engine.failures:
            raise ExceptionGroup("several world systems failed", engine.failures)

    def stop(self, *, after_step: bool = False) -> None:
        """End the run that is active, if one is; its `run` or `serve` returns with the reason `stopped`.

        Args:
            after_step: let everyone finish the step in hand, an answer and the tool calls it asked for, before; else running calls are cancelled,
                and what had arrived is kept.
        """
        engine = self.engine
        if engine is not None and after_step:
            engine.finish_soon()
        elif engine is not None:
            engine.stop_soon(EndReason.STOPPED)

    def stats(self) -> WorldStats:
        """What every entity does at the moment, and how far the log is."""
        return survey(self.state, self.engine.lives if self.engine is not None else ())

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in the World's event loop, from any thread. It is how everything from other threads enters.

        Raises:
            RuntimeError: nothing runs in this world at the moment.
        """
        engine = self.engine
        if engine is None:
            raise RuntimeError("no run is active in this world, so there is no event loop to call into")
        engine.loop.call_soon_threadsafe(callback, *args)

    def on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have something ended with the World; the last one added is ended first."""
        self.state.resources.on_close(callback)

    async def aclose(self) -> None:
        """End everything the World owns: the run, its calls, handlers, event streams, its journal. Safe to call twice.

        Raises:
            Exception: what a callback of `on_close` raised, or the journal (`JournalError`), an ExceptionGroup if several did; everything else was
                ended all the same.
        """
        self._closed = True
        if self.engine is not None:
            await self.engine.stop()
        failures = await self.state.resources.aclose()
        await self.event_bus.close()
        try:
            await self.log.aclose()
        except Exception as error:  # noqa: BLE001 - it is raised below, with the others
            failures.append(error)
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("several things could not be closed", failures)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.aclose()
        except Exception as failure:
            if error is None:
                raise
            if not isinstance(error, Exception):  # the process or the task is being ended, which goes on
                _logger.exception("a world could not be closed properly")
                return
            failure.add_note(f"It failed while this was on its way: {type(error).__name__}: {error}")
            raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("a World holds live objects (tasks, sockets) and cannot be pickled or copied; its components are data and can be saved")

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closed

    # For runners

    async def until_vacant(self) -> None:
        """Wait until a run that was told to end, as one that served the last `agent.ask`, has ended."""
        while (engine := self.engine) is not None and engine.stopping:
            await engine.over()

    def begin(self, *, one_step: bool = False, max_ticks: int | None = None, grace: float = 5.0) -> Engine:
        """An engine that is about to move this world; see `Engine` for the arguments.

        Raises:
            WorldBusyError: a run or a tick is active already.
            WorldClosedError: the world was closed.
        """
        self._check_open()
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
