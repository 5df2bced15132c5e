"""Another try after a failure, when its time has come. The time stands in the `ErrorComponent`, so it outlives the run, and a save."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ecs_agent.core.component import ErrorComponent, QuarantineComponent, TerminalComponent
from ecs_agent.core.running.life import Life
from ecs_agent.core.state import State


class Retries:
    """The lives of one run that are tried again by themselves.

    Args:
        state: where their errors are taken away.
        awake: told when that has happened.

    Attributes:
        halted: those that have been ended while they waited; nobody waits for them, unless that is taken back.
    """

    def __init__(self, state: State, awake: Callable[[], None]) -> None:
        self._state = state
        self._awake = awake
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Life, None] = {}
        self.halted: dict[Life, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting(self) -> list[Life]:
        """Those that wait for another try."""
        return list(self._waiting)

    def add(self, life: Life, delay: float) -> None:
        """Try again after so many seconds."""
        self.cancel(life)
        self._waiting[life] = None
        life.retry = self._loop.call_later(delay, self._due, life, life.row.components[ErrorComponent])

    def resume(self, life: Life) -> None:
        """Take up what an earlier run, or a saved world, has promised."""
        error: ErrorComponent | None = life.row.components.get(ErrorComponent)
        if error is None or error.retry_at is None:
            return
        wait = error.retry_at - self._state.clock.now() / 1e9
        if wait > 0:
            self.add(life, wait)
        else:
            self._state.take(life.row, ErrorComponent, None)

    def look(self, life: Life) -> None:
        """An entity changed that waits for another try: whether there is still something to try again."""
        held = life.row.components
        if ErrorComponent not in held:
            self.cancel(life)
        elif TerminalComponent in held or QuarantineComponent in held:
            self.cancel(life)
            self.halted[life] = None
        elif self.halted.pop(life, self) is None:
            self.resume(life)

    def cancel(self, life: Life) -> None:
        """It is not tried again by itself."""
        life.cancel_retry()
        self._waiting.pop(life, None)
        self.halted.pop(life, None)

    def _due(self, life: Life, error: ErrorComponent) -> None:
        self.cancel(life)
        if life.row.components.get(ErrorComponent) is error:
            self._state.take(life.row, ErrorComponent, None)
        self._awake()
