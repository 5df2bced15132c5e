"""What a world does at the moment, in figures: read when asked for, so that it costs nothing otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

import msgspec

from ecs_agent.core.outcome import EndReason
from ecs_agent.core.row import Row
from ecs_agent.core.running.life import Life
from ecs_agent.core.state import State
from ecs_agent.types import EntityId


@unique
class Phase(StrEnum):
    """What an entity does."""

    RUNNING = "running"
    READY = "ready"
    AT_BARRIER = "at_barrier"
    RETRYING = "retrying"
    AT_REST = "at_rest"


class EntityStats(msgspec.Struct, frozen=True, gc=False):
    """One entity at the moment. A struct of msgspec and not a dataclass, since there are thousands, several times a second.

    `reason` is how it came to rest, if it did; `systems` are those whose calls run on it, `seconds` how long the oldest of them has been running;
    `steps` it has made in this run, `facts` it has in the log, `failures` are those that still count against it.
    """

    entity: EntityId
    phase: Phase
    reason: EndReason | None
    systems: tuple[str, ...]
    seconds: float
    steps: int
    facts: int
    failures: int


@dataclass(frozen=True, slots=True)
class WorldStats:
    """A world at the moment: its entities, how many of them are in which phase, and how many facts its log has had."""

    entities: tuple[EntityStats, ...]
    facts: int

    @property
    def phases(self) -> Mapping[Phase, int]:
        """How many entities are in each phase."""
        return Counter([each.phase for each in self.entities])

    @property
    def reasons(self) -> Mapping[EndReason, int]:
        """How the entities at rest came to it."""
        return Counter([each.reason for each in self.entities if each.reason is not None])


def survey(state: State, lives: Iterable[Life]) -> WorldStats:
    """The figures of a world.

    Args:
        state: its rows.
        lives: those of the run that moves them; empty without one.
    """
    now, known = state.clock.monotonic(), {life.row.id: life for life in lives}
    nobody = _Untouched()
    return WorldStats(tuple([_entity(row, known.get(row.id), nobody, now) for row in state.rows.values()]), state.log.next_pos)


class _Untouched:
    """How entities rest that no run knows: it depends on the types of their components alone, of which there are few sets."""

    def __init__(self) -> None:
        self._reasons: dict[frozenset[type], EndReason] = {}

    def reason(self, row: Row) -> EndReason:
        """How an entity rests."""
        found = self._reasons.get(row.types)
        if found is None:
            found = self._reasons[row.types] = Life(row).outcome().reason
        return found


def _entity(row: Row, life: Life | None, untouched: _Untouched, now: float) -> EntityStats:
    phase = Phase.AT_REST if life is None else _phase(life)
    reason = None
    if phase is Phase.AT_REST:
        reason = untouched.reason(row) if life is None or life.ended is None else life.ended
    systems, seconds = ((), 0.0) if not row.calls else (tuple([call.entry.name for call in row.calls]), now - min([c.began for c in row.calls]))
    return EntityStats(row.id, phase, reason, systems, seconds, 0 if life is None else life.steps, row.seq, len(row.failures))


def _phase(life: Life) -> Phase:
    if life.driver is not None:
        return Phase.RUNNING
    if life.parked:
        return Phase.AT_BARRIER
    if life.queued:
        return Phase.READY
    return Phase.RETRYING if life.retry is not None else Phase.AT_REST
