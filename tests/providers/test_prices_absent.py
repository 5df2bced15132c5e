"""Without the extra, prices that are looked up say how to get it, and prices that are given count as ever."""

from __future__ import annotations

import sys

import pytest

from ecs_agent.components import PricesComponent
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import Prices, cost_of, prices_of
from ecs_agent.types import Usage


@pytest.fixture(autouse=True)
def no_such_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "ollama/qwen3"])
def test_one_sentence_says_how_to_get_it(model: str) -> None:
    for look_up in (prices_of, PricesComponent.of):
        with pytest.raises(ConfigurationError) as caught:
            look_up(model)
        assert str(caught.value) == "prices of models come with a package that is not installed: pip install 'ecs-agent[prices]'"


def test_counting_needs_no_package() -> None:
    assert cost_of(Usage(1_000_000, 0, 1_000_000), Prices(3.0, 15.0)).usd == 3.0
