"""Budget: what an agent may still spend in its run, asked before each turn and each tool call, and in the middle of an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from ecs_agent.components import LimitsComponent, LLMComponent, PricesComponent, TurnComponent
from ecs_agent.components.limits import DEFAULT_LIMITS, cost_of
from ecs_agent.core import Entity
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.token_estimate import CHARACTERS_A_TOKEN
from ecs_agent.systems.ledger import Ledger
from ecs_agent.systems.meter import StreamMeter, characters_in
from ecs_agent.types import EntityId, StreamDelta, Usage

RUN_LIMITS = frozenset(
    [f"max_{limit}" for limit in ("turns", "run_tool_calls", "tokens", "cost", "tree_turns", "tree_tool_calls", "tree_tokens", "tree_cost", "depth")]
)
"""Terminal reasons that end a run and not its agent: the next input lifts them."""


class LimitReached(Exception):  # noqa: N818 - no failure: it tells the system that asks to end its run
    """An answer under way has spent what its agent, or the tree the agent is in, may spend. `reason` is one of `RUN_LIMITS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget(Protocol):
    """What one agent may spend."""

    def reached(self, *, again: bool, more: int = 0) -> str | None:
        """The limit that forbids another turn, or, with `again`, another attempt at the one that has begun; None if there is none.

        `more` tokens were spent for an attempt that is still open, and so not in the `TurnComponent` yet.
        """
        ...

    def begin_attempt(self, *, again: bool) -> None:
        """The model is about to be asked, for a new turn or `again`."""
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
        self._room: float = 0

    def reached(self, *, again: bool, more: int = 0) -> str | None:
        """The limit that forbids another turn, or, with `again`, another attempt at the one that has begun; None if there is none."""
        limits = self._limits
        if not again and limits.turns is not None and self._turn.turn >= limits.turns:
            return "max_turns"
        return "max_tokens" if limits.tokens is not None and self._spent() + more >= limits.tokens else None

    def begin_attempt(self, *, again: bool) -> None:  # noqa: ARG002 - turns are counted in the component
        """The model is about to be asked, for a new turn or `again`."""
        tokens = self._limits.tokens
        self._room = math.inf if tokens is None else (tokens - self._spent() - 1) * CHARACTERS_A_TOKEN

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

    __slots__ = ("_entity", "_ledger", "_limits_of", "_meter", "_prices", "_too_deep")

    def __init__(self, me: Entity, turn: TurnComponent, ancestors: Sequence[EntityId]) -> None:
        self._entity = me.id
        self._ledger = ledger = me.resource(Ledger, Ledger)
        self._limits_of = partial(_limits_of, me)
        self._prices = me.get(PricesComponent)
        self._meter: StreamMeter | None = None
        self._check_prices(ancestors)
        self._too_deep = is_too_deep(ancestors, me.peek)
        ledger.begin(me.id, ancestors, turn.run)
        if (turn.turn or turn.usage) and ledger.is_empty(me.id):
            ledger.spend(me.id, turns=turn.turn, tokens=turn.usage.total_tokens if turn.usage else 0, cost=self._cost(turn))

    def reached(self, *, again: bool, more: int = 0) -> str | None:  # noqa: ARG002 - the ledger has them
        """The limit that forbids another turn, or, with `again`, another attempt at the one that has begun; None if there is none."""
        if self._too_deep:
            return "max_depth"
        found = self._ledger.exceeded(self._entity, self._limits_of, streaming=again)
        return None if found is None else found[1]

    def begin_attempt(self, *, again: bool) -> None:
        """The model is about to be asked, for a new turn or `again`."""
        self._ledger.spend(self._entity, turns=0 if again else 1)
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

    def _check_prices(self, ancestors: Sequence[EntityId]) -> None:
        """A limit of money holds only where it is known what a token costs."""
        if self._prices is not None:
            return
        own = self._limits_of(self._entity)
        trees = [limits for agent in (self._entity, *ancestors) if (limits := self._limits_of(agent)) is not None and limits.tree_cost is not None]
        if trees or (own is not None and own.cost is not None):
            raise ConfigurationError(
                f"a limit of cost holds for agent {self._entity}, its own or that of a tree it is in, and nobody knows what its model costs; "
                "add a PricesComponent to the agent"
            )

    def _cost(self, turn: TurnComponent) -> float:
        return cost_of(turn.usage, self._prices, responses=turn.turn).usd if turn.usage is not None and self._prices is not None else 0.0


def _limits_of(me: Entity, entity: EntityId) -> LimitsComponent | None:
    return me.peek(entity, LimitsComponent)


def is_too_deep(ancestors: Sequence[EntityId], peek: Callable[[EntityId, type[Any]], Any]) -> bool:
    """Whether an agent stands more levels of agents below one of its ancestors than that one's `LimitsComponent.depth` allows.

    Args:
        ancestors: those of the agent, parent first.
        peek: reads a component of one of them.
    """
    level = 0
    for ancestor in ancestors:
        if peek(ancestor, LLMComponent) is None:
            continue  # a group of agents is no agent
        level += 1
        depth = (peek(ancestor, LimitsComponent) or DEFAULT_LIMITS).depth
        if depth is not None and level > depth:
            return True
    return False
