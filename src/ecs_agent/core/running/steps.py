"""What an entity does next: its way through the schedule, from the lowest priority upwards, again and again until nothing is due on it."""

from __future__ import annotations

from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.outcome import EndReason
from ecs_agent.core.running.barriers import Barriers
from ecs_agent.core.running.calls import Calls
from ecs_agent.core.running.life import START, Life
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.state import State


class Steps:
    """The steps of the entities of one run.

    Args:
        state: which entities there are.
        schedule: what concerns them.
        calls: what is due on them.
        barriers: where they wait.
        one_step: none makes a second step.
        max_ticks: steps after which each of them ends; None for no limit.

    Attributes:
        finishing: no entity begins another step.
    """

    def __init__(self, state: State, schedule: Schedule, calls: Calls, barriers: Barriers, *, one_step: bool, max_ticks: int | None) -> None:
        self.finishing = False
        self._state = state
        self._schedule = schedule
        self._calls = calls
        self._barriers = barriers
        self._one_step = one_step
        self._max_ticks = max_ticks

    def next(self, life: Life) -> list[EntityEntry] | None:
        """The calls to make now: a group of one priority; [] at the end of a step; None when nothing is due, or the entity waits at a barrier."""
        row, types = life.row, life.row.types
        if life.ended is not None or row.id not in self._state.rows:
            return None
        group: list[EntityEntry] = []
        place = life.place
        barrier = self._barriers.above(place[0]) if self._barriers.parts else None
        for entry in self._schedule.matching(types):
            if entry.place <= place:
                continue
            if group and (entry.priority != group[0].priority or any(entry.spec.conflicts(other.spec) for other in group)):
                break
            due = self._calls.due(life, entry)
            if row.types is not types:
                return self.next(life)  # a predicate failed, and the failure is a component
            if due and barrier is not None and entry.priority >= barrier:
                life.parked = True
                return None
            if due:
                group.append(entry)
        if not group:
            return self._over(life)
        return self._begin(life, group)

    def _begin(self, life: Life, group: list[EntityEntry]) -> list[EntityEntry] | None:
        if life.place == START:
            if self.finishing or (self._max_ticks is not None and life.steps >= self._max_ticks):
                life.ended = EndReason.STOPPED if self.finishing else EndReason.MAX_TICKS
                return None
            life.steps += 1
        life.place = group[-1].place
        return group

    def _over(self, life: Life) -> list[EntityEntry] | None:
        if life.place == START:
            return None
        life.place = START
        if self._one_step:
            life.stepped = True
            return None
        return []
