"""What an agent and its tree may spend, and what a token costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.prices import Cost, PriceTier, check_rates, cost_of, prices_of

__all__ = ["DEFAULT_LIMITS", "Cost", "LimitsComponent", "PriceTier", "PricesComponent", "cost_of"]


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
    """What the agent's model costs, in US dollars per million tokens: the fields of `ecs_agent.providers.Prices`.

    `cached` is for prompt tokens read from a cache, `cache_write` for those written to one, None for the same as others; `tiers` are other rates for
    long prompts. Providers do not tell prices, and they change: look them up, or let `of` do it.
    """

    prompt: float
    completion: float
    cached: float | None = None
    cache_write: float | None = None
    tiers: tuple[PriceTier, ...] = ()

    def __post_init__(self) -> None:
        check_rates(self)

    @classmethod
    def of(cls, model: str, *, at: datetime | None = None) -> Self:
        """The prices of a "service/model" as the package `genai-prices` knows them; see `ecs_agent.providers.prices_of`.

        Args:
            model: as "anthropic/claude-sonnet-4-5".
            at: when they held; now by default.

        Raises:
            ConfigurationError: that package is not installed (`pip install 'ecs-agent[prices]'`), or does not know what the model costs.
        """
        found = prices_of(model, at=at)
        if found is None:
            raise ConfigurationError(f"nobody knows what {model!r} costs; look it up and give PricesComponent(prompt=…, completion=…)")
        return cls(found.prompt, found.completion, found.cached, found.cache_write, found.tiers)
