"""Runner: moves a world until every agent is at rest, and never spins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from ecs_agent.core.collector import tuned_gc
from ecs_agent.core.outcome import EndReason, Outcome
from ecs_agent.core.run_sync import run_sync
from ecs_agent.core.running.engine import Engine
from ecs_agent.core.tasks import ended
from ecs_agent.core.world import World
from ecs_agent.errors import WorldBusyError, WorldClosedError
from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class RunResult(Mapping[EntityId, Outcome]):
    """How a run ended: for each entity its `Outcome`, and in `system_errors` what world systems raised (they end the run)."""

    outcomes: Mapping[EntityId, Outcome]
    system_errors: tuple[Exception, ...] = ()

    def __getitem__(self, entity: EntityId) -> Outcome:
        return self.outcomes[entity]

    def __iter__(self) -> Iterator[EntityId]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def errors(self) -> dict[EntityId, BaseException]:
        """The entities whose last call failed, with what it raised."""
        return {entity: outcome.error for entity, outcome in self.outcomes.items() if outcome.error is not None}


class Runner:
    """Runs worlds.

    Args:
        grace: seconds a cancelled call may take to end before it is left behind and reported.
        tune_gc: calm Python's garbage collector while it runs, see `tuned_gc`; for processes with thousands of agents. It begins with a full
            collection, and holds for the whole process.
    """

    def __init__(self, *, grace: float = 5.0, tune_gc: bool = False) -> None:
        self._grace = grace
        self._collector = tuned_gc if tune_gc else nullcontext

    async def run(self, world: World, max_ticks: int | None = None, *, deadline: float | None = None) -> RunResult:
        """Run until nothing is due any more. Failures end up in the result; nothing an agent or a system does is raised here.

        Args:
            world: the world to run.
            max_ticks: at most so many steps of each entity and ticks of each world system; None for no limit.
            deadline: seconds after which running calls and world systems are cancelled; None for none.

        Raises:
            WorldBusyError: a run or a tick is active in this world.
            WorldClosedError: the world was closed.
        """
        if max_ticks is not None and max_ticks < 0:
            raise ValueError(f"max_ticks is {max_ticks}; it must be 0 or more, or None for no limit")
        await world.until_vacant()
        engine = world.begin(max_ticks=max_ticks, grace=self._grace)
        timer = engine.loop.call_later(deadline, engine.stop_soon, EndReason.DEADLINE) if deadline is not None else None
        try:
            with self._collector():
                return RunResult(await engine.run(), tuple(engine.failures))
        finally:
            if timer is not None:
                timer.cancel()

    def run_sync(self, world: World, max_ticks: int | None = None, *, deadline: float | None = None) -> RunResult:
        """As `run`, from a program without an event loop. Ctrl-C stops the world: once after the step in hand, twice at once.

        Raises:
            LoopRunningError: a loop runs in this thread already; use `await runner.run(…)` there.
            KeyboardInterrupt: it was interrupted a third time.
        """
        return run_sync(self.run(world, max_ticks, deadline=deadline), world=world)

    async def serve(self, world: World) -> RunResult:
        """Run, and when nothing is due sleep until something changes; ends when the world is closed, a world system raises, or by a cancel.

        Raises:
            WorldBusyError: a run or a tick is active in this world.
            WorldClosedError: the world was closed.
        """
        await world.until_vacant()
        engine = world.begin(grace=self._grace)
        with self._collector():
            return RunResult(await engine.run(forever=True), tuple(engine.failures))


class Service:
    """Keeps a world running in the background while somebody holds it; when the last one leaves, the run ends.

    Args:
        world: the world to run.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._holders = 0
        self._task: asyncio.Task[None] | None = None

    async def acquire(self) -> Engine:
        """Start the run unless one is active, and return it.

        Raises:
            WorldBusyError: a tick is active in this world; it ends after one step.
            WorldClosedError: the world was closed.
        """
        self._holders += 1
        try:
            while (engine := self._world.engine) is None or engine.stopping:
                if self._world.closed:
                    raise WorldClosedError("this world was closed; create a new one")
                if engine is not None:
                    await engine.over()
                    continue
                if self._task is None or self._task.done():
                    self._task = asyncio.get_running_loop().create_task(self._serve(), name="world")
                await asyncio.sleep(0)
            if engine.one_step:
                raise WorldBusyError("a tick is active in this world, which ends after one step; await it before you ask an agent")
        except BaseException:
            self.release()
            raise
        return engine

    async def _serve(self) -> None:
        try:
            await Runner().serve(self._world)
        except (WorldBusyError, WorldClosedError):
            pass  # somebody was faster; whoever asked for the run sees it for himself

    def release(self) -> None:
        """Leave. When nobody else is left and the run was started here, it is told to end; `aclose` waits for it."""
        self._holders -= 1
        if not self._holders and self._task is not None and not self._task.done() and self._world.engine is not None:
            self._world.engine.stop_soon(EndReason.STOPPED)

    async def aclose(self) -> None:
        """Wait until a run that was told to end has ended."""
        if self._task is not None and not self._holders:
            await ended(self._task)
