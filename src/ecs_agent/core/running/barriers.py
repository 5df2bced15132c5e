"""World systems in a run: when each is due, and how those of one priority meet.

A world system gets one tick at the start of a run, also without entities, and later only after a change that it did not make itself. All of
one priority run together, alone; one that raises does not cancel the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ecs_agent.core.entry import WorldEntry
from ecs_agent.core.events import WorldSystemFailed
from ecs_agent.core.outcome import sentence
from ecs_agent.core.state import State
from ecs_agent.core.tasks import gather

Process: TypeAlias = Callable[[WorldEntry], Awaitable[None]]


@dataclass(slots=True)
class _Part:
    """A world system's part in a run: up to which change it has seen, and how often it ran."""

    seen: int = -1
    ticks: int = 0


class Barriers:
    """The world systems of one run.

    Args:
        state: what they see.
        systems: those registered so far.
        process: gives one of them the world.
        once: each runs exactly once, as in a tick.
        max_ticks: how often each may run at most; None for no limit.
        ending: whether the run is being ended, so that a cancel which reaches a system comes from outside of it.
    """

    def __init__(
        self, state: State, systems: Sequence[WorldEntry], process: Process, *, once: bool, max_ticks: int | None, ending: Callable[[], bool]
    ) -> None:
        self._state = state
        self._call = process
        self._ending = ending
        self._max_ticks = 1 if once else max_ticks
        self._once = once
        self.parts = {entry: _Part() for entry in systems}
        self._meeting: list[_Part] = []
        self._acting: dict[asyncio.Task[object] | None, _Part] = {}
        self._stamp = 0
        self.failures: list[Exception] = []

    def add(self, entry: WorldEntry) -> None:
        """Take in a system that was registered during the run."""
        self.parts[entry] = _Part()

    def changed(self) -> None:
        """Something changed. The system that made the change has seen it; when it is unclear which of those that meet did, all have."""
        before = self._stamp
        self._stamp = before + 1
        if not self._meeting:
            return
        acting = self._acting.get(asyncio.current_task())
        for part in self._meeting if acting is None else (acting,):
            if part.seen == before:
                part.seen = self._stamp

    def above(self, priority: float) -> int | None:
        """The lowest priority above this one at which a world system is due."""
        return min([entry.priority for entry in self.parts if entry.priority > priority and self._due(entry)], default=None)

    def due(self) -> list[WorldEntry]:
        """Those that are due at the lowest priority."""
        found = [entry for entry in self.parts if self._due(entry)]
        lowest = min([entry.priority for entry in found], default=None)
        return [entry for entry in found if entry.priority == lowest]

    def _due(self, entry: WorldEntry) -> bool:
        part = self.parts[entry]
        if self._max_ticks is not None and part.ticks >= self._max_ticks:
            return False
        return self._once or part.seen < self._stamp

    async def meet(self, entries: list[WorldEntry]) -> None:
        """Run them together; what they raise is kept in `failures`. Afterwards every entity is compared, since they may have changed any in place."""
        self._meeting = [self.parts[entry] for entry in entries]
        for part in self._meeting:
            part.ticks += 1
            part.seen = self._stamp
        try:
            failures = [await self._process(entries[0])] if len(entries) == 1 else await gather([self._process(entry) for entry in entries])
            for row in list(self._state.rows.values()):
                if not row.calls:  # a call that waits for others during a meeting is in the middle of its changes
                    self._state.compare(row)
        finally:
            self._meeting = []
            self._acting.clear()
        self.failures += [error for error in failures if error is not None]

    def left(self, entries: list[WorldEntry], grace: float) -> None:
        """Report those that did not end when their meeting was cancelled."""
        names = ", ".join([entry.name for entry in entries])
        self._state.report(WorldSystemFailed(names, f"did not end within {grace} s after the cancel"))

    async def _process(self, entry: WorldEntry) -> Exception | None:
        self._acting[asyncio.current_task()] = self.parts[entry]
        try:
            await self._call(entry)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # one that raises does not cancel the others
            if isinstance(error, asyncio.CancelledError) and self._ending():
                raise
            self._state.report(WorldSystemFailed(entry.name, f"{type(error).__name__}: {sentence(error)}"))
            return as_exception(entry.name, error)
        return None


def as_exception(name: str, error: BaseException) -> Exception:
    """What a world system raised, to be raised again; something stands for a SystemExit, or a CancelledError that nobody sent: raised as they
    are, both would end more than this run.
    """
    if isinstance(error, Exception):
        return error
    failure = RuntimeError(f"{name} raised {error!r}")
    failure.__cause__ = error
    return failure
