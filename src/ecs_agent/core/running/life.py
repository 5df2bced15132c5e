"""An entity's life within one run: where it stands in its step, what drives it, how it came to rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ecs_agent.core.component import AwaitsInput, ErrorComponent, QuarantineComponent, TerminalComponent
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.outcome import EndReason, Outcome
from ecs_agent.core.row import Row

START: tuple[float, int] = (float("-inf"), -1)
"""The place before the first system of a step."""


@dataclass(slots=True, eq=False)
class Life:
    """An entity's life within a run.

    `place` is the last system of the current step that ran; `queued`, `parked` and `driver` say whether it waits to be looked at, waits at a
    barrier, or has calls running; `stuck` that its driver also waits for a call that was left behind; `retry` runs until it is tried again after
    a failure; `tries` counts calls at the same stamp for systems with a `when`.
    """

    row: Row
    place: tuple[float, int] = START
    steps: int = 0
    driver: asyncio.Task[None] | None = None
    queued: bool = False
    parked: bool = False
    stepped: bool = False
    stuck: bool = False
    ended: EndReason | None = None
    error: BaseException | None = None
    tries: dict[EntityEntry, tuple[int, int]] = field(default_factory=dict[EntityEntry, tuple[int, int]])
    retry: asyncio.TimerHandle | None = None
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list[asyncio.Future[Outcome]])

    @property
    def at_rest(self) -> bool:
        """Nothing is due, running or waited for."""
        return self.is_free and self.retry is None

    @property
    def is_free(self) -> bool:
        """Nobody has it in hand: it may be looked at."""
        return not (self.queued or self.parked or self.driver)

    def outcome(self) -> Outcome:
        """How it stands now."""
        held = self.row.components
        if self.ended is not None:
            reason = self.ended
        elif TerminalComponent in held:
            reason = EndReason.TERMINAL
        elif QuarantineComponent in held:
            reason = EndReason.QUARANTINED
        elif any(issubclass(kind, AwaitsInput) for kind in held):
            reason = EndReason.WAITING_INPUT
        else:
            reason = EndReason.IDLE
        return Outcome(reason, self.error if ErrorComponent in held else None, self.steps)

    def release(self) -> None:
        """Tell those who wait for this entity that it is at rest."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(self.outcome())

    def forgive(self) -> None:
        """New input: failures and limits of the past no longer count."""
        self.error = None
        self.ended = None
        self.steps = 0
        self.tries.clear()
        self.cancel_retry()

    def cancel_retry(self) -> None:
        """It is not tried again by itself."""
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
