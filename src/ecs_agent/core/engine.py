"""The engine: how entities move through the schedule, each at its own pace, and meet only at world systems.

* An entity with something due has a *driver*, one task that makes its calls one after another; with nothing due it has none.
* A step goes from the lowest priority upwards; what becomes due again at a priority already passed waits for the next step.
* Due systems of one priority run together when none writes what another touches, else in registration order.
* A barrier waits until no driver runs and nobody has anything due below it; then the world systems of its priority run together, alone.
* Before the engine ends or sleeps, every entity is compared and matched once more, so edits from outside are found.
* A run ends when nothing is due and no handler is busy; what a handler changes is still taken up.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ecs_agent.core.barriers import Barriers, Process
from ecs_agent.core.calls import Calls
from ecs_agent.core.events import WorldSystemFailed
from ecs_agent.core.life import START, EndReason, Life, Outcome
from ecs_agent.core.row import Row
from ecs_agent.core.schedule import EntityEntry, Entry, Schedule, WorldEntry
from ecs_agent.core.state import State
from ecs_agent.core.tasks import cancel_all, gather
from ecs_agent.errors import WorldBusyError
from ecs_agent.types import EntityId


class Engine:
    """One run or one tick of a world.

    Args:
        state: what to move.
        schedule: by which systems.
        process: gives a world system the world.
        one_step: end each entity after one step, and run each world system once.
        max_ticks: steps per entity and ticks per world system after which each of them ends; None for no limit.
        grace: seconds a cancelled call, and at the end a handler, may take before it is left behind.

    Raises:
        WorldBusyError: a run or a tick is active already.
    """

    def __init__(
        self, state: State, schedule: Schedule, process: Process, *, one_step: bool = False, max_ticks: int | None = None, grace: float = 5.0
    ) -> None:
        if state.run is not None:
            raise WorldBusyError("a run or tick is already active in this world; await it, or use another World")
        self.loop = asyncio.get_running_loop()
        self.one_step = one_step
        self._task = asyncio.current_task()
        self._cancels = self._task.cancelling() if self._task is not None else 0
        self._state = state
        self._schedule = schedule
        self._max_ticks = max_ticks
        self._grace = grace
        self._calls = Calls(state, grace, self._leaked, self._ending)
        self._barriers = Barriers(state, schedule.world_systems, process, once=one_step, max_ticks=max_ticks, ending=self._ending)
        self._lives: dict[EntityId, Life] = {}
        self._ready: deque[Life] = deque()
        self._driving: dict[Life, None] = {}
        self._wake: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._stop_reason: EndReason | None = None
        self._fault: Exception | None = None

    # What the World tells the engine

    def changed(self, row: Row) -> None:
        """An entity changed: look whether something is due on it."""
        self._barriers.changed()
        self._enqueue(row)
        if not self._driving:
            self._awake()  # a world system may be due although no entity system is

    def gone(self, row: Row) -> None:
        """An entity was deleted."""
        self._barriers.changed()
        life = self._lives.pop(row.id, None)
        if life is not None:
            life.ended = EndReason.DELETED
            life.release()
        self._awake()

    def forgive(self, row: Row) -> None:
        """New input for an entity: its failures and limits no longer count."""
        life = self._lives.get(row.id)
        if life is not None:
            life.forgive()

    def registered(self, entry: Entry) -> None:
        """A system was added during the run."""
        if isinstance(entry, WorldEntry):
            self._barriers.add(entry)
            self._awake()
        for row in self._state.rows.values():
            self._enqueue(row)

    # Running

    async def run(self, *, forever: bool = False) -> dict[EntityId, Outcome]:
        """Move every entity until nothing is due, or, with `forever`, until stopped; then return how each came to rest."""
        self._state.run = self
        try:
            self._state.bus.resume()
            for row in list(self._state.rows.values()):
                self._enqueue(row)
            await self._turn_over(forever=forever)
        finally:
            await self._end()
        if self._fault is not None:
            raise self._fault
        return {entity: life.outcome() for entity, life in self._lives.items()}

    async def _turn_over(self, *, forever: bool) -> None:
        while self._stop_reason is None and self._fault is None:
            self._start_ready()
            if self._driving:
                await self._sleep()
            elif group := self._barriers.due():
                await self._meet(group)
            elif self._sweep():
                continue
            elif forever:
                await self._sleep()
            elif not await self._heard_out():
                return

    async def _heard_out(self) -> bool:
        """Wait for busy handlers, at most the grace; whether something happened meanwhile."""
        if not self._state.bus.busy:
            return False
        self._wake = wake = self.loop.create_future()
        try:
            await self._state.bus.drain(self._grace, wake)
        finally:
            self._wake = None
        return wake.done()

    async def _meet(self, group: list[WorldEntry]) -> None:
        meeting = self.loop.create_task(self._barriers.meet(group), name="world systems")
        meeting.add_done_callback(lambda _: self._awake())
        try:
            while not meeting.done() and self._stop_reason is None:
                await self._sleep()
        finally:
            if not meeting.done():
                await cancel_all([meeting], self._grace)
                self._left(meeting, group)
        if meeting.done() and not meeting.cancelled():
            meeting.result()  # raises what was a fault of the engine itself
        if self._barriers.failures:
            self.stop_soon(EndReason.SYSTEM_FAILED)
        waited = [life for life in self._lives.values() if life.parked]
        for life in waited:
            life.parked, life.queued = False, True
        self._ready.extendleft(reversed(waited))  # before those who came to be due during the meeting

    def _left(self, meeting: asyncio.Task[None], group: list[WorldEntry]) -> None:
        if not meeting.done():
            names = ", ".join([entry.name for entry in group])
            self._state.report(WorldSystemFailed(names, f"did not end within {self._grace} s after the cancel"))

    @property
    def failures(self) -> list[Exception]:
        """What world systems raised."""
        return self._barriers.failures

    @property
    def stopping(self) -> bool:
        """Whether the run was told to end."""
        return self._stop_reason is not None

    async def stop(self, reason: EndReason = EndReason.STOPPED) -> None:
        """End the run: cancel every call and wait until the run is over."""
        self.stop_soon(reason)
        await self.over()

    async def over(self) -> None:
        """Wait until the run is over."""
        await asyncio.shield(self._over)

    def stop_soon(self, reason: EndReason) -> None:
        """End the run without waiting for it; the first reason counts."""
        if self._stop_reason is None:
            self._stop_reason = reason
            self._awake()

    def settled(self, entity: EntityId) -> asyncio.Future[Outcome]:
        """A future of how an entity comes to rest; done at once when nothing is due on it."""
        future: asyncio.Future[Outcome] = self.loop.create_future()
        life = self._lives.get(entity)
        if life is None:
            future.set_result(Outcome(EndReason.IDLE if entity in self._state.rows else EndReason.DELETED))
        elif life.at_rest:
            future.set_result(life.outcome())
        else:
            life.waiters.append(future)
        return future

    async def _end(self) -> None:
        self._stop_reason = self._stop_reason or EndReason.STOPPED
        for life in [life for life in self._lives.values() if not life.at_rest]:
            life.ended = life.ended or self._stop_reason
        try:
            await cancel_all([life.driver for life in self._driving if life.driver is not None], self._grace)
            self._abandon()
        finally:
            self._state.run = None
            for life in self._lives.values():
                life.queued = life.parked = False
                life.driver = None
                life.release()
            self._over.set_result(None)

    def _abandon(self) -> None:
        for life in list(self._driving):
            if life.driver is not None and not life.driver.done():
                self._calls.abandon(life)

    def _ending(self) -> bool:
        """Whether this run is being ended, by its own doing or by a cancel of whoever awaits it."""
        return self._stop_reason is not None or (self._task is not None and self._task.cancelling() > self._cancels)

    async def _sleep(self) -> None:
        self._wake = self.loop.create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _sweep(self) -> bool:
        """Compare and match every entity once more; whether there is something to do after all."""
        for row in list(self._state.rows.values()):
            self._state.compare(row)
            self._enqueue(row)
        self._start_ready()
        return bool(self._driving or self._barriers.due())

    # What is due

    def _enqueue(self, row: Row) -> None:
        life = self._lives.get(row.id)
        if life is None:
            if not self._schedule.concerns(row.types):
                return
            life = self._lives[row.id] = Life(row)
        if life.at_rest and life.ended is None and not life.stepped:
            life.queued = True
            self._ready.append(life)
            self._awake()

    def _start_ready(self) -> None:
        while self._ready:
            life = self._ready.popleft()
            life.queued = False
            if life.driver is not None:
                continue  # a predicate failed while it was looked at, which queued it again
            group = self._next(life)
            if group:
                self._driving[life] = None
                life.driver = self.loop.create_task(self._drive(life, group), name=f"entity {life.row.id}")
            elif life.at_rest:
                life.release()

    async def _drive(self, life: Life, group: list[EntityEntry] | None) -> None:
        driver = asyncio.current_task()
        try:
            while group is not None:
                if not group:
                    await asyncio.sleep(0)  # a system that never suspends must not keep the others from running
                elif len(group) == 1:
                    await self._calls.make(life, group[0])
                else:
                    await gather([self._calls.make(life, entry) for entry in group])
                if life.driver is not driver:
                    return  # this driver was left behind with a call that would not end
                group = self._next(life)
        except Exception as error:  # noqa: BLE001 - a fault of the engine itself must end the run loudly
            self._fault = error
        finally:
            if life.driver is driver:
                self._retire(life)

    def _retire(self, life: Life) -> None:
        life.driver = None
        life.stuck = False
        del self._driving[life]
        if life.at_rest:
            life.release()
        self._awake()

    def _leaked(self, life: Life) -> None:
        if life.driver is not None:
            life.queued = True  # its step goes on with a new driver
            self._ready.append(life)
            self._retire(life)

    def _next(self, life: Life) -> list[EntityEntry] | None:
        """The calls to make now: a group of one priority; [] at the end of a step; None when nothing is due, or the entity waits at a barrier."""
        row, types = life.row, life.row.types
        if life.ended is not None or row.id not in self._state.rows:
            return None
        group: list[EntityEntry] = []
        barrier = self._barriers.above(life.place[0])
        for entry in self._schedule.matching(types):
            if entry.place <= life.place:
                continue
            if group and (entry.priority != group[0].priority or any(entry.spec.conflicts(other.spec) for other in group)):
                break
            due = self._calls.due(life, entry)
            if row.types is not types:
                return self._next(life)  # a predicate failed, and the failure is a component
            if due and barrier is not None and entry.priority >= barrier:
                life.parked = True
                return None
            if due:
                group.append(entry)
        if not group:
            return self._step_over(life)
        return self._begin(life, group)

    def _begin(self, life: Life, group: list[EntityEntry]) -> list[EntityEntry] | None:
        if life.place == START:
            if self._max_ticks is not None and life.steps >= self._max_ticks:
                life.ended = EndReason.MAX_TICKS
                return None
            life.steps += 1
        life.place = group[-1].place
        return group

    def _step_over(self, life: Life) -> list[EntityEntry] | None:
        if life.place == START:
            return None
        life.place = START
        if self.one_step:
            life.stepped = True
            return None
        return []
