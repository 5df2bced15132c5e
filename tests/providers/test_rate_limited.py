"""RateLimitedProvider: who may ask when, what a request counts, and what it gives back, on virtual time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_agent.errors import ErrorKind, ProviderError, RateLimitError, ServerError, UnsupportedFeatureError
from ecs_agent.providers import FakeProvider, FallbackProvider, RateLimitedProvider, RetryProvider, Script, estimate_tokens
from ecs_agent.testing import run
from ecs_agent.types import Message, RetryConfig, Usage

HI = [Message("user", "Hi")]
PROMPT = estimate_tokens(HI)


def now() -> float:
    return asyncio.get_running_loop().time()


def limited(count: int = 99, *, answer: Any = "a", takes: float = 0.0, **limits: Any) -> RateLimitedProvider:
    return RateLimitedProvider(FakeProvider([[takes, *([answer] if not isinstance(answer, list) else answer)]] * count, delay=0), **limits)


async def starts(provider: RateLimitedProvider, count: int, **options: Any) -> list[float]:
    """When so many that ask at once have their answer, in the order in which they asked."""

    async def one() -> float:
        await provider.complete(HI, **options)
        return now()

    return await asyncio.gather(*[one() for _ in range(count)])


def sent(provider: RateLimitedProvider) -> int:
    assert isinstance(provider.provider, FakeProvider)
    return len(provider.provider.calls)


class TestLimits:
    def test_without_limits_nobody_waits(self) -> None:
        assert run(lambda: starts(limited(), 20)) == [0.0] * 20

    def test_so_many_requests_start_within_a_minute_in_the_order_in_which_they_came(self) -> None:
        assert run(lambda: starts(limited(requests_per_minute=2), 5)) == [0.0, 0.0, 60.0, 60.0, 120.0]

    def test_so_many_are_asked_at_once(self) -> None:
        assert run(lambda: starts(limited(max_concurrent=2, takes=1.0), 5)) == [1.0, 1.0, 2.0, 2.0, 3.0]

    def test_so_many_tokens_are_asked_within_a_minute(self) -> None:
        provider = limited(answer=["a", Usage(10, 10, 20)], tokens_per_minute=50, takes=0.0)

        async def main() -> list[float]:
            times = []
            for _ in range(5):
                await provider.complete(HI)
                times.append(now())
            return times

        assert run(main) == [0.0, 0.0, 0.0, 60.0, 60.0]

    def test_all_limits_hold_at_once(self) -> None:
        provider = limited(requests_per_minute=3, max_concurrent=2, takes=10.0)
        assert run(lambda: starts(provider, 5)) == [10.0, 10.0, 20.0, 70.0, 70.0]

    def test_a_request_of_more_tokens_than_the_limit_has_a_minute_for_itself(self) -> None:
        provider = limited(answer=["a", Usage(500, 500, 1000)], tokens_per_minute=100)
        assert run(lambda: starts(provider, 3, max_tokens=1000)) == [0.0, 60.0, 120.0]

    def test_a_small_request_does_not_overtake_a_large_one(self) -> None:
        async def main() -> None:
            provider = limited(tokens_per_minute=100, answer=["a", Usage(30, 30, 60)])
            order: list[str] = []

            async def ask(name: str, max_tokens: int) -> None:
                await provider.complete(HI, max_tokens=max_tokens)
                order.append(name)

            await provider.complete(HI)
            await asyncio.gather(ask("large", 80), ask("small", 1))
            assert (order, now()) == (["large", "small"], 60.0)

        run(main)

    def test_the_next_event_loop_goes_on_with_it(self) -> None:
        provider = limited(requests_per_minute=1, max_concurrent=1)
        assert run(lambda: starts(provider, 2)) == [0.0, 60.0]
        assert run(lambda: starts(provider, 2)) == [0.0, 60.0]

    @pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "max_concurrent"])
    def test_limits_are_numbers(self, name: str) -> None:
        for wrong, error in ((0, ValueError), ("3", TypeError), (1.5, TypeError)):
            limits: dict[str, Any] = {name: wrong}
            with pytest.raises(error, match=f"{name} is"):
                RateLimitedProvider(FakeProvider([]), **limits)

    def test_so_is_the_wait(self) -> None:
        with pytest.raises(ValueError, match="wait is -1"):
            limited(wait=-1)


class TestWait:
    def test_who_waits_too_long_is_told_how_long_it_would_have_taken(self) -> None:
        async def main() -> None:
            provider = limited(requests_per_minute=1, wait=5.0)
            await provider.complete(HI)
            await asyncio.sleep(2)
            with pytest.raises(RateLimitError, match=r"1 requests a minute \(requests_per_minute\) left no room within 5.0 s \(wait\)") as caught:
                await provider.complete(HI, model="m2")
            error = caught.value
            assert (error.retry_after, now()) == (53.0, 7.0)
            assert (error.kind, error.retryable, error.provider, error.model) == (ErrorKind.RATE_LIMIT, True, "fake", "m2")
            assert (sent(provider), provider.waiting) == (1, 0)
            await asyncio.sleep(53)
            await provider.complete(HI)

        run(main)

    def test_the_limit_that_had_no_room_is_named(self) -> None:
        async def main() -> None:
            provider = limited(tokens_per_minute=10, wait=0)
            await provider.complete(HI)
            with pytest.raises(RateLimitError, match=r"10 tokens a minute \(tokens_per_minute\)"):
                await provider.complete(HI)

        run(main)

    def test_no_wait_at_all_is_no_failure_as_long_as_there_is_room(self) -> None:
        provider = limited(requests_per_minute=1, max_concurrent=1, wait=0)
        assert run(lambda: starts(provider, 1)) == [0.0]

    def test_when_somebody_will_be_done_nobody_knows(self) -> None:
        async def main() -> None:
            provider = limited(max_concurrent=1, takes=60.0, wait=5.0)
            first = asyncio.ensure_future(provider.complete(HI))
            await asyncio.sleep(0)
            with pytest.raises(RateLimitError, match="max_concurrent") as caught:
                await provider.complete(HI)
            assert (caught.value.retry_after, now(), caught.value.model) == (None, 5.0, "fake")
            await first
            await provider.complete(HI)

        run(main)

    def test_it_is_one_wait_for_all_limits(self) -> None:
        async def main() -> None:
            provider = limited(requests_per_minute=1, max_concurrent=1, takes=8.0, wait=10.0)
            first = asyncio.ensure_future(provider.complete(HI))
            await asyncio.sleep(0)
            with pytest.raises(RateLimitError, match="requests_per_minute") as caught:
                await provider.complete(HI)
            assert (caught.value.retry_after, now()) == (50.0, 10.0)
            await first
            assert provider._permits is not None
            assert provider._permits.held == 0

        run(main)

    def test_retrying_and_falling_back_know_what_to_do(self) -> None:
        async def main() -> None:
            provider = limited(requests_per_minute=1, wait=1.0)
            await provider.complete(HI)
            spare = FallbackProvider([provider, FakeProvider(["spare"])])
            assert (await spare.complete(HI)).message.content == "spare"
            assert (await RetryProvider(provider, RetryConfig(jitter=False)).complete(HI)).message.content == "a"
            assert now() == 60.0

        run(main)


class TestCancelling:
    @pytest.mark.parametrize("limits", [{"requests_per_minute": 1}, {"max_concurrent": 1}, {"tokens_per_minute": 8}])
    def test_a_waiter_that_is_cancelled_gives_its_turn_back(self, limits: dict[str, int]) -> None:
        async def main() -> list[float]:
            provider = limited(answer=["a", Usage(4, 4, 8)], takes=5.0, **limits)
            waiting = [asyncio.ensure_future(starts(provider, 1)) for _ in range(4)]
            await asyncio.sleep(1)
            assert provider.waiting == 3
            waiting[1].cancel()
            waiting.pop(1)
            return [time for times in await asyncio.gather(*waiting) for time in times]

        assert run(main) == ([5.0, 10.0, 15.0] if "max_concurrent" in limits else [5.0, 65.0, 125.0])

    def test_one_that_is_cancelled_while_it_is_asked_gives_its_place_back(self) -> None:
        async def main() -> None:
            provider = limited(max_concurrent=1, takes=60.0)
            first = asyncio.ensure_future(provider.complete(HI))
            second = asyncio.ensure_future(provider.complete(HI))
            await asyncio.sleep(1)
            first.cancel()
            await second
            assert now() == 61.0

        run(main)

    @example([(1, 0, None, False)] * 3 + [(61, 0, None, False)])  # who comes in the moment in which the third is served
    @settings(max_examples=40)  # each looks for garbage among all there is
    @given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5), st.none() | st.integers(0, 200), st.booleans()), min_size=1, max_size=12))
    def test_whoever_comes_and_goes_the_others_are_served_in_order(self, requests: list[tuple[int, int, int | None, bool]]) -> None:
        provider = limited(requests_per_minute=2, tokens_per_minute=60, max_concurrent=2, answer=["ab", 1.0, Usage(9, 9, 18)], takes=1.0)
        came: list[int] = []

        async def ask(number: int, comes: int, max_tokens: int, stream: bool) -> None:
            await asyncio.sleep(comes)
            came.append(number)
            answer: Any = await provider.complete(HI, stream=stream, max_tokens=max_tokens or None, seed=number)
            if stream:
                await anext(answer)

        async def main() -> list[Any]:
            loop = asyncio.get_running_loop()
            tasks = [asyncio.ensure_future(ask(n, comes, tokens, stream)) for n, (comes, tokens, _, stream) in enumerate(requests)]
            for task, (_, _, cancelled, _) in zip(tasks, requests, strict=True):
                if cancelled is not None:
                    loop.call_at(cancelled, task.cancel)
            return await asyncio.gather(*tasks, return_exceptions=True)

        for result, request in zip(run(main), requests, strict=True):
            assert result is None or (isinstance(result, asyncio.CancelledError) and request[2] is not None), result
        assert isinstance(provider.provider, FakeProvider)
        order = [call.options.get("seed") for call in provider.provider.calls]
        assert order == [number for number in came if number in order]
        assert provider.waiting == 0
        gc.collect()
        assert provider._permits is not None
        assert provider._permits.held == 0
        assert not provider._limiter._on_their_way


async def read_some(provider: RateLimitedProvider, way: str) -> None:
    """Ask for a stream and be done with it in one way or another."""
    stream = await provider.complete(HI, stream=True)
    try:
        await anext(stream)
        if way == "close":
            await stream.aclose()
        elif way == "end":
            _ = [delta async for delta in stream]
        elif way == "fail":
            with pytest.raises(ServerError):
                _ = [delta async for delta in stream]
    finally:
        del stream


class TestStreams:
    @pytest.mark.parametrize("way", ["close", "end", "fail", "drop"])
    def test_a_stream_keeps_its_place_until_it_is_over(self, way: str) -> None:
        async def main() -> None:
            answer: Any = ["a", 3.0, ServerError("down")] if way == "fail" else ["a", 3.0, "b"]
            provider = limited(answer=answer, max_concurrent=1)
            stream = await provider.complete(HI, stream=True)
            await anext(stream)
            second = asyncio.ensure_future(read_some(provider, way))
            await asyncio.sleep(10)
            assert provider.waiting == 1
            await stream.aclose()
            await second
            await read_some(provider, way)
            assert provider._permits is not None
            assert provider._permits.held == 0

        run(main)

    def test_an_open_stream_that_nobody_reads_keeps_it_too_until_it_is_dropped(self) -> None:
        async def main() -> None:
            provider = limited(max_concurrent=1, wait=1.0)
            stream = await provider.complete(HI, stream=True)
            with pytest.raises(RateLimitError):
                await provider.complete(HI)
            del stream
            await provider.complete(HI)

        run(main)

    def test_one_that_is_dropped_after_its_event_loop_gives_it_back(self) -> None:
        provider = limited(max_concurrent=1, tokens_per_minute=1000, requests_per_minute=5)
        held: list[Any] = []

        async def main() -> None:
            held.append(await provider.complete(HI, stream=True))

        run(main)
        held.clear()
        assert run(lambda: starts(provider, 1)) == [0.0]


class TestSettling:
    """What a request counts when it is over: there is room for 100 tokens, and `left` is how many of them are free."""

    async def left(self, provider: RateLimitedProvider) -> int:
        return next(tokens for tokens in range(100, -1, -1) if provider._limiter.opens_in(tokens) == 0.0)

    def ask(self, answer: Any, way: str = "whole", **options: Any) -> tuple[int, int]:
        """How many tokens are free while a request is asked, and when it is over."""

        async def main() -> tuple[int, int]:
            provider = limited(answer=answer, tokens_per_minute=100, takes=1.0)
            if way == "whole":
                asking = asyncio.ensure_future(provider.complete(HI, **options))
                await asyncio.sleep(0)
                meanwhile = await self.left(provider)
                try:
                    await asking
                except ProviderError:
                    pass
            else:
                stream = await provider.complete(HI, stream=True, **options)
                meanwhile = await self.left(provider)
                await anext(stream)
                if way == "end":
                    try:
                        _ = [delta async for delta in stream]
                    except ProviderError:
                        pass
                del stream
            return meanwhile, await self.left(provider)

        return run(main)

    @pytest.mark.parametrize("way", ["whole", "end"])
    def test_the_providers_count_replaces_the_estimate(self, way: str) -> None:
        assert self.ask(["a", Usage(20, 20, 40)], way, max_tokens=50) == (100 - PROMPT - 50, 60)
        assert self.ask(["a", Usage(50, 20, 70)], way) == (100 - PROMPT, 30)

    @pytest.mark.parametrize("way", ["whole", "end"])
    def test_without_one_it_is_estimated_anew(self, way: str) -> None:
        assert self.ask(["word " * 8], way, max_tokens=50) == (100 - PROMPT - 50, 100 - PROMPT - 10)

    def test_of_a_stream_that_was_left_so_much_counts_as_had_come(self) -> None:
        assert self.ask(["w" * 40, 5.0, "x" * 40], "left", max_tokens=50) == (100 - PROMPT - 50, 100 - PROMPT - 1)

    @pytest.mark.parametrize("way", ["whole", "end"])
    def test_of_an_answer_that_broke_off_too(self, way: str) -> None:
        assert self.ask(["word " * 8, ServerError("down")], way, max_tokens=50) == (100 - PROMPT - 50, 100 - PROMPT - 10)

    def test_a_request_that_was_refused_had_its_prompt(self) -> None:
        async def main() -> int:
            provider = RateLimitedProvider(FakeProvider([ServerError("down")]), tokens_per_minute=100)
            with pytest.raises(ServerError):
                await provider.complete(HI, stream=True, max_tokens=50)
            return await self.left(provider)

        assert run(main) == 100 - PROMPT

    def test_one_that_was_never_sent_counts_for_nothing(self) -> None:
        async def main() -> None:
            provider = limited(requests_per_minute=1, tokens_per_minute=100, max_concurrent=1)
            with pytest.raises(UnsupportedFeatureError):
                await provider.complete(HI, stream=True, response_format={"type": "json_object"})
            unknown: dict[str, Any] = {"nonsense": 1}
            with pytest.raises(TypeError):
                await provider.complete(HI, **unknown)
            assert await self.left(provider) == 100
            await provider.complete(HI)
            assert now() == 0.0

        run(main)

    def test_what_is_settled_lets_others_in(self) -> None:
        async def main() -> None:
            provider = RateLimitedProvider(FakeProvider([[2.0, "a", Usage(5, 5, 10)], "b"], delay=0), tokens_per_minute=100)
            first = asyncio.ensure_future(provider.complete(HI, max_tokens=90))
            second = asyncio.ensure_future(provider.complete(HI, max_tokens=40))
            await second
            assert now() == 2.0
            await first

        run(main)

    def test_without_a_limit_of_tokens_nothing_is_estimated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: Sequence[Message], **__: Any) -> int:
            raise AssertionError("this costs time")

        monkeypatch.setattr("ecs_agent.providers.rate_limited.estimate_tokens", never)
        monkeypatch.setattr("ecs_agent.providers.rate_limited.estimate_usage", never)
        provider = RateLimitedProvider(FakeProvider([Script("a", usage=None)] * 2), requests_per_minute=5)
        assert run(lambda: starts(provider, 2)) == [0.0, 0.0]
