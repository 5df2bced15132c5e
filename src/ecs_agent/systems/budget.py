"""Budget: what an agent may still spend in its run, asked before each turn and each tool call, and in the middle of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ecs_agent.components import LimitsComponent, PricesComponent, TurnComponent
from ecs_agent.components.limits import cost_of
from ecs_agent.core import Entity
from ecs_agent.systems.ledger import Ledger, Spent
from ecs_agent.systems.meter import StreamMeter
from ecs_agent.types import EntityId, StreamDelta, Usage

RUN_LIMITS = frozenset(
    [f"max_{limit}" for limit in ("turns", "tool_calls", "tokens", "cost", "tree_turns", "tree_tool_calls", "tree_tokens", "tree_cost")]
)
"""Terminal reasons that end a run and not its agent: the next input lifts them."""


TOOL_LIMITS = frozenset(["max_tool_calls", "max_tree_tool_calls"])
"""Those that forbid a tool call. The others are looked at before the model is asked again, as the calls of an answer belong to its turn."""


class LimitReached(Exception):  # noqa: N818 - no failure: it tells the system that asks to end its run
    """An answer under way has spent what its agent, or the tree the agent is in, may spend. `reason` is one of `RUN_LIMITS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget:
    """The account of one agent in the World's ledger.

    Args:
        me: the agent.
        turn: where it stands. After a restart, what it says was spent before is counted.
    """

    __slots__ = ("_entity", "_ledger", "_limits_of", "_meter", "_prices")

    def __init__(self, me: Entity, turn: TurnComponent) -> None:
        self._entity = me.id
        self._ledger = ledger = me.resource(Ledger, Ledger)
        self._limits_of = partial(_limits_of, me)
        self._prices = me.get(PricesComponent)
        self._meter: StreamMeter | None = None
        ledger.begin(me.id, me.ancestors, turn.run)
        if (turn.turn or turn.usage) and ledger.spent(me.id) == Spent():
            ledger.spend(me.id, turns=turn.turn, tokens=turn.usage.total_tokens if turn.usage else 0, cost=self._cost(turn.usage))

    def reached(self) -> str | None:
        """The limit that forbids to go on, None if there is none."""
        found = self._ledger.exceeded(self._entity, self._limits_of)
        return None if found is None else found[1]

    def begin_turn(self) -> None:
        """The model is about to be asked."""
        self._ledger.spend(self._entity, turns=1)
        self._meter = StreamMeter(self._ledger, self._entity, self._limits_of, self._prices)

    def begin_tool_call(self) -> None:
        """A tool is about to run."""
        self._ledger.spend(self._entity, tool_calls=1)

    def receive(self, deltas: Sequence[StreamDelta]) -> None:
        """A piece of the answer has arrived.

        Raises:
            LimitReached: it may not go on.
        """
        found = self._meter.add(deltas) if self._meter is not None else None
        if found is not None:
            raise LimitReached(found[1])

    def end_turn(self, usage: Usage | None) -> None:
        """The answer has ended. What the provider counted takes the place of our estimate, which stays if it counted nothing."""
        if self._meter is not None:
            self._meter.settle(usage)

    def _cost(self, usage: Usage | None) -> float:
        return cost_of(usage, self._prices) if usage is not None and self._prices is not None else 0.0


def _limits_of(me: Entity, entity: EntityId) -> LimitsComponent | None:
    return me.peek(entity, LimitsComponent)
