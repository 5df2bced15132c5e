"""An entity's life within one run: where it stands in its step, what drives it, how it came to rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum, unique

from ecs_agent.core.component import ErrorComponent, QuarantineComponent, TerminalComponent
from ecs_agent.core.row import Row
from ecs_agent.core.schedule import EntityEntry

START: tuple[float, int] = (float("-inf"), -1)
"""The place before the first system of a step."""


@unique
class EndReason(StrEnum):
    """Why an entity, or a run, came to rest."""

    IDLE = "idle"
    TERMINAL = "terminal"
    QUARANTINED = "quarantined"
    MAX_TICKS = "max_ticks"
    DEADLINE = "deadline"
    STOPPED = "stopped"
    DELETED = "deleted"
    SYSTEM_FAILED = "system_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one entity came to rest. `error` is what its last call raised, if it failed and got no new input since; `steps` were made in this run."""

    reason: EndReason
    error: BaseException | None = None
    steps: int = 0


@dataclass(slots=True, eq=False)
class Life:
    """An entity's life within a run.

    `place` is the last system of the current step that ran; `queued`, `parked` and `driver` say whether it waits to be looked at, waits at a
    barrier, or has calls running; `stuck` that its driver also waits for a call that was left behind; `tries` counts calls at the same stamp
    for systems with a `when`.
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
    failures: list[float] = field(default_factory=list[float])
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list[asyncio.Future[Outcome]])

    @property
    def at_rest(self) -> bool:
        """Nothing is due, running or waited for."""
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
        self.failures.clear()
        self.tries.clear()
