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
from collections.abc import Collection

from ecs_agent.core.entry import EntityEntry, Entry, WorldEntry
from ecs_agent.core.lease import Lease
from ecs_agent.core.outcome import EndReason, Outcome
from ecs_agent.core.row import Row
from ecs_agent.core.running.arrivals import Arrivals
from ecs_agent.core.running.barriers import Barriers, Process
from ecs_agent.core.running.calls import Calls
from ecs_agent.core.running.joins import Joins
from ecs_agent.core.running.life import START, Life
from ecs_agent.core.running.retries import Retries
from ecs_agent.core.running.steps import Steps
from ecs_agent.core.running.sweep import SWEEP_AFTER, Sweep
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.state import State
from ecs_agent.core.tasks import cancel_all, ended, gather, pause
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
        self._grace = grace
        self._lives: dict[EntityId, Life] = {}
        self._calls = Calls(state, grace, self)
        arriving = [] if one_step else [entry for entry in schedule.world_systems if entry.waits_for_nobody]
        meeting = [entry for entry in schedule.world_systems if entry not in arriving]
        self._barriers = Barriers(state, meeting, process, once=one_step, max_ticks=max_ticks, ending=self.ending)
        self._steps = Steps(state, schedule, self._calls, self._barriers, one_step=one_step, max_ticks=max_ticks)
        self._next = self._steps.next
        self._arrivals = Arrivals(state, arriving, process, max_ticks, self._awake)
        self._joins = Joins(state, self._lives, self._awake)
        self._retries = Retries(state, self._awake)
        self._meeting: asyncio.Task[None] | None = None
        self._ready: deque[Life] = deque()
        self._driving: dict[Life, None] = {}
        self._wake: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._sweeping = Sweep(state, self._enqueue)
        self._stop_reason: EndReason | None = None
        self._fault: Exception | None = None

    # What the World tells the engine

    def changed(self, row: Row) -> None:
        """An entity changed: look whether something is due on it."""
        if self._barriers.parts:
            self._barriers.changed()
        if self._arrivals.parts:
            self._arrivals.changed()
        life = self._lives.get(row.id)
        if life is not None:
            if life.retry is not None or life in self._retries.halted:
                self._retries.look(life)
            if life.driver is not None:
                return  # its driver looks after each call
        self._enqueue(row)
        if not self._driving:
            self._awake()  # a world system may be due although no entity system is

    def gone(self, row: Row) -> None:
        """An entity was deleted."""
        self._barriers.changed()
        self._arrivals.changed()
        life = self._lives.pop(row.id, None)
        if life is not None:
            self._retries.cancel(life)
            life.ended = EndReason.DELETED
            life.release()
        self._awake()

    def forgive(self, row: Row) -> None:
        """New input for an entity: its failures and limits no longer count."""
        life = self._lives.get(row.id)
        if life is not None:
            self._retries.cancel(life)
            life.forgive()

    def registered(self, entry: Entry) -> None:
        """A system was added during the run."""
        if isinstance(entry, WorldEntry):
            (self._arrivals if entry.waits_for_nobody and not self.one_step else self._barriers).add(entry)
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
            for life in list(self._lives.values()):
                self._retries.resume(life)
            self._arrivals.begin()
            await self._turn_over(forever=forever)
        finally:
            await self._end()
        if self._fault is not None:
            raise self._fault
        return {entity: life.outcome() for entity, life in self._lives.items()}

    async def _turn_over(self, *, forever: bool) -> None:
        while self._stop_reason is None and self._fault is None:
            self._start_ready()
            if self._arrivals.busy or self._working():
                await self._sleep()
            elif (group := self._barriers.due()) and self._may_meet():
                await self._meet(group)
            elif self._driving:
                await self._sleep()
            elif self.finishing:
                self.stop_soon(EndReason.STOPPED)
            elif forever:
                await self._rest()
            elif not self._sweep() and not await self._waited():
                return
            if self._arrivals.failures and not self._arrivals.busy:
                self.stop_soon(EndReason.SYSTEM_FAILED)

    def _working(self) -> bool:
        """Whether a call runs that does not only wait for others. Those that do hold up no barrier, since whom they wait for may stand at it."""
        return len(self._joins) < len(self._driving) or not all(map(self._joins.only_waits, self._driving))

    def _may_meet(self) -> bool:
        """Whether world systems may meet: when the run finishes, only for those who wait at the barrier in the middle of a step."""
        return not self.finishing or any(life.parked and life.place != START for life in self._lives.values())

    async def _waited(self) -> bool:
        """Wait for another try after a failure, or for busy handlers, at most the grace; whether something happened meanwhile."""
        if self._retries and not self.one_step:
            await self._sleep()
            return True
        if not self._state.bus.busy:
            return False
        self._wake = wake = self.loop.create_future()
        try:
            await self._state.bus.drain(self._grace, wake)
        finally:
            self._wake = None
        return wake.done()

    async def _meet(self, group: list[WorldEntry]) -> None:
        self._arrivals.hold()
        self._meeting = meeting = self.loop.create_task(self._barriers.meet(group), name="world systems")
        meeting.add_done_callback(lambda _: self._awake())
        try:
            while not meeting.done() and self._stop_reason is None:
                await self._sleep()
        finally:
            if not meeting.done() and await cancel_all([meeting], self._grace):
                self._barriers.left(group, self._grace)
            self._meeting = None
        if meeting.done() and not meeting.cancelled():
            meeting.result()  # raises what was a fault of the engine itself
        if self._barriers.failures:
            self.stop_soon(EndReason.SYSTEM_FAILED)
        waited = [life for life in self._lives.values() if life.parked]
        for life in waited:
            life.parked, life.queued = False, True
        self._ready.extendleft(reversed(waited))  # before those who came to be due during the meeting
        if not self.finishing:
            self._arrivals.begin()

    @property
    def failures(self) -> list[Exception]:
        """What world systems raised."""
        return [*self._barriers.failures, *self._arrivals.failures]

    @property
    def stopping(self) -> bool:
        """Whether the run was told to end."""
        return self._stop_reason is not None

    @property
    def finishing(self) -> bool:
        """Whether the run was told to end after the steps in hand."""
        return self._steps.finishing

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

    def finish_soon(self) -> None:
        """End the run when everyone has finished the step in hand: no call is cancelled, and no entity begins another step."""
        self._steps.finishing = True
        self._arrivals.hold()
        for life in self._retries.waiting:
            self._retries.cancel(life)
            life.ended = EndReason.STOPPED
            if life.at_rest:
                life.release()
        self._awake()

    @property
    def lives(self) -> Collection[Life]:
        """The lives of all entities that some system knows."""
        return self._lives.values()

    def settled(self, entity: EntityId) -> asyncio.Future[Outcome]:
        """A future of how an entity comes to rest; done at once when nothing is due on it."""
        return self._joins.settled(entity)

    async def join(self, lease: Lease, entity: EntityId) -> Outcome:
        """Wait, in the call of a lease, until another entity comes to rest."""
        outcome = await self._joins.wait(lease, entity)
        if self._meeting is not None:
            await ended(self._meeting)  # during a meeting nobody else runs
        return outcome

    async def _end(self) -> None:
        self._stop_reason = self._stop_reason or EndReason.STOPPED
        for life in [life for life in self._lives.values() if not life.at_rest]:
            life.ended = life.ended or self._stop_reason
        drivers = [life.driver for life in self._driving if life.driver is not None]
        try:
            await cancel_all([*self._arrivals.end(), *drivers], self._grace)
            self._abandon()
        finally:
            for life in self._driving:
                self._calls.let_go(life)  # a second cancel has cut the waiting short
            self._state.run = None
            for life in self._lives.values():
                life.queued = life.parked = False
                life.driver = None
                life.cancel_retry()
                life.release()
            self._over.set_result(None)

    def _abandon(self) -> None:
        self._arrivals.abandon(self._grace)
        for life in list(self._driving):
            if life.driver is not None and not life.driver.done():
                self._calls.abandon(life)

    def ending(self) -> bool:
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
        """Look at everyone once more; whether there is something to do after all."""
        self._sweeping.at_once()
        self._start_ready()
        return bool(self._driving or self._arrivals.busy or self._barriers.due())

    async def _rest(self) -> None:
        """Sleep until something happens; after a while without it, look at everyone once more."""
        timer = self.loop.call_later(SWEEP_AFTER, self._awake) if self._sweeping.is_due else None
        try:
            await self._sleep()
        finally:
            if timer is not None:
                timer.cancel()
        if timer is not None and self.loop.time() >= timer.when():
            await self._sweeping.bit_by_bit(self._go_on)

    def _go_on(self) -> bool:
        self._start_ready()
        return self._stop_reason is None

    # What calls tell the engine

    def try_again(self, life: Life, delay: float) -> None:
        """A call on this life failed and is to be made again after so many seconds."""
        if life.ended is None and not self.one_step and not self.finishing:
            self._retries.add(life, delay)

    def ended_beside(self, life: Life) -> None:
        """A call on this life has ended, others go on: if they all wait, it may now stand in a circle."""
        if self._joins:
            self._joins.look(life.row.id)

    # What is due

    def _enqueue(self, row: Row) -> None:
        life = self._lives.get(row.id)
        if life is None:
            if not self._schedule.concerns(row.types):
                return
            life = self._lives[row.id] = Life(row)
        if life.is_free and life.ended is None and not life.stepped:
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
        driver = life.driver
        assert driver is not None  # noqa: S101 - it is set before this begins
        try:
            while group is not None:
                if not group:
                    await pause()  # a system that never suspends must not keep the others from running
                elif len(group) == 1:
                    await self._calls.make(life, group[0], driver)
                else:
                    await gather([self._calls.make(life, entry, None) for entry in group])
                if life.driver is not driver:
                    return  # this driver was left behind with a call that would not end
                group = self._next(life)
        except Exception as error:  # noqa: BLE001 - a fault of the engine itself must end the run loudly
            self._fault = error
        finally:
            if life.driver is driver:
                self._retire(life)

    def _retire(self, life: Life) -> None:
        self._sweeping.is_due = True
        life.driver = None
        life.stuck = False
        del self._driving[life]
        if life.ended is not None:
            self._retries.cancel(life)  # one call failed, another was in a deadlock
        if life.at_rest:
            life.release()
        self._awake()

    def leaked(self, life: Life) -> None:
        """The driver of this life waits for nothing but calls that were left behind; it gets a new one."""
        if life.driver is not None:
            life.queued = True  # its step goes on with a new driver
            self._ready.append(life)
            self._retire(life)
