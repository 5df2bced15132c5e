"""Budget: what an agent may still spend in its run, asked before each turn and each tool call, and in the middle of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from ecs_agent.components import LimitsComponent, PricesComponent, TurnComponent
from ecs_agent.components.limits import DEFAULT_LIMITS, cost_of
from ecs_agent.core import Entity
from ecs_agent.systems.ledger import CHARACTERS_A_TOKEN, Ledger
from ecs_agent.systems.meter import StreamMeter, characters_in
from ecs_agent.types import EntityId, StreamDelta, Usage

RUN_LIMITS = frozenset(
    [f"max_{limit}" for limit in ("turns", "tool_calls", "tokens", "cost", "tree_turns", "tree_tool_calls", "tree_tokens", "tree_cost")]
)
"""Terminal reasons that end a run and not its agent: the next input lifts them."""


class LimitReached(Exception):  # noqa: N818 - no failure: it tells the system that asks to end its run
    """An answer under way has spent what its agent, or the tree the agent is in, may spend. `reason` is one of `RUN_LIMITS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget(Protocol):
    """What one agent may spend."""

    def reached(self) -> str | None:
        """The limit that forbids another turn, None if there is none."""
        ...

    def begin_turn(self) -> None:
        """The model is about to be asked."""
        ...

    def begin_tool_calls(self, wanted: int) -> tuple[int, str]:
        """So many tools are about to run: how many of them may, and the limit that forbids the others."""
        ...

    def receive(self, deltas: Sequence[StreamDelta]) -> None:
        """A piece of the answer has arrived.

        Raises:
            LimitReached: it may not go on.
        """
        ...

    def end_turn(self, usage: Usage | None) -> None:
        """The answer has ended. What the provider counted takes the place of our estimate, which stays if it counted nothing."""
        ...


def budget_of(me: Entity, turn: TurnComponent) -> Budget:
    """The budget of an agent: its own alone, as for most, or an account in the World's ledger if it costs money or shares it with a tree."""
    limits = me.get(LimitsComponent) or DEFAULT_LIMITS
    ancestors = me.ancestors
    return LedgerBudget(me, turn, ancestors) if ancestors or not limits.is_simple else OwnBudget(turn, limits)


class OwnBudget:
    """Turns and tokens of one agent. What was spent stands in its `TurnComponent`; only an answer under way is estimated.

    Args:
        turn: where the agent stands.
        limits: its limits.
    """

    __slots__ = ("_limits", "_room", "_turn")

    def __init__(self, turn: TurnComponent, limits: LimitsComponent) -> None:
        self._turn = turn
        self._limits = limits
        self._room = 0

    def reached(self) -> str | None:
        """The limit that forbids another turn, None if there is none."""
        if self._turn.turn >= self._limits.turns:
            return "max_turns"
        return "max_tokens" if self._spent() >= self._limits.tokens else None

    def begin_turn(self) -> None:
        """The model is about to be asked."""
        self._room = (self._limits.tokens - self._spent() - 1) * CHARACTERS_A_TOKEN

    def begin_tool_calls(self, wanted: int) -> tuple[int, str]:
        """All of them may run."""
        return wanted, ""

    def receive(self, deltas: Sequence[StreamDelta]) -> None:
        """A piece of the answer has arrived.

        Raises:
            LimitReached: it may not go on.
        """
        self._room -= characters_in(deltas)
        if self._room < 0:
            raise LimitReached("max_tokens")

    def end_turn(self, usage: Usage | None) -> None:
        """Nothing to do: the usage enters the `TurnComponent`."""

    def _spent(self) -> int:
        return self._turn.usage.total_tokens if self._turn.usage is not None else 0


class LedgerBudget:
    """The account of one agent in the World's ledger.

    Args:
        me: the agent.
        turn: where it stands. After a restart, what it says was spent before is counted.
        ancestors: whose trees it is in, parent first.
    """

    __slots__ = ("_entity", "_ledger", "_limits_of", "_meter", "_prices")

    def __init__(self, me: Entity, turn: TurnComponent, ancestors: Sequence[EntityId]) -> None:
        self._entity = me.id
        self._ledger = ledger = me.resource(Ledger, Ledger)
        self._limits_of = partial(_limits_of, me)
        self._prices = me.get(PricesComponent)
        self._meter: StreamMeter | None = None
        ledger.begin(me.id, ancestors, turn.run)
        if (turn.turn or turn.usage) and ledger.is_empty(me.id):
            ledger.spend(me.id, turns=turn.turn, tokens=turn.usage.total_tokens if turn.usage else 0, cost=self._cost(turn.usage))

    def reached(self) -> str | None:
        """The limit that forbids another turn, None if there is none."""
        found = self._ledger.exceeded(self._entity, self._limits_of)
        return None if found is None else found[1]

    def begin_turn(self) -> None:
        """The model is about to be asked."""
        self._ledger.spend(self._entity, turns=1)
        self._meter = StreamMeter(self._ledger, self._entity, self._limits_of, self._prices)

    def begin_tool_calls(self, wanted: int) -> tuple[int, str]:
        """So many tools are about to run: how many of them may, and the limit that forbids the others."""
        left, limit = self._ledger.tool_calls_left(self._entity, self._limits_of)
        allowed = int(max(0, min(wanted, left)))
        self._ledger.spend(self._entity, tool_calls=allowed)
        return allowed, limit

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
