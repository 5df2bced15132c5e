"""CachedProvider: what is the same request, what is served again, and who waits for whom."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import ServerError, StreamInterruptedError, UnsupportedFeatureError
from ecs_agent.providers import CachedProvider, FakeProvider, Script
from ecs_agent.providers.script import Answer
from ecs_agent.streaming import CompletionStream
from ecs_agent.testing import random_script, run
from ecs_agent.types import CompletionResult, Message, TextPart, Timing, ToolCall, ToolSchema, Usage

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdefghij"


def cached(*answers: Answer, **options: Any) -> CachedProvider:
    return CachedProvider(FakeProvider(answers, delay=0.5, by="word"), **options)


def asked(provider: CachedProvider) -> int:
    assert isinstance(provider.provider, FakeProvider)
    return len(provider.provider.calls)


async def whole(provider: CachedProvider, **options: Any) -> CompletionResult:
    result: CompletionResult = await provider.complete(HI, **options)
    return result


async def streamed(provider: CachedProvider, **options: Any) -> CompletionResult:
    async with await provider.complete(HI, stream=True, **options) as stream:
        async for _ in stream:
            pass
        result: CompletionResult = stream.result()
        return result


BOTH = [pytest.param(whole, id="whole"), pytest.param(streamed, id="streamed")]


class TestHits:
    @pytest.mark.parametrize("first", BOTH)
    @pytest.mark.parametrize("second", BOTH)
    def test_a_whole_answer_serves_a_stream_and_the_other_way_round(self, first: Any, second: Any) -> None:
        async def main() -> None:
            provider = cached(["One ", "two.", ToolCall("c", "f", {"a": 1}), Usage(7, 8, 15)])
            answer, again = await first(provider), await second(provider)
            assert (again.message, again.usage, again.finish_reason) == (answer.message, Usage(7, 8, 15), "tool_calls")
            assert again.raw_finish_reason == answer.raw_finish_reason
            assert (provider.hits, provider.misses, asked(provider)) == (1, 1, 1)

        run(main)

    @given(st.integers(0, 10_000))
    def test_whatever_the_answer_is(self, seed: int) -> None:
        async def main() -> None:
            provider = CachedProvider(FakeProvider([random_script(seed)] * 2, delay=0))
            first = await streamed(provider)
            for again in (await streamed(provider), await whole(provider)) if first.finish_reason in ("stop", "tool_calls") else ():
                assert (again.message, again.usage, again.finish_reason) == (first.message, first.usage, first.finish_reason)

        run(main)

    def test_its_timing_says_that_nothing_was_waited_for(self) -> None:
        async def main() -> None:
            provider = cached("One two.")
            first = await streamed(provider)
            assert first.timing is not None
            assert first.timing.duration == 1.5
            before = asyncio.get_running_loop().time()
            assert (await whole(provider)).timing == Timing(0.0, 0.0, 1)
            timing = (await streamed(provider)).timing
            assert timing is not None
            assert timing.deltas == 1
            assert asyncio.get_running_loop().time() == before

        run(main)

    def test_a_hit_is_a_stream_like_any_other(self) -> None:
        async def main() -> None:
            provider = cached("One.")
            await whole(provider)
            stream = await provider.complete(HI, stream=True)
            assert isinstance(stream, CompletionStream)
            assert [piece async for piece in stream.text()] == ["One."]

        run(main)

    def test_limits_of_time_ask_nothing_else(self) -> None:
        async def main() -> None:
            provider = cached("One.")
            await whole(provider, total_timeout=5.0)
            await whole(provider, read_timeout=None)
            assert provider.hits == 1

        run(main)


class TestMisses:
    @pytest.mark.parametrize(
        "options",
        [
            {"model": "other"},
            {"temperature": 0.5},
            {"tools": [ToolSchema("f", "d", {})]},
            {"extra_headers": {"x-tenant": "1"}},
            {"extra_headers": {"x-tenant": "2"}},
            {"extra_headers": {"authorization": CANARY}},
            {"extra_body": {"key": CANARY}},
            {"extra_body": {"key": CANARY + "2"}},
        ],
    )
    def test_whatever_else_is_asked_is_another_request(self, options: Any) -> None:
        async def main() -> None:
            provider = cached(*["a"] * 4)
            await whole(provider)
            await whole(provider, extra_headers={"x-tenant": "0"}, extra_body={"key": CANARY[:-1]})
            await whole(provider, **options)
            assert (provider.hits, provider.misses) == (0, 3)
            await whole(provider, **options)
            assert provider.hits == 1

        run(main)

    def test_so_are_other_messages_even_if_only_a_key_in_them_differs(self) -> None:
        async def main() -> None:
            provider = cached("a", "b")
            for canary in (CANARY, CANARY + "2"):
                await provider.complete([Message("user", f"Is {canary} a key?")])
            assert provider.misses == 2

        run(main)

    def test_and_another_provider_with_the_same_store(self) -> None:
        async def main() -> None:
            store: dict[str, bytes] = {}
            for name, model in (("a", "m"), ("b", "m"), ("a", "n")):
                provider = CachedProvider(FakeProvider(["x"], name=name, model=model), store=store)
                await whole(provider)
                assert provider.misses == 1
            again = CachedProvider(FakeProvider([], name="a", model="m"), store=store)
            assert (await whole(again, model="m")).message.content == "x"
            assert len(store) == 3

        run(main)

    @pytest.mark.parametrize("ask", BOTH)
    @pytest.mark.parametrize("answer", [Script("cut", finish_reason="length"), Script("no", finish_reason="content_filter")])
    def test_a_cut_answer_is_not_kept(self, ask: Any, answer: Script) -> None:
        async def main() -> None:
            provider = cached(answer, "whole")
            await ask(provider)
            assert (await ask(provider)).message.content == "whole"

        run(main)

    @pytest.mark.parametrize("ask", BOTH)
    def test_an_error_is_not(self, ask: Any) -> None:
        async def main() -> None:
            provider = cached(["One ", ServerError("down")], ServerError("down"), "whole")
            for _ in range(2):
                with pytest.raises(ServerError):
                    await ask(provider)
            assert (await ask(provider)).message.content == "whole"
            assert (provider.hits, provider.misses) == (0, 3)

        run(main)

    @pytest.mark.parametrize("way", ["close", "drop", "cancel"])
    def test_one_that_was_left_is_not(self, way: str) -> None:
        async def main() -> None:
            provider = cached("One two three.", "whole")
            stream = await provider.complete(HI, stream=True)
            await anext(stream)
            if way == "cancel":
                reading = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.1)
                reading.cancel()
                await asyncio.wait([reading])
            elif way == "close":
                await stream.aclose()
            del stream
            gc.collect()
            assert (await whole(provider)).message.content == "whole"

        run(main)

    def test_one_that_was_left_after_its_finish_is_whole(self) -> None:
        async def main() -> None:
            provider = cached("One.")
            async for delta in await provider.complete(HI, stream=True):
                if delta.final:
                    break
            assert (await whole(provider)).message.content == "One."

        run(main)

    def test_what_is_no_data_passes_through(self) -> None:
        async def main() -> None:
            provider = cached("a", "b", "c")
            options: Any = {"extra_body": {"x": object()}}
            assert [(await ask(provider, **options)).message.content for ask in (whole, streamed)] == ["a", "b"]
            assert (provider.hits, provider.misses) == (0, 0)
            messages: Any = ["Hi"]
            with pytest.raises(TypeError, match="messages holds a str"):
                await provider.complete(messages)

        run(main)

    def test_a_structured_answer_is_kept_and_never_streamed(self) -> None:
        async def main() -> None:
            provider = cached("{}", "never")
            options: Any = {"response_format": {"type": "json_object"}}
            await whole(provider, **options)
            await whole(provider, **options)
            assert provider.hits == 1
            with pytest.raises(UnsupportedFeatureError):
                await streamed(provider, **options)

        run(main)


class TestStore:
    def test_nothing_secret_is_kept(self) -> None:
        async def main() -> None:
            store: dict[str, bytes] = {}
            provider = cached(f"Your key is {CANARY}.", "Your key is odd-secret-value.", "Hm.", store=store)
            await whole(provider, extra_headers={"authorization": f"Bearer {CANARY}"})
            await streamed(provider, extra_headers={"x-key": "odd-secret-value"})
            await provider.complete([Message("user", CANARY)], extra_body={"key": CANARY})
            assert len(store) == 1
            assert "canary" not in str(store)

        run(main)

    def test_it_is_bounded(self) -> None:
        async def main() -> None:
            store: dict[str, bytes] = {}
            provider = cached(*"abcd", max_entries=2, store=store)
            for seed in (1, 2, 3):
                await whole(provider, seed=seed)
            assert len(store) == 2
            assert (await whole(provider, seed=1)).message.content == "d"

        run(main)

    def test_an_answer_is_kept_for_so_long(self) -> None:
        async def main() -> None:
            times = [0.0]
            provider = cached("a", "b", ttl=60.0, clock=lambda: times[0])
            await whole(provider)
            times[0] = 59.0
            assert (await whole(provider)).message.content == "a"
            times[0] = 60.0
            assert (await streamed(provider)).message.content == "b"

        run(main)

    def test_a_damaged_entry_is_a_miss(self) -> None:
        async def main() -> None:
            store: dict[str, bytes] = {}
            provider = cached("a", "b", store=store)
            await whole(provider)
            store[next(iter(store))] = b"{"
            assert (await whole(provider)).message.content == "b"
            assert (await whole(provider)).message.content == "b"

        run(main)

    @pytest.mark.parametrize(("options", "error"), [({"max_entries": 0}, ValueError), ({"max_entries": "3"}, TypeError), ({"ttl": -1}, ValueError)])
    def test_limits_are_numbers(self, options: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match=f"{next(iter(options))} is"):
            cached(**options)


class TestAtTheSameTime:
    def test_equal_requests_ask_once(self) -> None:
        async def main() -> None:
            provider = cached([2.0, "a"], [1.0, "b"])
            results = await asyncio.gather(whole(provider), whole(provider), whole(provider, seed=1), whole(provider))
            assert [result.message.content for result in results] == ["a", "a", "b", "a"]
            assert (provider.hits, provider.misses, asked(provider)) == (2, 2, 2)
            assert provider._flights == {}

        run(main)

    def test_they_share_an_answer_that_is_not_kept(self) -> None:
        async def main() -> None:
            provider = cached(Script(steps=[1.0, "cut"], finish_reason="length"), "never")
            results = await asyncio.gather(whole(provider), whole(provider))
            assert [result.message.content for result in results] == ["cut", "cut"]

        run(main)

    def test_they_share_an_error(self) -> None:
        async def main() -> None:
            provider = cached([1.0, "a", ServerError("down")], "b")
            first, second = await asyncio.gather(whole(provider), whole(provider), return_exceptions=True)
            assert isinstance(first, ServerError)
            assert first is second
            assert (await whole(provider)).message.content == "b"
            assert (provider.hits, provider.misses) == (0, 2)

        run(main)

    def test_when_the_one_that_asks_is_cancelled_the_next_one_asks(self) -> None:
        async def main() -> None:
            provider = cached([2.0, "a"], [2.0, "b"])
            first, second, third = [asyncio.ensure_future(whole(provider)) for _ in range(3)]
            await asyncio.sleep(1)
            first.cancel()
            assert [result.message.content for result in await asyncio.gather(second, third)] == ["b", "b"]
            assert (asyncio.get_running_loop().time(), provider.hits, provider.misses) == (3.0, 1, 2)

        run(main)

    def test_one_that_waits_may_be_cancelled(self) -> None:
        async def main() -> None:
            provider = cached([2.0, "a"])
            first, second = [asyncio.ensure_future(whole(provider)) for _ in range(2)]
            await asyncio.sleep(1)
            second.cancel()
            assert (await first).message.content == "a"
            assert second.cancelled()

        run(main)

    def test_those_with_other_limits_of_time_do_not_wait_for_each_other(self) -> None:
        async def main() -> None:
            provider = cached([2.0, "a"], [1.0, "b"])
            first, second = await asyncio.gather(whole(provider, total_timeout=9.0), whole(provider, total_timeout=None))
            assert (first.message.content, second.message.content) == ("a", "b")

        run(main)

    def test_streams_ask_each_for_itself_and_are_kept(self) -> None:
        async def main() -> None:
            provider = cached("a", "a", "never")
            results = await asyncio.gather(streamed(provider), streamed(provider))
            assert [result.message.parts for result in results] == [(TextPart("a"),)] * 2
            assert (await whole(provider)).message.content == "a"
            assert (provider.hits, provider.misses) == (1, 2)

        run(main)

    def test_a_loop_that_died_in_the_middle_holds_nobody_up(self) -> None:
        provider = cached([2.0, "a"], "b")
        left: list[Any] = []

        async def die() -> None:
            left.append(whole(provider))
            left[0].send(None)

        run(die)
        assert run(lambda: whole(provider)).message.content == "b"
        assert provider._flights == {}
        left[0].close()
        assert provider._flights == {}


def test_a_stream_without_a_finish_is_not_kept() -> None:
    class Stops:
        async def complete(self, messages: Any, stream: bool = False) -> Any:
            async def nothing() -> Any:
                return
                yield

            return nothing()

    async def main() -> None:
        provider = CachedProvider(Stops())
        for ask in (whole, streamed):
            with pytest.raises(StreamInterruptedError):
                await ask(provider)
        assert (provider.hits, provider.misses) == (0, 2)

    run(main)
