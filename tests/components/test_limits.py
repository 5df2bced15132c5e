"""Limits and prices: what they are by default, and what makes no sense."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ecs_agent import World, WorldSerializer
from ecs_agent.components import limits, reasoning
from ecs_agent.components.limits import LimitsComponent, PricesComponent, cost_of
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import Prices, PriceTier
from ecs_agent.providers import prices as counting
from ecs_agent.types import Usage


def test_the_defaults_are_those_that_are_promised() -> None:
    found = LimitsComponent()
    assert (found.turns, found.tool_calls, found.tokens, found.depth) == (50, 32, 1_000_000, 5)
    assert (found.cost, found.run_tool_calls, found.parallel_tools) == (None, None, None)
    assert (found.tree_turns, found.tree_tool_calls, found.tree_tokens, found.tree_cost) == (None, None, None, None)


@pytest.mark.parametrize("wrong", [{"turns": -1}, {"cost": math.nan}, {"tree_cost": -0.5}, {"tokens": math.nan}, {"parallel_tools": 0}])
def test_a_limit_that_would_never_or_always_hold_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LimitsComponent(**wrong)


def test_it_has_one_home() -> None:
    assert reasoning.LimitsComponent is limits.LimitsComponent


@pytest.mark.parametrize(
    ("usage", "prices", "dollars"),
    [
        (Usage(1_000_000, 0, 1_000_000), PricesComponent(3.0, 15.0), 3.0),
        (Usage(0, 1_000_000, 1_000_000), PricesComponent(3.0, 15.0), 15.0),
        (Usage(1_000_000, 0, 1_000_000, cached_tokens=400_000), PricesComponent(3.0, 15.0, 0.3), 1.92),
        (Usage(1_000_000, 0, 1_000_000, cached_tokens=400_000), PricesComponent(3.0, 15.0), 3.0),
        (Usage(10, 0, 10, cached_tokens=400_000), PricesComponent(3.0, 15.0, 0.0), 0.0),  # no more can be cached than there was
        (Usage(0, 10, 10, reasoning_tokens=8), PricesComponent(3.0, 100_000.0), 1.0),
    ],
)
def test_what_a_response_costs(usage: Usage, prices: PricesComponent, dollars: float) -> None:
    assert cost_of(usage, prices).usd == pytest.approx(dollars)


def test_there_is_one_way_to_count() -> None:
    assert cost_of is counting.cost_of
    tiers = (PriceTier(200, 2.0, 3.0, 0.2, 4.0),)
    usage = Usage(300, 10, 310, cached_tokens=100, cache_write_tokens=50)
    assert cost_of(usage, PricesComponent(1.0, 1.0, 0.5, 1.5, tiers)) == cost_of(usage, Prices(1.0, 1.0, 0.5, 1.5, tiers))


def test_prices_survive_being_saved_and_loaded(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "world.json"
    component = PricesComponent(1.0, 2.0, 0.1, 1.5, (PriceTier(200_000, 2.0, 3.0, None, 2.5), PriceTier(400_000, 3.0, 4.0)))
    entity = world.create_entity()
    world.add_component(entity, component)
    WorldSerializer.save(world, path)
    assert WorldSerializer.load(path, {}, {}).get_component(entity, PricesComponent) == component


class TestLookedUp:
    def test_they_are_those_of_the_data(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tiers = (PriceTier(200_000, 2.0, 3.0),)
        asked: list[tuple[str, datetime | None]] = []

        def prices_of(model: str, *, at: datetime | None = None) -> Prices | None:
            asked.append((model, at))
            return Prices(1.0, 2.0, 0.1, 1.5, tiers) if model == "openai/known" else None

        monkeypatch.setattr(limits, "prices_of", prices_of)
        at = datetime(2026, 1, 1, tzinfo=UTC)
        assert PricesComponent.of("openai/known", at=at) == PricesComponent(1.0, 2.0, 0.1, 1.5, tiers)
        assert asked == [("openai/known", at)]
        with pytest.raises(ConfigurationError, match="nobody knows what 'openai/new' costs; look it up and give PricesComponent"):
            PricesComponent.of("openai/new")


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_a_price_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="price of prompt tokens"):
        PricesComponent(wrong, 1.0)
    with pytest.raises(ValueError, match="price of cached tokens"):
        PricesComponent(1.0, 1.0, wrong)
