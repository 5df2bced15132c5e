"""StreamMeter: what an answer that is still arriving has cost so far, and whether it may go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from ecs_agent.components.limits import LimitsComponent, PricesComponent, cost_of
from ecs_agent.providers.token_estimate import CHARACTERS_A_TOKEN, tokens_in_characters
from ecs_agent.systems.ledger import Ledger, Spent
from ecs_agent.types import EntityId, StreamDelta, Usage

LOOK_EVERY: Final = 32
"""Tokens after which others may have spent what the tree had left, so the ledger is asked again; sooner where less is left."""


_NOTHING: Final = Spent(estimated=True)


def characters_in(deltas: Sequence[StreamDelta]) -> int:
    """Everything in some deltas that a model wrote."""
    if len(deltas) == 1:
        (delta,) = deltas
        if delta.content and not (delta.reasoning or delta.refusal or delta.tool_fragments):
            return len(delta.content)
    count = sum([len(delta.content) for delta in deltas if delta.content])
    count += sum([len(delta.reasoning) for delta in deltas if delta.reasoning])
    count += sum([len(delta.refusal) for delta in deltas if delta.refusal])
    fragments = [fragment for delta in deltas if delta.tool_fragments for fragment in delta.tool_fragments]
    return count + sum([len(fragment.arguments) + len(fragment.name or "") for fragment in fragments])


class StreamMeter:
    """Counts one answer into the ledger while it arrives. Most deltas cost an addition. As long as no limit of a tree holds, nobody else spends
    what this answer may, so the ledger is not asked before its end is near.

    Args:
        ledger: where it is counted.
        entity: whose answer it is.
        limits_of: the limits of an agent; None for the defaults.
        prices: of the agent's model; without them only tokens are counted.
    """

    __slots__ = ("_characters", "_counted", "_entity", "_ledger", "_limits_of", "_look_at", "_look_every", "_prices")

    def __init__(
        self, ledger: Ledger, entity: EntityId, limits_of: Callable[[EntityId], LimitsComponent | None], prices: PricesComponent | None = None
    ) -> None:
        self._ledger = ledger
        self._entity = entity
        self._limits_of = limits_of
        self._prices = prices
        self._characters = 0
        self._counted = _NOTHING
        self._look_at: float = 0
        self._look_every = LOOK_EVERY if ledger.is_shared(entity, limits_of) else math.inf
        self._look_later()

    def add(self, deltas: Sequence[StreamDelta]) -> tuple[EntityId, str] | None:
        """Count deltas that arrived together; the limit that is reached with them, and whose it is, as `Ledger.exceeded` says it."""
        self._characters += characters_in(deltas)
        if self._characters < self._look_at:
            return None
        self._count()
        self._look_later()
        return self._ledger.exceeded(self._entity, self._limits_of, streaming=True)

    def settle(self, usage: Usage | None) -> None:
        """The answer has ended: its usage replaces the estimate. None leaves the estimate, of all that arrived, as it is."""
        self._count()
        if usage is None:
            return
        cost = cost_of(usage, self._prices).usd if self._prices is not None else 0.0
        self._ledger.settle(self._entity, self._counted, Spent(usage.total_tokens, cost))
        self._counted = _NOTHING
        self._characters = 0

    def _price(self) -> float:
        return self._prices.completion / 1_000_000 if self._prices is not None else 0.0

    def _count(self) -> None:
        tokens = tokens_in_characters(self._characters)
        more = tokens - self._counted.tokens
        if not more:
            return
        cost = more * self._price()
        self._ledger.spend(self._entity, tokens=more, cost=cost, estimated=True)
        self._counted = Spent(tokens, self._counted.cost + cost, estimated=True)

    def _look_later(self) -> None:
        """Look again at the first character with which a limit could be reached."""
        room = min(self._ledger.room(self._entity, self._limits_of, self._price()), self._look_every)
        self._look_at = (self._counted.tokens + max(room, 1) - 1) * CHARACTERS_A_TOKEN + 1
