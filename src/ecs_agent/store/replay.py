"""Replays: a program runs again, its models and tools answered from a recording, and is compared with what it did then.

    with Recording.open("run.db") as recording:
        report = await replay(recording, main)
    report.check()

The same program does the same again, entity by entity and fact by fact, but for times, whatever the speed: ids and randomness come from the recorded
seed, and what came from outside comes again in the recorded order. It takes no time on a `ReplayLoop` (`ecs_agent.testing.replay_loop`).
What a program takes from elsewhere, as from the keyboard or from a model that it asks by itself, is not in the recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ecs_agent.agent import install
from ecs_agent.components import ToolRegistryComponent
from ecs_agent.core import LoopClock, World
from ecs_agent.core.log import Burst, Envelope
from ecs_agent.core.row import EntityIdGenerator
from ecs_agent.errors import DivergenceError, StoreError
from ecs_agent.store.codecs import Codecs, Registration
from ecs_agent.store.diff import ABSENT
from ecs_agent.store.divergence import Comparison, Divergence
from ecs_agent.store.engine import Frame, Snapshot
from ecs_agent.store.facts import FactCodec
from ecs_agent.store.history import History
from ecs_agent.store.memory_engine import MemoryEngine
from ecs_agent.store.recorded_session import Moment, RecordedSession
from ecs_agent.store.recording import Recording
from ecs_agent.store.replayed_outside import ReplayedOutside
from ecs_agent.store.turnstile import Turnstile
from ecs_agent.systems.outside import Outside
from ecs_agent.types import EntityId

Main: TypeAlias = Callable[[World], Awaitable[object]]

GRACE = 5.0
"""Seconds that a program may take to end when it is told to."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of a replay.

    Attributes:
        divergence: the first difference, by its place in the recording; None if there is none.
        hash: SHA-256 over the logs of all entities without times; the same for every replay that did the same.
        facts: how many were compared.
        entities: how many did something.
    """

    divergence: Divergence | None
    hash: str
    facts: int
    entities: int

    def check(self) -> None:
        """See that nothing differs.

        Raises:
            DivergenceError: something does.
        """
        if self.divergence is not None:
            raise DivergenceError(str(self.divergence))


async def replay(
    recording: Recording | RecordedSession,
    main: Main,
    *,
    speed: float = 1.0,
    until: int | None = None,
    components: Iterable[type | Registration] = (),
    systems: Iterable[object] | None = None,
    ignore: Collection[str] = (),
    run_tools: Collection[str] = (),
) -> ReplayReport:
    """Run a program as it was recorded, and compare. It ends with the first difference, with the program, or with the recording.

    Args:
        recording: what is to be done again.
        main: the program; it gets a world of its own.
        speed: recorded seconds in one second of the running event loop, for what comes from outside. What the program itself waits for is not
            shortened.
        until: compare as far as the fact before this position of the recording.
        components: types of your own, if they were registered under other names when this was recorded.
        systems: what is registered before the program begins; by default what agents need, as in `open_world`.
        ignore: fields that may differ, as in "MyComponent.seen_at".
        run_tools: the names of tools that are run all the same, since they act in the world itself, as those that ask another agent. Those that
            take the `Entity` of their agent, as that of `send_message_tool`, are run without being named.

    Raises:
        StoreFormatError: the recording is damaged, or does not hold the beginning of its world.
        Exception: what the program raised, if it did not when it was recorded.
    """
    if not speed > 0:
        raise ValueError(f"speed is {speed}; give recorded seconds in one second, above 0")
    session = recording if isinstance(recording, RecordedSession) else recording.session(until)
    running = _Replay(session, Comparison(session, ignore), speed)
    world = running.world(components, systems, run_tools)
    try:
        await running.to_the_end(world, main)
    finally:
        await running.close(world)
    return running.report()


class _Replay:
    """One replay: who is told what, and when it is over.

    Args:
        session: what was recorded.
        comparison: with it.
        speed: as of `replay`.
    """

    def __init__(self, session: RecordedSession, comparison: Comparison, speed: float) -> None:
        self._session = session
        self._comparison = comparison
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] = self._loop.create_future()
        self._turnstile = Turnstile(session, speed, self._tell)
        self._miss: Divergence | None = None
        self._helpers: list[asyncio.Task[None]] = []
        self._failure: Exception | None = None
        self._history: _Noted | None = None
        self._found: Divergence | None = None

    def world(self, components: Iterable[type | Registration], systems: Iterable[object] | None, run_tools: Collection[str]) -> World:
        """A new world, as that of the recording was."""
        session = self._session
        codecs = Codecs(components)
        history = self._history = _Noted(_Compared(self._comparison, FactCodec(codecs), self._tell), codecs, self._note)
        world = World(history, LoopClock(session.start - round(self._loop.time() * 1e9)))
        world.state.resume(session.seed, 0, EntityIdGenerator(), 0)
        history.begin(world.state)

        def is_inside(entity: EntityId, tool: str) -> bool:
            registry = world.get_component(entity, ToolRegistryComponent)
            handler = None if registry is None else registry.handlers.get(tool)
            return tool in run_tools or getattr(handler, "lease", None) is not None

        world.state.resources.insert(ReplayedOutside(session, self._turnstile, self._missed, is_inside), Outside)
        if systems is None:
            install(world)
        for system in systems or ():
            world.register_system(system)
        return world

    async def to_the_end(self, world: World, main: Main) -> None:
        """Run until there is nothing more to see."""
        program = self._loop.create_task(_called(main, world), name="program")
        self._helpers = [self._loop.create_task(self._stop(world, moment, after_step)) for moment, after_step in self._session.stops]
        try:
            while not program.done() and not self._is_over():
                self._news = self._loop.create_future()
                await asyncio.wait([program, self._news], return_when=asyncio.FIRST_COMPLETED)
            if not program.done():
                self._conclude()
        finally:
            program.cancel()
            await asyncio.wait([program], timeout=GRACE)
        if program.done() and not program.cancelled():
            error = program.exception()
            if isinstance(error, Exception):
                self._failure = error
            elif error is not None:
                raise error

    def _conclude(self) -> None:
        """What happens from now on is our doing, and not the program's."""
        if self._history is not None:
            self._history.flush()
        self._found = self._comparison.divergence or self._miss or self._comparison.missing()
        self._comparison.close()

    async def close(self, world: World) -> None:
        """Close the world; what happens at its end is compared as well."""
        try:
            await world.aclose()
        except (StoreError, ExceptionGroup) as error:
            self._failure = self._failure or error
        finally:
            self._turnstile.close()
            for helper in self._helpers:
                helper.cancel()

    def report(self) -> ReplayReport:
        """What came of it."""
        comparison = self._comparison
        found = self._found if comparison.is_closed else comparison.divergence or self._miss or comparison.missing()
        error = None if self._failure is None else f"{type(self._failure).__name__}: {self._failure}"
        if found is None and self._failure is not None and error != self._session.error:
            raise self._failure
        return ReplayReport(found, comparison.hash, comparison.facts, comparison.entities)

    def _is_over(self) -> bool:
        is_through = self._turnstile.is_through and not self._session.is_complete
        return is_through or self._turnstile.is_stuck or self._comparison.divergence is not None or self._miss is not None

    def _note(self, entity: EntityId, seq: int, pos: int) -> None:
        """An entity has done its facts up to this one, which is before a position of the replay."""
        self._turnstile.note(entity, seq)
        if self._turnstile.is_through and self._comparison.end is None and not self._session.is_complete:
            self._comparison.end = pos

    def _tell(self) -> None:
        if not self._news.done():
            self._news.set_result(None)

    def _missed(self, entity: EntityId, what: str) -> None:
        if self._miss is None:
            self._miss = Divergence(entity, 0, self._turnstile.pos, "request", ABSENT, what)
            self._tell()

    async def _stop(self, world: World, moment: Moment, after_step: bool) -> None:
        await self._turnstile.enter(moment)
        world.stop(after_step=after_step)


