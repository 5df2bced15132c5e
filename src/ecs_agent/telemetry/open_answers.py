"""How much of the answers that are still arriving is there, counted from where the last count ended."""

from __future__ import annotations

from ecs_agent.components import StreamStateComponent
from ecs_agent.systems.meter import characters_in
from ecs_agent.types import EntityId


class OpenAnswers:
    """The characters of open answers. Each delta is looked at about twice in all, however often one asks."""

    def __init__(self) -> None:
        self._counts: dict[EntityId, _Count] = {}
        self._asked: dict[EntityId, _Count] = {}

    def characters(self, entity: EntityId, state: StreamStateComponent) -> int:
        """So many characters of an entity's answer have arrived."""
        count = self._counts.get(entity)
        if count is None or count.state is not state:
            count = _Count(state)
        self._asked[entity] = count
        return count.up_to_now()

    def forget_the_closed(self) -> None:
        """Keep only the counts that were asked for since the last time."""
        self._counts, self._asked = self._asked, {}


class _Count:
    """How far one answer was counted. Blocks of merged deltas never change again; the loose ones behind them become a block one day."""

    __slots__ = ("_blocks", "_blocks_until", "_loose", "_until", "state")

    def __init__(self, state: StreamStateComponent) -> None:
        self.state = state
        self._blocks = self._blocks_until = 0
        self._loose = self._until = 0

    def up_to_now(self) -> int:
        """Count what came since the last time; the sum of all."""
        deltas, merged = self.state.deltas, self.state.merged
        if merged != self._blocks_until:
            self._blocks += characters_in(deltas[self._blocks_until : merged])
            self._blocks_until = self._until = merged
            self._loose = 0
        if len(deltas) > self._until:
            self._loose += characters_in(deltas[self._until :])
            self._until = len(deltas)
        return self._blocks + self._loose
