"""RetryProvider: the formula, what is retried, and what is left alone; no test waits."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import AuthenticationError, ProviderConnectionError, ProviderError, QuotaError, RateLimitError, ServerError
from ecs_agent.providers import FakeProvider, RetryProvider
from ecs_agent.testing import run
from ecs_agent.types import Message, RetryConfig

HI = [Message("user", "Hi")]


class Waits(list[float]):
    """Notes the waits instead of waiting."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def retrying(*answers: Any, **config: Any) -> tuple[RetryProvider, Waits]:
    waits = Waits()
    return RetryProvider(FakeProvider(answers, delay=0), RetryConfig(**config), sleep=waits, rng=random.Random(1)), waits


async def test_it_asks_again_until_there_is_an_answer() -> None:
    provider, waits = retrying(ServerError("a", status=503), RateLimitError("b", status=429), "fine")
    assert (await provider.complete(HI)).message.content == "fine"
    assert len(waits) == 2


async def test_the_last_error_is_raised_when_attempts_are_used_up() -> None:
    last = ServerError("third", status=500)
    provider, waits = retrying(ServerError("a", status=500), ServerError("b", status=500), last)
    with pytest.raises(ServerError) as caught:
        await provider.complete(HI)
    assert caught.value is last
    assert len(waits) == 2


@pytest.mark.parametrize("error", [AuthenticationError("key", status=401), QuotaError("credit", status=429), ServerError("no", status=501)])
async def test_what_cannot_help_is_not_repeated(error: ProviderError) -> None:
    provider, waits = retrying(error, "never asked")
    with pytest.raises(type(error)):
        await provider.complete(HI)
    assert waits == []


async def test_an_error_without_a_status_is_repeated() -> None:
    provider, _ = retrying(ProviderConnectionError("refused"), "fine")
    assert (await provider.complete(HI)).message.content == "fine"


async def test_the_server_decides_how_long_to_wait() -> None:
    provider, waits = retrying(RateLimitError("slow", status=429, retry_after=1.5), "fine")
    await provider.complete(HI)
    assert waits == [1.5]


async def test_a_wait_above_two_minutes_is_not_made() -> None:
    provider, waits = retrying(RateLimitError("slow", status=429, retry_after=121.0), "never asked")
    with pytest.raises(RateLimitError):
        await provider.complete(HI)
    assert waits == []


@given(st.integers(1, 9), st.floats(0.1, 4), st.floats(0, 5), st.floats(5, 90), st.integers())
def test_the_wait_follows_the_formula(attempt: int, multiplier: float, shortest: float, longest: float, seed: int) -> None:
    config = RetryConfig(max_attempts=10, multiplier=multiplier, min_wait=shortest, max_wait=longest)
    wait = RetryProvider(FakeProvider([]), config, rng=random.Random(seed)).wait_after(attempt, ServerError("x", status=500))
    base = min(max(multiplier * 2 ** (attempt - 1), shortest), longest)
    assert wait is not None
    assert base <= wait <= min(longest, 2 * base) or wait == longest


def test_without_jitter_the_waits_double() -> None:
    provider = RetryProvider(FakeProvider([]), RetryConfig(max_attempts=9, jitter=False))
    assert [provider.wait_after(n, ServerError("x", status=500)) for n in range(1, 7)] == [4.0, 4.0, 4.0, 8.0, 16.0, 32.0]


async def test_the_whole_call_has_a_deadline() -> None:
    provider, waits = retrying(ServerError("a", status=500), "never asked", max_elapsed=1.0)
    with pytest.raises(ServerError):
        await provider.complete(HI)
    assert waits == []


def test_waiting_takes_virtual_time_only() -> None:
    async def main() -> str:
        provider = RetryProvider(FakeProvider([ServerError("a", status=500), "fine"]))
        return (await provider.complete(HI)).message.content

    assert run(main) == "fine"


async def test_a_stream_passes_through_untouched() -> None:
    provider, waits = retrying(ServerError("a", status=500), "fine")
    with pytest.raises(ServerError):
        await provider.complete(HI, stream=True)
    stream = await provider.complete(HI, stream=True)
    assert "".join([delta.content or "" async for delta in stream]) == "fine"
    assert waits == []


async def test_each_retry_is_a_log_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    provider, _ = retrying(ServerError("a", status=503), "fine")
    with caplog.at_level(logging.WARNING, logger="ecs_agent"):
        await provider.complete(HI)
    (record,) = [r for r in caplog.records if r.name == "ecs_agent.providers.retry"]
    assert "503" in record.getMessage() + str(vars(record))


async def test_it_looks_like_the_provider_it_wraps() -> None:
    closed: list[bool] = []

    class Closable(FakeProvider):
        async def aclose(self) -> None:
            closed.append(True)

    provider = RetryProvider(Closable([], name="inner", model="m1"))
    assert (provider.name, provider.model) == ("inner", "m1")
    assert "Closable" in repr(provider)
    await provider.aclose()
    await RetryProvider(FakeProvider([])).aclose()
    assert closed == [True]


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"min_wait": 5.0, "max_wait": 1.0}])
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_attempts|min_wait"):
        RetryConfig(**wrong)


def test_any_number_of_attempts_has_a_wait() -> None:
    provider = RetryProvider(FakeProvider([]), RetryConfig(max_attempts=5000, jitter=False, max_elapsed=None))
    assert provider.wait_after(4999, ServerError("busy")) == 60.0


async def test_the_deadline_is_on_the_clock_that_it_is_given() -> None:
    times = iter([0.0, 1.0, 299.0])
    flaky = FakeProvider([ServerError("busy")] * 3)
    provider = RetryProvider(flaky, RetryConfig(max_attempts=3, jitter=False), sleep=Waits(), clock=lambda: next(times))
    with pytest.raises(ServerError):
        await provider.complete(HI)
    assert len(flaky.calls) == 2


def test_a_configuration_of_another_kind_is_refused() -> None:
    wrong: Any = {"max_attempts": 2}
    with pytest.raises(TypeError, match="retry_config is a dict; give a RetryConfig"):
        RetryProvider(FakeProvider([]), wrong)


@pytest.mark.parametrize(("codes", "asked_again"), [((503,), True), ((529,), True), ((500,), False)])
async def test_overloaded_in_anthropics_number_is_what_503_is(codes: tuple[int, ...], asked_again: bool) -> None:
    provider, waits = retrying(ServerError("overloaded", status=529), "fine", retry_status_codes=codes)
    if asked_again:
        assert (await provider.complete(HI)).message.content == "fine"
    else:
        with pytest.raises(ServerError):
            await provider.complete(HI)
    assert len(waits) == asked_again
