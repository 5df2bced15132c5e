"""Ledger: what agents and the trees below them have spent in their current runs, up to date in the middle of streams.

Pure bookkeeping. Each agent has two accounts: its own, and that of its tree, which has its own spending in it and that of all agents below. An
account is emptied when its agent begins a new run, so what a sub-agent spends counts in the run of its parent in which it was spent.

While a stream runs, nobody but the provider knows its tokens. They are estimated (`tokens_in_characters`) and replaced by the provider's count as
soon as that is there; as long as an estimate is in it, a sum says `estimated`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecs_agent.components.limits import DEFAULT_LIMITS, LimitsComponent
from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent: tokens of prompts and completions, US dollars, turns, and calls of tools."""

    tokens: int = 0
    cost: float = 0.0
    turns: int = 0
    tool_calls: int = 0
    estimated: bool = False


class _Account:
    """A running sum, with that part of it that is estimated."""

    __slots__ = ("cost", "guessed_cost", "guessed_tokens", "tokens", "tool_calls", "turns")

    def __init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        self.tokens = self.turns = self.tool_calls = self.guessed_tokens = 0
        self.cost = self.guessed_cost = 0.0

    def settle(self, guess: Spent, actual: Spent) -> None:
        """Replace a guess. One that was made before the account was emptied is not in it, so no more is taken out than was put in."""
        self.tokens += max(actual.tokens - guess.tokens, -self.guessed_tokens)
        self.guessed_tokens = max(0, self.guessed_tokens - guess.tokens)
        self.cost += max(actual.cost - guess.cost, -self.guessed_cost)
        self.guessed_cost = max(0.0, self.guessed_cost - guess.cost) if self.guessed_tokens else 0.0

    def spent(self) -> Spent:
        return Spent(self.tokens, self.cost, self.turns, self.tool_calls, estimated=self.guessed_tokens > 0 or self.guessed_cost > 0)


class _Entry:
    """An agent: its accounts, its run, and the tree accounts that its spending counts in, its own first."""

    __slots__ = ("above", "own", "run", "tree", "trees")

    def __init__(self) -> None:
        self.run: int | None = None
        self.own = _Account()
        self.tree = _Account()
        self.trees: list[_Account] = [self.tree]
        self.above: tuple[EntityId, ...] = ()


