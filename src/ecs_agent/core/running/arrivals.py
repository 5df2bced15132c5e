"""World systems that meet whoever has arrived (`meets = "arrived"`): they run beside the agents and nobody waits for them.

Such a system gets one tick at the start of a run and another after each change, all changes of one turn of the loop together. Calls on entities
may run at the same time: it reads what it likes, and writes by `world.send` and `world.request`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecs_agent.core.entry import WorldEntry
from ecs_agent.core.events import WorldSystemFailed
from ecs_agent.core.outcome import sentence
from ecs_agent.core.running.barriers import Process, as_exception
from ecs_agent.core.state import State


@dataclass(slots=True)
class _Part:
    """A system's part in a run: up to which change it has seen, how often it ran, and the task it runs in."""

    seen: int = -1
    ticks: int = 0
    task: asyncio.Task[None] | None = None


class Arrivals:
    """The world systems of one run that wait for nobody.

    Args:
        state: what they see.
        systems: those registered so far.
        process: gives one of them the world.
        max_ticks: how often each may run at most; None for no limit.
        ended: told when one of them is at rest.
    """

    def __init__(self, state: State, systems: Sequence[WorldEntry], process: Process, max_ticks: int | None, ended: Callable[[], None]) -> None:
        self._state = state
        self._call = process
        self._max_ticks = max_ticks
        self._ended = ended
        self.parts = {entry: _Part() for entry in systems}
        self._loop = asyncio.get_running_loop()
        self._stamp = 0
        self._starting: asyncio.Handle | None = None
        self._held = False
        self.failures: list[Exception] = []

    def add(self, entry: WorldEntry) -> None:
        """Take in a system that was registered during the run."""
        self.parts[entry] = _Part()
        self._start_soon()

    def changed(self) -> None:
        """Something changed. A system that made the change itself has seen it."""
        before = self._stamp
        self._stamp = before + 1
        if any(part.task is not None for part in self.parts.values()):
            current = asyncio.current_task()
            for part in self.parts.values():
                if part.task is current and part.seen == before:
                    part.seen = self._stamp
        self._start_soon()

    @property
    def busy(self) -> bool:
        """Whether one of them runs, or is about to."""
        return self._starting is not None or any(part.task is not None for part in self.parts.values())

    def begin(self) -> None:
        """The run begins, or goes on after a meeting."""
        self._held = False
        self._start_soon()

    def hold(self) -> None:
        """From now on none of these starts: a meeting begins, or the run is about to end."""
        self._held = True

    def _start_soon(self) -> None:
        if self._starting is None and not self._held and any(self._due(part) for part in self.parts.values()):
            self._starting = self._loop.call_soon(self._start)  # in the next turn, for all changes of this one

    def _due(self, part: _Part) -> bool:
        return part.task is None and part.seen < self._stamp and (self._max_ticks is None or part.ticks < self._max_ticks)

    def _start(self) -> None:
        self._starting = None
        for entry, part in self.parts.items():
            if self._due(part):
                part.seen = self._stamp
                part.ticks += 1
                part.task = self._loop.create_task(self._process(entry, part), name=f"world system {entry.name}")

    async def _process(self, entry: WorldEntry, part: _Part) -> None:
        try:
            await self._call(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one that raises does not cancel the others
            self._failed(entry, error)
        except asyncio.CancelledError as error:
            if part.task is not None and part.task.cancelling():
                raise
            self._failed(entry, error)
        finally:
            part.task = None
            self._start_soon()
            self._ended()

    def _failed(self, entry: WorldEntry, error: BaseException) -> None:
        self._state.report(WorldSystemFailed(entry.name, f"{type(error).__name__}: {sentence(error)}"))
        self.failures.append(as_exception(entry.name, error))
        self.hold()  # the run ends as soon as the others have finished

    def end(self) -> list[asyncio.Task[None]]:
        """Start none any more; the tasks of those that run, which have to be cancelled."""
        self.hold()
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        return [part.task for part in self.parts.values() if part.task is not None]

    def abandon(self, grace: float) -> None:
        """Report those that did not end within the grace after their cancel."""
        for entry, part in self.parts.items():
            if part.task is not None and not part.task.done():
                self._state.report(WorldSystemFailed(entry.name, f"did not end within {grace} s after the cancel"))
