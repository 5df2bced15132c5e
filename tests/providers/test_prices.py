"""Prices: one way to count, and data that is looked up and never guessed."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import PRESETS, Cost, Prices, PriceTier, cost_of, prices_of
from ecs_agent.providers import prices as module
from ecs_agent.types import Usage

if TYPE_CHECKING:
    import genai_prices
    from genai_prices import data_snapshot
else:
    genai_prices = pytest.importorskip("genai_prices")
    data_snapshot = pytest.importorskip("genai_prices.data_snapshot")

MILLION = 1_000_000
PLAIN = Prices(3.0, 15.0, 0.3, 3.75)
LONG = Prices(1.0, 10.0, 0.1, 1.25, (PriceTier(400_000, 4.0, 40.0), PriceTier(200_000, 2.0, 20.0, 0.2, 2.5)))


class TestCost:
    @pytest.mark.parametrize(
        ("usage", "dollars"),
        [
            (Usage(MILLION, 0, MILLION), 3.0),
            (Usage(0, MILLION, MILLION), 15.0),
            (Usage(MILLION, 0, MILLION, cached_tokens=400_000), 0.6 * 3 + 0.4 * 0.3),
            (Usage(MILLION, 0, MILLION, cache_write_tokens=400_000), 0.6 * 3 + 0.4 * 3.75),
            (Usage(MILLION, 0, MILLION, cached_tokens=500_000, cache_write_tokens=500_000), 0.5 * 0.3 + 0.5 * 3.75),
            (Usage(MILLION, 0, MILLION, cached_tokens=900_000, cache_write_tokens=500_000), 0.9 * 0.3 + 0.1 * 3.75),  # no more than there was
            (Usage(MILLION, 0, MILLION, cached_tokens=9 * MILLION), 0.3),
        ],
    )
    def test_each_kind_of_token_has_its_price(self, usage: Usage, dollars: float) -> None:
        assert cost_of(usage, PLAIN).usd == pytest.approx(dollars)

    def test_what_has_no_price_of_its_own_costs_what_others_do(self) -> None:
        assert cost_of(Usage(30, 0, 30, cached_tokens=10, cache_write_tokens=10), Prices(2.0, 0.0)) == cost_of(Usage(30, 0, 30), Prices(2.0, 0.0))

    @pytest.mark.parametrize(
        ("prompt", "rate", "cached_rate", "written_rate"),
        [(200_000, 1.0, 0.1, 1.25), (200_001, 2.0, 0.2, 2.5), (400_000, 2.0, 0.2, 2.5), (400_001, 4.0, 4.0, 4.0)],
    )
    def test_the_rates_of_a_long_prompt_hold_for_all_of_the_response(self, prompt: int, rate: float, cached_rate: float, written_rate: float) -> None:
        expected = ((prompt - 300) * rate + 100 * cached_rate + 200 * written_rate + 50 * 10 * rate) / MILLION
        assert cost_of(Usage(prompt, 50, prompt + 50, 100, cache_write_tokens=200), LONG).usd == pytest.approx(expected)

    def test_a_sum_of_responses_is_in_the_tier_of_the_average_one_and_an_estimate(self) -> None:
        usage = Usage(300_000, 0, 300_000)
        assert cost_of(usage, LONG) == Cost(0.6)
        assert cost_of(usage, LONG, responses=2) == Cost(0.3, estimated=True)
        assert not cost_of(usage, PLAIN, responses=2).estimated
        assert cost_of(usage, LONG, responses=0) == cost_of(usage, LONG)

    def test_the_cost_of_an_estimated_usage_is_one(self) -> None:
        assert cost_of(Usage(0, 10, 10, estimated=True), PLAIN).estimated
        assert not cost_of(Usage(0, 10, 10), PLAIN).estimated

    def test_a_sum_is_estimated_when_either_is(self) -> None:
        assert Cost(1.0) + Cost(2.0) == Cost(3.0)
        assert Cost(1.0, estimated=True) + Cost(2.0) == Cost(2.0) + Cost(1.0, estimated=True) == Cost(3.0, estimated=True)

    @given(st.integers(0, 10**7), st.integers(0, 10**6), st.none() | st.integers(0, 10**7), st.none() | st.integers(0, 10**7))
    def test_it_lies_between_all_tokens_at_the_lowest_and_at_the_highest_rate(
        self, prompt: int, completion: int, cached: int | None, written: int | None
    ) -> None:
        usage = Usage(prompt, completion, prompt + completion, cached, cache_write_tokens=written)
        assert (prompt + completion) * 0.3 / MILLION <= cost_of(usage, PLAIN).usd + 1e-9
        assert cost_of(usage, PLAIN).usd <= (prompt + completion) * 15.0 / MILLION + 1e-9

    @pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
    @pytest.mark.parametrize("name", ["prompt", "completion", "cached", "cache_write"])
    def test_a_price_that_is_none_is_refused(self, name: str, wrong: float) -> None:
        rates: dict[str, Any] = {"prompt": 1.0, "completion": 1.0, name: wrong}
        for refuse in (lambda: Prices(**rates), lambda: PriceTier(0, **rates)):
            with pytest.raises(ValueError, match=f"the price of {name} tokens is"):
                refuse()


def entry(**columns: Any) -> Any:
    """What the data says of a model; columns are dollars, or dollars and tiers as pairs of where they start and dollars."""
    from genai_prices.types import ModelPrice, Tier, TieredPrices

    def column(value: Any) -> Any:
        if not isinstance(value, tuple):
            return Decimal(str(value))
        return TieredPrices(Decimal(str(value[0])), [Tier(start, Decimal(str(price))) for start, price in value[1:]])

    return ModelPrice(**{name: column(value) for name, value in columns.items()})


class TestData:
    def test_a_model_has_the_prices_that_the_package_says(self) -> None:
        assert prices_of("groq/llama-3.3-70b-versatile") == Prices(0.59, 0.79)
        sonnet = prices_of("anthropic/claude-sonnet-4-5")
        assert sonnet is not None
        assert (sonnet.prompt, sonnet.completion, sonnet.cached, sonnet.cache_write) == (3.0, 15.0, 0.3, 3.75)
        assert sonnet.tiers == (PriceTier(200_000, 6.0, 22.5, 0.6, 7.5),)

    @pytest.mark.parametrize(
        "model", ["openai/gpt-99-imaginary", "ollama/qwen3", "azure/gpt-4o", "bogus/gpt-4o", "local/tiny.gguf", "openai-decisions/x"]
    )
    def test_what_the_package_does_not_know_is_not_guessed(self, model: str) -> None:
        assert prices_of(model) is None

    def test_a_model_without_its_service_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="write it as 'service/model'"):
            prices_of("gpt-4o")

    @pytest.mark.parametrize("beside", ["requests_kcount", "output_reasoning_mtok", "output_citation_mtok"])
    def test_what_is_billed_otherwise_than_by_tokens_is_not_known(self, beside: str) -> None:
        assert module._by_tokens(entry(input_mtok=1, output_mtok=2)) == Prices(1.0, 2.0)
        assert module._by_tokens(entry(input_mtok=1, output_mtok=2, **{beside: 0})) is None

    @pytest.mark.parametrize("columns", [{}, {"input_mtok": 1}, {"output_mtok": 1}])
    def test_nor_is_that_of_which_a_price_is_missing(self, columns: dict[str, Any]) -> None:
        assert module._by_tokens(entry(**columns)) is None

    def test_tiers_that_begin_at_different_lengths_are_told_apart(self) -> None:
        found = module._by_tokens(entry(input_mtok=(1, (200, 3), (100, 2)), output_mtok=(5, (150, 6)), cache_read_mtok=0.5))
        assert found == Prices(1.0, 5.0, 0.5, None, (PriceTier(100, 2.0, 5.0, 0.5), PriceTier(150, 2.0, 6.0, 0.5), PriceTier(200, 3.0, 6.0, 0.5)))

    def test_prices_are_those_of_the_time(self) -> None:
        day, night = [prices_of("deepseek/deepseek-chat", at=datetime(2025, 7, 1, hour, tzinfo=UTC)) for hour in (8, 20)]
        assert day is not None
        assert night is not None
        assert night.prompt < day.prompt

    @pytest.mark.parametrize("service", sorted(module._PRICED_AS))
    def test_all_models_of_a_service_cost_what_the_package_itself_counts(self, service: str) -> None:
        known_as, now = module._PRICED_AS[service], datetime(2026, 7, 1, 12, tzinfo=UTC)
        models = next(provider.models for provider in data_snapshot.get_snapshot().providers if provider.id == known_as)
        prefix = "accounts/fireworks/models/" if service == "fireworks" else ""  # part of the names there, and not of the data's
        names = [prefix + model.id for model in models]
        known = {name: prices for name in names if (prices := prices_of(f"{service}/{name}", at=now)) is not None}
        assert known
        for model, prices in known.items():
            for prompt, completion, read, written in [(1000, 50, 0, 0), (1000, 50, 200, 300), (200_000, 7, 9, 0), (272_001, 5, 70_000, 3)]:
                counts = genai_prices.Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=read, cache_write_tokens=written)
                theirs = genai_prices.calc_price(counts, model, provider_id=known_as, genai_request_timestamp=now).total_price
                ours = cost_of(Usage(prompt, completion, prompt + completion, read, cache_write_tokens=written), prices)
                assert ours.usd == pytest.approx(float(theirs), abs=1e-12), (model, prompt)

    def test_a_service_that_has_prices_has_them_under_all_its_names(self) -> None:
        for preset in PRESETS:
            assert len({module._PRICED_AS.get(name) for name in (preset.name, *preset.aliases)}) == 1, preset.name


def test_nothing_is_asked_over_the_network_and_no_thread_is_started() -> None:
    code = """
import sys, threading
def listen(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(listen)
from ecs_agent.providers import prices_of
assert prices_of("openai/gpt-4o") is not None
assert prices_of("openai/imaginary") is None
assert threading.active_count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
