"""What an agent and its tree may spend, and what a token costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecs_agent.types import Usage


@dataclass(slots=True)
class LimitsComponent:
    """What one run may cost. An agent without this component has the defaults; None is no limit.

    A change holds from the next turn on.

    All but two count from the last input on. `tool_calls` are those of one turn, the rest of them are answered with an error, and
    `parallel_tools` is how many of these run at a time. `cost` is in US dollars and needs a `PricesComponent`. What begins with `tree_` holds for
    the agent and all agents below it together, in this agent's run; `depth` is how many levels of agents there may be below it.
    """

    turns: int | None = 50
    tool_calls: int | None = 32
    tokens: int | None = 1_000_000
    cost: float | None = None
    run_tool_calls: int | None = None
    tree_turns: int | None = None
    tree_tool_calls: int | None = None
    tree_tokens: int | None = None
    tree_cost: float | None = None
    depth: int | None = 5
    parallel_tools: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, (int, float)) and limit >= 0):
                raise ValueError(f"{name} is {limit!r}; it must be a number from 0 on, or None for no limit")
        if self.parallel_tools == 0:
            raise ValueError("parallel_tools is 0; at least one tool must be able to run, or give tool_calls=0 for none at all")

    @property
    def is_simple(self) -> bool:
        """Whether turns and tokens of the agent alone are limited, which its `TurnComponent` counts."""
        return (
            self.cost is None
            and self.run_tool_calls is None
            and self.tree_turns is None
            and self.tree_tool_calls is None
            and self.tree_tokens is None
            and self.tree_cost is None
        )


DEFAULT_LIMITS = LimitsComponent()
"""Those of an agent without the component. Nobody changes them."""


@dataclass(slots=True)
class PricesComponent:
    """What the agent's model costs, in US dollars per million tokens; `cached` is for prompt tokens read from a cache, None for the same as others.

    Providers do not tell prices, and they change: look them up.
    """

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("prompt", self.prompt), ("completion", self.completion), ("cached", self.cached)):
            if price is not None and not 0 <= price < math.inf:
                raise ValueError(f"the price of {name} tokens is {price}; give US dollars per million tokens, from 0 on")


def cost_of(usage: Usage, prices: PricesComponent) -> float:
    """What a response cost, in US dollars; reasoning counts as completion, as providers bill it."""
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    cached_price = prices.cached if prices.cached is not None else prices.prompt
    return ((usage.prompt_tokens - cached) * prices.prompt + cached * cached_price + usage.completion_tokens * prices.completion) / 1_000_000
