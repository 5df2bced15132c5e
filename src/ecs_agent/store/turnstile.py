"""The turnstile of a replay: what came from outside comes in again, one after the other, in the order of the recording.

Each waits until everything that was recorded before it has been done again, by whomever, and until its time has come. So an answer cannot overtake
what a program did between two of its pieces, even if that is a little late this time.

Whoever runs the event loop may know better when that is (`FollowingLoop`): timers of a real run were late by some milliseconds, those of a replay on
virtual time never are. A piece that came just before one of them fired, and later than it was due, has to come before it again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, runtime_checkable

from ecs_agent.store.recorded_session import Moment, RecordedSession

PATIENCE: Final = 10.0
"""Seconds behind the recorded time after which nobody believes that what is missing will be done."""

LATE: Final = 0.3
"""Seconds by which a timer of a real run may have been late, as on a machine that had other things to do. More would not make up for what follows
then: two timers of a program that were late together may have changed places as well, of which a recording knows nothing."""

EXACT: Final = 1e-6
"""The same on virtual time: only what is due at once may change places."""


class RecordedInputs(Protocol):
    """What a loop is told about what comes from outside."""

    @property
    def late(self) -> float:
        """So many seconds a timer may be overtaken by what comes in."""
        ...

    def due(self) -> float | None:
        """When the next one is to come in, in the loop's time; None if none may yet."""
        ...

    def let_in(self) -> None:
        """Let it in."""
        ...


@runtime_checkable
class FollowingLoop(Protocol):
    """An event loop that lets inputs in by itself, when it has nothing else to do before."""

    def follow(self, inputs: RecordedInputs) -> None:
        """From now on."""
        ...


class Turnstile:
    """Lets recorded inputs in, in their order. Make it in the event loop in which the replay runs.

    Args:
        session: what was recorded.
        speed: recorded seconds in one of the loop's.
        changed: called when everything has been done again, and when nothing more seems to be.

    Attributes:
        late: see `RecordedInputs`.
        is_stuck: whether it seems that nothing more will be done.
    """

    def __init__(self, session: RecordedSession, speed: float, changed: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._speed = speed
        self._changed = changed
        self._marks = [
            (fact.pos, fact.entity, fact.seq + min(fact.count, session.end - fact.pos) - 1, fact.time)
            for fact in session.facts
            if fact.entity is not None
        ]
        self._done = 0
        self._seqs: dict[int, int] = {}
        self._waiting: list[tuple[int, int, Moment, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._moved = self._loop.time()
        self._first = self._marks[0][3] if self._marks else session.start
        self._watch = self._loop.call_later(PATIENCE, self._look_whether_stuck)
        self._follows = isinstance(self._loop, FollowingLoop)
        self.late = EXACT if session.is_virtual else LATE
        self.is_stuck = False
        if isinstance(self._loop, FollowingLoop):
            self._loop.follow(self)

    @property
    def is_through(self) -> bool:
        """Whether everything that was recorded has been done again."""
        return self._done == len(self._marks)

    @property
    def pos(self) -> int:
        """That of the first recorded fact that has not been done."""
        return self._session.end if self.is_through else self._marks[self._done][0]

    def note(self, entity: int, seq: int) -> None:
        """An entity has done its facts up to this one."""
        if not self._seqs:
            self._began = self._loop.time()
        self._seqs[entity] = seq
        before, marks, seqs = self._done, self._marks, self._seqs
        while self._done < len(marks) and seqs.get(marks[self._done][1] or 0, 0) >= marks[self._done][2]:
            self._done += 1
        if self._done > before:
            self._moved = self._loop.time()
            self._look()
            if self.is_through:
                self._changed()

    def enter(self, moment: Moment) -> asyncio.Future[None]:
        """To be awaited: it is done when something that came from outside may come again."""
        future: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (moment.pos, next(self._numbers), moment, future))
        self._look()
        return future  # awaiting one that is done does not wait

    def close(self) -> None:
        """Nothing more comes in."""
        self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for *_, future in self._waiting:
            future.cancel()

    # For loops

    def due(self) -> float | None:
        """When the next one is to come in; None if none may yet."""
        while self._waiting and self._waiting[0][3].done():  # whoever waited was cancelled
            heapq.heappop(self._waiting)
        if not self._waiting or self._waiting[0][0] > self.pos:
            return None
        return self._time_of(self._waiting[0][2].time) / self._speed + self._began

    def let_in(self) -> None:
        """Let the next one in."""
        if self.due() is not None:
            heapq.heappop(self._waiting)[3].set_result(None)
            self._moved = self._loop.time()

    def _look(self) -> None:
        """See to it that the next one comes in."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.due()
        if due is None:
            return
        if due <= self._loop.time():
            self.let_in()
        elif not self._follows:
            self._timer = self._loop.call_at(due, self._let_in_and_look)

    def _let_in_and_look(self) -> None:
        self.let_in()
        self._look()

    def _time_of(self, time: int) -> float:
        return max(0, time - self._first) / 1e9

    # Getting nowhere

    def _look_whether_stuck(self) -> None:
        """It is when what should be next is overdue, by far, and nothing has moved since."""
        expected = self._began if self.is_through else self._began + self._time_of(self._marks[self._done][3])
        patient_until = max(expected, self._moved) + PATIENCE
        if self._loop.time() < patient_until:
            self._watch = self._loop.call_at(patient_until, self._look_whether_stuck)
        else:
            self.is_stuck = True
            self._changed()