async def _called(main: Main, world: World) -> None:
    await main(world)


class _Noted(History):
    """A journal that tells at once what has been done.

    Args:
        engine: where it is kept.
        codecs: of components and events.
        note: told about each entity up to which of its facts it is, and the position behind that.
    """

    def __init__(self, engine: MemoryEngine, codecs: Codecs, note: Callable[[EntityId, int, int], object]) -> None:
        super().__init__(engine, codecs, durability="event")
        self._note = note

    def append(self, envelope: Envelope) -> None:
        """Take the next fact."""
        super().append(envelope)
        if envelope.entity is not None:
            self._note(envelope.entity, envelope.seq, envelope.pos + 1)

    def extend(self, burst: Burst) -> None:
        """Take the next facts, which arrived together."""
        super().extend(burst)
        self._note(burst.entity, burst.seq + len(burst.items) - 1, burst.pos + len(burst.items))


class _Compared(MemoryEngine):
    """An engine that compares what it is given to keep.

    Args:
        comparison: with the recording.
        facts: reads frames.
        differs: called when there is a difference.
    """

    def __init__(self, comparison: Comparison, facts: FactCodec, differs: Callable[[], object]) -> None:
        super().__init__()
        self._comparison = comparison
        self._facts = facts
        self._differs = differs

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        """Keep frames, and compare them."""
        super().write(frames, snapshot)
        for frame in frames:
            self._comparison.take(self._facts.decode(frame.data))
        if self._comparison.divergence is not None:
            self._differs()
