"""Making one call of an entity system, and what follows when it fails, is cancelled, or will not end.

A call is cancelled, never the driver it runs in. Whatever ended it too early, its system's `settle(me)` is called right after, once and without
awaiting, so that the data it leaves is valid; a failure then becomes the entity's `ErrorComponent`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ecs_agent.core.component import ErrorComponent, QuarantineComponent
from ecs_agent.core.entity import Entity
from ecs_agent.core.events import CallLeaked, EntityQuarantined
from ecs_agent.core.life import EndReason, Life
from ecs_agent.core.row import Call
from ecs_agent.core.schedule import EntityEntry
from ecs_agent.core.state import State
from ecs_agent.errors import NoProgressError
from ecs_agent.types import ErrorOccurredEvent

_logger = logging.getLogger("ecs_agent.core.calls")

NO_PROGRESS_CALLS = 3
MAX_FAILURES = 3
FAILURE_WINDOW = 60.0


class Calls:
    """Makes the calls of one run.

    Args:
        state: where they write.
        grace: seconds a cancelled call may take to end before it is left behind.
        on_leak: told of a life whose driver waits for nothing but calls that were left behind, so that it gets a new one.
        ending: whether the run is being ended, so that a cancel which reaches a call comes from outside of it.
    """

    def __init__(self, state: State, grace: float, on_leak: Callable[[Life], None], ending: Callable[[], bool]) -> None:
        self._state = state
        self._grace = grace
        self._on_leak = on_leak
        self._ending = ending

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

    async def make(self, life: Life, entry: EntityEntry) -> None:
        """Call a system on an entity. Raises nothing but a cancel from outside."""
        row, task = life.row, asyncio.current_task()
        assert task is not None  # noqa: S101 - the engine runs in tasks
        if row.id not in self._state.rows or not entry.matches(row.types):
            return  # it changed between being found due and now
        call = Call(entry, Entity(self._state, row, entry), task, lambda cancelled: self._watch(life, cancelled))
        cancels_before = task.cancelling()
        row.calls.append(call)
        row.seen[entry] = row.stamp
        if entry.when is not None:
            stamp, count = life.tries.get(entry, (-1, 0))
            life.tries[entry] = (row.stamp, count + 1 if stamp == row.stamp else 1)
        error: BaseException | None = None
        try:
            await entry.call(*entry.arguments(row.components, call.lease))
        except (Exception, SystemExit, asyncio.CancelledError) as caught:  # noqa: BLE001 - a system may raise anything; it fails its entity only
            error = caught
        except BaseException:  # the process is being ended (KeyboardInterrupt), or its loop was closed over us (GeneratorExit)
            call.lease.revoke()
            row.calls.remove(call)
            raise
        if call.leaked:
            return
        cancelled = isinstance(error, asyncio.CancelledError) and call.reason is None and task.cancelling() > cancels_before
        from_outside = cancelled and self._ending()
        if call.reason is not None:
            await _absorb_cancel(task, arrived=isinstance(error, asyncio.CancelledError))
        elif cancelled and not from_outside:
            _uncancel(task, cancels_before)  # the call cancelled the task it runs in: its own failure, and not its driver's end
        self._finish(life, call, error, stopped=from_outside or call.reason is not None)
        if from_outside and error is not None:
            row.seen.pop(entry, None)  # the work was not done: the next run makes this call again
            raise error
        if life.stuck and not row.calls:
            self._on_leak(life)

    def _finish(self, life: Life, call: Call, error: BaseException | None, *, stopped: bool) -> None:
        row, entry = life.row, call.entry
        call.lease.revoke()
        row.calls.remove(call)
        if call.timer is not None:
            call.timer.cancel()
        if row.id not in self._state.rows:
            return
        self._state.compare(row, entry)
        if stopped or error is not None:
            self._settle(life, entry)
        if error is not None and not stopped:
            self.failed(life, entry, error)

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
        sentence = str(error) or type(error).__name__
        _logger.debug("%s failed on entity %s", entry.name, row.id, exc_info=error)
        life.error = error
        if QuarantineComponent in row.components:
            life.ended = EndReason.QUARANTINED  # a system that runs even in quarantine must not fail for ever
        kind = getattr(error, "kind", None)
        failed = ErrorComponent(sentence, entry.name, state.clock.now() / 1e9, str(kind) if kind else None, bool(getattr(error, "retryable", False)))
        state.put(row, failed, entry)
        state.record(row, ErrorOccurredEvent(row.id, sentence, entry.name))
        now = state.clock.monotonic()
        life.failures = [*[at for at in life.failures if now - at < FAILURE_WINDOW], now]
        if len(life.failures) >= MAX_FAILURES and QuarantineComponent not in row.components:
            reason = f"{len(life.failures)} failures within {FAILURE_WINDOW:.0f} s, the last: {sentence}"
            state.put(row, QuarantineComponent(reason), entry)
            state.record(row, EntityQuarantined(row.id, reason))

    def _watch(self, life: Life, call: Call) -> None:
        call.timer = asyncio.get_running_loop().call_later(self._grace, self._leave_behind, life, call)

    def abandon(self, life: Life) -> None:
        """Leave behind what still runs on an entity at the end of a run; the next run makes these calls again."""
        for call in list(life.row.calls):
            life.row.seen.pop(call.entry, None)
            self._leave_behind(life, call)

    def _leave_behind(self, life: Life, call: Call) -> None:
        row, leaked = life.row, CallLeaked(life.row.id, call.entry.name)
        call.leaked = True
        call.lease.revoke()
        if call.timer is not None:
            call.timer.cancel()
        row.calls.remove(call)
        _logger.error("%s on entity %s did not end within %s s after its cancel", call.entry.name, row.id, self._grace)
        if row.id in self._state.rows:
            self._state.record(row, leaked)
            self._settle(life, call.entry)
        else:
            self._state.report(leaked)
        life.stuck = True
        if not row.calls:
            self._on_leak(life)


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