class Ledger:
    """The accounts of all agents of a world. What is spent by an agent that never began is not kept: it is gone, or none.

    Args:
        is_there: whether an entity still exists; the accounts of others are dropped once they are more than half.
    """

    __slots__ = ("_entries", "_is_there", "_look_at")

    def __init__(self, is_there: Callable[[EntityId], bool] | None = None) -> None:
        self._entries: dict[EntityId, _Entry] = {}
        self._is_there = is_there
        self._look_at = 64

    def begin(self, entity: EntityId, ancestors: Sequence[EntityId], run: int) -> None:
        """An agent begins a run, or goes on with it, as after a move to another parent.

        Args:
            entity: the agent.
            ancestors: whose trees it is in, parent first.
            run: its number; a new one empties both accounts.
        """
        entry = self._entry(entity)
        if entry.run != run:
            entry.run = run
            entry.own.empty()
            entry.tree.empty()
        entry.above = tuple(ancestors)
        entry.trees = [entry.tree, *[self._entry(ancestor).tree for ancestor in entry.above]]

    def _entry(self, entity: EntityId) -> _Entry:
        entry = self._entries.get(entity)
        if entry is None:
            if self._is_there is not None and len(self._entries) >= self._look_at:
                self._entries = {agent: held for agent, held in self._entries.items() if self._is_there(agent)}
                self._look_at = 2 * len(self._entries) + 64
            entry = self._entries[entity] = _Entry()
        return entry

    def spend(self, entity: EntityId, *, tokens: int = 0, cost: float = 0.0, turns: int = 0, tool_calls: int = 0, estimated: bool = False) -> None:
        """Add to the accounts of an agent and of the trees it is in.

        Args:
            entity: who spends.
            tokens: of a prompt or a completion.
            cost: in US dollars.
            turns: that began.
            tool_calls: that began.
            estimated: tokens and cost are a guess, which `settle` replaces.
        """
        entry = self._entries.get(entity)
        if entry is None:
            return
        for account in (entry.own, *entry.trees):
            account.tokens += tokens
            account.cost += cost
            account.turns += turns
            account.tool_calls += tool_calls
            if estimated:
                account.guessed_tokens += tokens
                account.guessed_cost += cost

    def settle(self, entity: EntityId, estimate: Spent, actual: Spent) -> None:
        """Replace the tokens and cost of an estimate, all that was spent as such for one answer, by the provider's count."""
        entry = self._entries.get(entity)
        if entry is not None:
            for account in (entry.own, *entry.trees):
                account.settle(estimate, actual)

    def spent(self, entity: EntityId, *, tree: bool = False) -> Spent:
        """What an agent has spent in its run, with `tree=True` that and what all agents below it spent meanwhile."""
        entry = self._entries.get(entity)
        if entry is None:
            return Spent()
        return entry.tree.spent() if tree else entry.own.spent()

    def exceeded(
        self, entity: EntityId, limits_of: Callable[[EntityId], LimitsComponent | None], *, streaming: bool = False
    ) -> tuple[EntityId, str] | None:
        """The limit that an agent has reached, its own or that of a tree it is in, and whose limit it is; None if it may go on.

        Args:
            entity: who wants to go on.
            limits_of: the limits of an agent; None for the defaults.
            streaming: an answer is under way, so only tokens and cost can end it; turns and tool calls are counted where they begin.
        """
        entry = self._entries.get(entity)
        if entry is None:
            return None
        limits = limits_of(entity) or DEFAULT_LIMITS
        reached = _reached(limits, entry.own, streaming) or _reached_in_tree(limits, entry.tree, streaming)
        if reached is not None:
            return entity, reached
        for ancestor, account in zip(entry.above, entry.trees[1:], strict=True):
            limits_above = limits_of(ancestor)
            reached = _reached_in_tree(limits_above, account, streaming) if limits_above is not None else None
            if reached is not None:
                return ancestor, reached
        return None

    def room(self, entity: EntityId, limits_of: Callable[[EntityId], LimitsComponent | None], price: float = 0.0) -> float:
        """How many more tokens until the first limit of tokens or cost is reached, with all that is spent now; `price` is US dollars per token."""
        entry = self._entries.get(entity)
        if entry is None:
            return math.inf
        limits = limits_of(entity) or DEFAULT_LIMITS
        own_tokens = math.inf if limits.tokens is None else limits.tokens - entry.own.tokens
        room = min(own_tokens, _affordable(limits.cost, entry.own.cost, price))
        for agent, account in zip((entity, *entry.above), entry.trees, strict=True):
            above = limits_of(agent)
            if above is not None:
                tokens = math.inf if above.tree_tokens is None else above.tree_tokens - account.tokens
                room = min(room, tokens, _affordable(above.tree_cost, account.cost, price))
        return room

    def is_empty(self, entity: EntityId) -> bool:
        """Whether nothing is known of what an agent spent in its run."""
        entry = self._entries.get(entity)
        return entry is None or not (entry.own.turns or entry.own.tokens)

    def tool_calls_left(self, entity: EntityId, limits_of: Callable[[EntityId], LimitsComponent | None]) -> tuple[float, str]:
        """How many more tools may be called in this run, and the limit that says so."""
        entry = self._entries.get(entity)
        left: tuple[float, str] = (math.inf, "")
        if entry is None:
            return left
        own = limits_of(entity)
        if own is not None and own.run_tool_calls is not None:
            left = (own.run_tool_calls - entry.own.tool_calls, "max_run_tool_calls")
        for agent, account in zip((entity, *entry.above), entry.trees, strict=True):
            limits = own if agent == entity else limits_of(agent)
            if limits is not None and limits.tree_tool_calls is not None:
                left = min(left, (limits.tree_tool_calls - account.tool_calls, "max_tree_tool_calls"))
        return left

    def is_shared(self, entity: EntityId, limits_of: Callable[[EntityId], LimitsComponent | None]) -> bool:
        """Whether others may spend what this agent may: a limit holds for a tree it is in."""
        entry = self._entries.get(entity)
        for agent in (entity, *entry.above) if entry is not None else ():
            limits = limits_of(agent)
            if limits is not None and (limits.tree_tokens is not None or limits.tree_cost is not None):
                return True
        return False


def _affordable(limit: float | None, spent: float, price: float) -> float:
    return math.inf if limit is None or not price else (limit - spent) / price


def _reached(limits: LimitsComponent, spent: _Account, streaming: bool) -> str | None:
    if not streaming and limits.turns is not None and spent.turns >= limits.turns:
        return "max_turns"
    if not streaming and limits.run_tool_calls is not None and spent.tool_calls >= limits.run_tool_calls:
        return "max_run_tool_calls"
    if limits.tokens is not None and spent.tokens >= limits.tokens:
        return "max_tokens"
    return "max_cost" if limits.cost is not None and spent.cost >= limits.cost else None


def _reached_in_tree(limits: LimitsComponent, spent: _Account, streaming: bool) -> str | None:
    if not streaming and limits.tree_turns is not None and spent.turns >= limits.tree_turns:
        return "max_tree_turns"
    if not streaming and limits.tree_tool_calls is not None and spent.tool_calls >= limits.tree_tool_calls:
        return "max_tree_tool_calls"
    if limits.tree_tokens is not None and spent.tokens >= limits.tree_tokens:
        return "max_tree_tokens"
    return "max_tree_cost" if limits.tree_cost is not None and spent.cost >= limits.tree_cost else None
