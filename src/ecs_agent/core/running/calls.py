"""Making one call of an entity system, and what follows when it fails, is cancelled, or will not end.

A call is cancelled, never the driver it runs in. Whatever ended it too early, its system's `settle(me)` is called right after, once and without
awaiting, so that the data it leaves is valid; a failure then becomes the entity's `ErrorComponent`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, cast

from ecs_agent.core.component import ErrorComponent, QuarantineComponent
from ecs_agent.core.entity import Entity, apply_requests
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.events import CallLeaked, EntityQuarantined, LoopBlocked
from ecs_agent.core.outcome import EndReason, detail, sentence
from ecs_agent.core.row import Call, Row
from ecs_agent.core.running.life import Life
from ecs_agent.core.running.watchdog import driven
from ecs_agent.core.state import State
from ecs_agent.core.supervision import SupervisionComponent, judge
from ecs_agent.errors import NoProgressError
from ecs_agent.types import EntityId, ErrorOccurredEvent

_logger = logging.getLogger("ecs_agent.core.running.calls")

NO_PROGRESS_CALLS = 3


class Overseer(Protocol):
    """Whoever has calls made, and must hear what comes of them."""

    def ending(self) -> bool:
        """Whether the run is being ended, so that a cancel which reaches a call comes from outside of it."""
        ...

    def leaked(self, life: Life) -> None:
        """The driver of this life waits for nothing but calls that were left behind; it needs a new one."""
        ...

    def try_again(self, life: Life, delay: float) -> None:
        """A call on this life failed and is to be tried again after so many seconds."""
        ...

    def ended_beside(self, life: Life) -> None:
        """A call on this life has ended while others go on."""
        ...


class Calls:
    """Makes the calls of one run.

    Args:
        state: where they write.
        grace: seconds a cancelled call may take to end before it is left behind.
        overseer: the run.
    """

    def __init__(self, state: State, grace: float, overseer: Overseer) -> None:
        self._state = state
        self._grace = grace
        self._overseer = overseer
        self._monotonic = state.clock.monotonic

    def due(self, life: Life, entry: EntityEntry) -> bool:
        """Whether a system that matches has something to do; a `when` that raises or stays true without effect is a failure."""
        row = life.row
        if row.calls and any(call.entry is entry for call in row.calls):
            return False
        try:
            wanted = row.stamp > row.seen.get(entry, -1) if entry.when is None else entry.holds(row.components)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a predicate is the user's code
            self.failed(life, entry, error)
            return False
        if entry.when is None:
            return wanted
        stamp, count = life.tries.get(entry, (-1, 0))
        if wanted and stamp == row.stamp and count >= NO_PROGRESS_CALLS:
            del life.tries[entry]
            self.failed(life, entry, NoProgressError(f"'when' of {entry.name} is still true after {count} calls that changed nothing"))
            return False
        return wanted

    async def make(self, life: Life, entry: EntityEntry, task: asyncio.Task[None] | None) -> None:
        """Call a system on an entity, in the driver's task or, among several, in one of its own. Raises nothing but a cancel from outside."""
        row = life.row
        task = task or asyncio.current_task()
        assert task is not None  # noqa: S101 - the engine runs in tasks
        if row.id not in self._state.rows or not entry.matches(row.types):
            return  # it changed between being found due and now
        cancels_before = task.cancelling()
        call = self._begun(life, entry, task)
        error: BaseException | None = None
        try:
            lease = cast("Entity", call.lease)
            running = entry.call(*entry.arguments(row.components, lease))
            await driven(running, lease, self._monotonic, lambda seconds: self._blocked(row.id, entry, seconds))
        except (Exception, SystemExit, asyncio.CancelledError) as caught:  # noqa: BLE001 - a system may raise anything; it fails its entity only
            error = caught
        except BaseException:  # the process is being ended (KeyboardInterrupt), or its loop was closed over us (GeneratorExit)
            call.lease.revoke()
            self._over(row, call)
            raise
        if call.leaked:
            return
        cancelled = isinstance(error, asyncio.CancelledError) and call.reason is None and task.cancelling() > cancels_before
        from_outside = cancelled and self._overseer.ending()
        if call.reason is not None:
            await _absorb_cancel(task, arrived=isinstance(error, asyncio.CancelledError))
        elif cancelled and not from_outside:
            _uncancel(task, cancels_before)  # the call cancelled the task it runs in: its own failure, and not its driver's end
        self._finish(life, call, error, stopped=from_outside or call.reason is not None)
        if from_outside and error is not None:
            row.seen.pop(entry, None)  # the work was not done: the next run makes this call again
            raise error
        if row.calls:
            self._overseer.ended_beside(life)
        elif life.stuck:
            self._overseer.leaked(life)

    def _begun(self, life: Life, entry: EntityEntry, task: asyncio.Task[None]) -> Call:
        row = life.row
        call = Call(entry, Entity(self._state, row, entry, is_driven=True), task, self._monotonic(), lambda cancelled: self._watch(life, cancelled))
        row.calls.append(call)
        if self._state.acting is not None:
            self._state.acting[task] = row
        row.seen[entry] = row.stamp
        if entry.when is not None:
            stamp, count = life.tries.get(entry, (-1, 0))
            life.tries[entry] = (row.stamp, count + 1 if stamp == row.stamp else 1)
        return call

    def _finish(self, life: Life, call: Call, error: BaseException | None, *, stopped: bool) -> None:
        row, entry = life.row, call.entry
        call.lease.revoke()
        self._over(row, call)
        if row.id in self._state.rows:
            self._state.compare(row, entry)
            if stopped or error is not None:
                self._settle(life, entry)
            if error is not None and not stopped:
                self.failed(life, entry, error)
        if row.requests and not row.calls:
            apply_requests(self._state, row)

    def _over(self, row: Row, call: Call) -> None:
        row.calls.remove(call)
        if call.timer is not None:
            call.timer.cancel()
        if self._state.acting is not None:
            self._state.acting.pop(call.task, None)

    def _blocked(self, entity: EntityId, entry: EntityEntry, seconds: float) -> None:
        _logger.warning("%s on entity %s kept the event loop for %.2f s", entry.name, entity, seconds)
        self._state.report(LoopBlocked(entity, entry.name, seconds))

    def _settle(self, life: Life, entry: EntityEntry) -> None:
        if entry.settle is None:
            return
        lease = Entity(self._state, life.row, entry)
        try:
            entry.settle(lease)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as for a call
            self.failed(life, entry, error)
        finally:
            lease.revoke()

    def failed(self, life: Life, entry: EntityEntry, error: BaseException) -> None:
        """Note that a call failed: the entity waits for new input, and after several failures in a short time it is quarantined."""
        state, row = self._state, life.row
        said = sentence(error)
        _logger.debug("%s failed on entity %s", entry.name, row.id, exc_info=error)
        life.error = error
        if QuarantineComponent in row.components:
            life.ended = EndReason.QUARANTINED  # a system that runs even in quarantine must not fail for ever
        verdict = judge(row.components.get(SupervisionComponent), row.failures, state.clock.monotonic(), error)
        row.failures = verdict.failures
        now, kind, retryable = state.clock.now() / 1e9, detail(error, "kind"), detail(error, "retryable") is True
        retry_at = None if verdict.delay is None else now + verdict.delay
        state.put(row, ErrorComponent(said, entry.name, now, str(kind) if isinstance(kind, str) else None, retryable, retry_at), entry)
        state.record(row, ErrorOccurredEvent(row.id, said, entry.name))
        if verdict.quarantined and QuarantineComponent not in row.components:
            reason = f"{len(verdict.failures)} failures within {verdict.window:.0f} s, the last: {said}"
            state.put(row, QuarantineComponent(reason), entry)
            state.record(row, EntityQuarantined(row.id, reason))
        elif verdict.delay is not None:
            self._overseer.try_again(life, verdict.delay)

    def _watch(self, life: Life, call: Call) -> None:
        call.timer = asyncio.get_running_loop().call_later(self._grace, self._leave_behind, life, call)

    def abandon(self, life: Life) -> None:
        """Leave behind what still runs on an entity at the end of a run; the next run makes these calls again."""
        for call in list(life.row.calls):
            life.row.seen.pop(call.entry, None)
            self._leave_behind(life, call)

    def let_go(self, life: Life) -> None:
        """A run is over before these calls are, which were told to end: each keeps its grace, and the next run makes it again."""
        for call in life.row.calls:
            life.row.seen.pop(call.entry, None)
            call.let_go("the run is over")

    def _leave_behind(self, life: Life, call: Call) -> None:
        row, leaked = life.row, CallLeaked(life.row.id, call.entry.name)
        call.leaked = True
        call.lease.revoke()
        self._over(row, call)
        _logger.error("%s on entity %s did not end within %s s after its cancel", call.entry.name, row.id, self._grace)
        if row.id in self._state.rows:
            self._state.record(row, leaked)
            self._settle(life, call.entry)
        else:
            self._state.report(leaked)
        life.stuck = True
        if row.calls:
            self._overseer.ended_beside(life)
            return
        if row.requests:
            apply_requests(self._state, row)
        self._overseer.leaked(life)


async def _absorb_cancel(task: asyncio.Task[object], *, arrived: bool) -> None:
    """Undo our own cancel of the task a call ran in, so that its driver goes on.

    A call can end before its cancel reached it; then the cancel is still on its way and is met here.
    """
    if not arrived:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass  # ours: it was meant for the call that has ended
    task.uncancel()


def _uncancel(task: asyncio.Task[object], count: int) -> None:
    while task.cancelling() > count:
        task.uncancel()
