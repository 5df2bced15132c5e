"""What a response cost: prices as data, and the one way to count with them.

    prices = prices_of("anthropic/claude-sonnet-4-5")
    if prices is not None and result.usage is not None:
        print(cost_of(result.usage, prices).usd)

Prices are never guessed. `prices_of` looks them up in the data of the package `genai-prices` as it is installed, and asks nobody over the network; a
newer version of that package has newer prices. What it does not know is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.presets import split_model
from ecs_agent.types import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

NOT_INSTALLED: Final = "prices of models come with a package that is not installed: pip install 'ecs-agent[prices]'"

_PRICED_AS: Final = {
    "openai": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "gemini": "google",
    "google": "google",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "groq": "groq",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "openrouter": "openrouter",
    "together": "together",
    "togetherai": "together",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "z-ai": "zai",
    "zai": "zai",
}
"""What the data calls a service. Not Azure, whose users choose the names of models, and no router that chooses who answers at which price."""


class Rates(Protocol):
    """What tokens cost, in US dollars per million."""

    @property
    def prompt(self) -> float:
        """Tokens of a prompt."""
        ...

    @property
    def completion(self) -> float:
        """Tokens of an answer, with those of its reasoning."""
        ...

    @property
    def cached(self) -> float | None:
        """Tokens of a prompt that are read from a cache; None for the same as others."""
        ...

    @property
    def cache_write(self) -> float | None:
        """Tokens of a prompt that are written to a cache; None for the same as others."""
        ...


class PriceList(Rates, Protocol):
    """What a model costs: `Prices`, or a `PricesComponent`."""

    @property
    def tiers(self) -> tuple[PriceTier, ...]:
        """Other rates for long prompts."""
        ...


@dataclass(frozen=True, slots=True)
class PriceTier:
    """The rates of a whole response whose prompt has more than `above` tokens, in US dollars per million tokens."""

    above: int
    prompt: float
    completion: float
    cached: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        check_rates(self)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a model costs, in US dollars per million tokens.

    Attributes:
        prompt: tokens of a prompt.
        completion: tokens of an answer, with those of its reasoning.
        cached: tokens of a prompt that are read from a cache; None for the same as others.
        cache_write: tokens of a prompt that are written to a cache; None for the same as others.
        tiers: other rates for long prompts, in any order.
    """

    prompt: float
    completion: float
    cached: float | None = None
    cache_write: float | None = None
    tiers: tuple[PriceTier, ...] = ()

    def __post_init__(self) -> None:
        check_rates(self)


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars. `estimated` says that it follows from tokens that nobody but we counted, or from a sum whose single responses are not known."""

    usd: float = 0.0
    estimated: bool = False

    def __add__(self, other: Cost) -> Cost:
        """The cost of two responses together; the sum is estimated when either is."""
        return Cost(self.usd + other.usd, self.estimated or other.estimated)


def check_rates(rates: Rates) -> None:
    """See that all of them are prices.

    Raises:
        ValueError: one is negative, infinite or not a number.
    """
    named = (("prompt", rates.prompt), ("completion", rates.completion), ("cached", rates.cached), ("cache_write", rates.cache_write))
    for name, price in named:
        if price is not None and not 0 <= price < math.inf:
            raise ValueError(f"the price of {name} tokens is {price}; give US dollars per million tokens, from 0 on")


def cost_of(usage: Usage, prices: PriceList, *, responses: int = 1) -> Cost:
    """What a response cost; reasoning counts as completion, as providers bill it.

    What a provider bills beside tokens, such as a web search of its own, is not in it.

    Args:
        usage: its tokens.
        prices: of its model.
        responses: of how many responses this is the sum. The prompt of the average one then says which tier holds, so that with tiers the cost is
            an estimate.
    """
    rates = _rates_at(usage.prompt_tokens / max(responses, 1), prices)
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    written = min(usage.cache_write_tokens or 0, usage.prompt_tokens - cached)
    millionths = (
        (usage.prompt_tokens - cached - written) * rates.prompt
        + cached * (rates.cached if rates.cached is not None else rates.prompt)
        + written * (rates.cache_write if rates.cache_write is not None else rates.prompt)
        + usage.completion_tokens * rates.completion
    )
    return Cost(millionths / 1_000_000, usage.estimated or (responses > 1 and bool(prices.tiers)))


def _rates_at(prompt_tokens: float, prices: PriceList) -> Rates:
    reached = [tier for tier in prices.tiers if prompt_tokens > tier.above]
    return max(reached, key=lambda tier: tier.above) if reached else prices


def prices_of(model: str, *, at: datetime | None = None) -> Prices | None:
    """What a model costs as a service's standard offer, as far as the installed data knows; None when it does not know.

    Of prices that are told apart by what `Usage` does not count, the one for text holds, and for writing to a cache that of the shortest time. What a
    model costs that is billed by the request as well, or whose reasoning has a price of its own, is not known.

    The first call reads the data, which takes about a quarter of a second.

    Args:
        model: as "anthropic/claude-sonnet-4-5": the name of the service, as `resolve_model` takes it, and the model's own.
        at: when it was asked, as prices change and some hold at night; now by default.

    Raises:
        ConfigurationError: the package with the data is not installed, or the model is not written so.
    """
    service, name = split_model(model)
    try:
        from genai_prices import Usage as Counts  # noqa: PLC0415 - an optional extra, and heavy
        from genai_prices import calc_price  # noqa: PLC0415 - likewise
    except ImportError:
        raise ConfigurationError(NOT_INSTALLED) from None
    provider = _PRICED_AS.get(service)
    if provider is None:
        return None
    try:
        found = calc_price(Counts(input_tokens=0, output_tokens=0), name, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    return _by_tokens(found.model_price)


def _by_tokens(price: ModelPrice) -> Prices | None:
    """The same without what is not billed by tokens; None where that is part of each response."""
    if any(beside is not None for beside in (price.requests_kcount, price.output_reasoning_mtok, price.output_citation_mtok)):
        return None
    if price.input_mtok is None or price.output_mtok is None:
        return None
    columns = _Columns(price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok)
    base, *tiers = [columns.above(tokens) for tokens in (0, *columns.starts())]
    return Prices(base.prompt, base.completion, base.cached, base.cache_write, tuple(tiers))


@dataclass(frozen=True, slots=True)
class _Columns:
    """The price of each kind of token, some with tiers of their own."""

    prompt: Decimal | TieredPrices
    completion: Decimal | TieredPrices
    cached: Decimal | TieredPrices | None
    cache_write: Decimal | TieredPrices | None

    def starts(self) -> list[int]:
        """Above how many tokens of a prompt any of them changes."""
        columns = (self.prompt, self.completion, self.cached, self.cache_write)
        return sorted({tier.start for column in columns if column is not None and not isinstance(column, Decimal) for tier in column.tiers})

    def above(self, tokens: int) -> PriceTier:
        """All of them, for prompts that are just longer."""
        return PriceTier(
            tokens,
            _price(self.prompt, tokens),
            _price(self.completion, tokens),
            _price(self.cached, tokens) if self.cached is not None else None,
            _price(self.cache_write, tokens) if self.cache_write is not None else None,
        )


def _price(column: Decimal | TieredPrices, above: int) -> float:
    if isinstance(column, Decimal):
        return float(column)
    reached = [tier for tier in column.tiers if above >= tier.start]
    return float(max(reached, key=lambda tier: tier.start).price if reached else column.base)
