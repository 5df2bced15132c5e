"""InstrumentedProvider: each call has one beginning and one end, whatever happens, and hooks disturb nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from ecs_agent.errors import ServerError, StreamInterruptedError, UnsupportedFeatureError
from ecs_agent.providers import CachedProvider, CallHooks, FakeProvider, InstrumentedProvider, ProviderCall, RetryProvider
from ecs_agent.streaming import CompletionStream
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.testing import run
from ecs_agent.types import CompletionResult, Message, RetryConfig, StreamDelta, ToolSchema, Usage

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdefghij"


class Notes(CallHooks):
    """Writes down what it hears; `raising` are the hooks that raise."""

    def __init__(self, *raising: str) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.calls: list[ProviderCall] = []
        self.raising = raising

    def note(self, hook: str, call: ProviderCall, *told: object) -> None:
        self.heard.append((hook, call.number, *told))
        if hook in self.raising:
            raise ZeroDivisionError(hook)

    def started(self, call: ProviderCall) -> None:
        self.calls.append(call)
        self.note("started", call)

    def first_delta(self, call: ProviderCall) -> None:
        self.note("first_delta", call)

    def finished(self, call: ProviderCall, result: CompletionResult) -> None:
        self.note("finished", call, result.message.content)

    def failed(self, call: ProviderCall, error: Exception) -> None:
        self.note("failed", call, type(error))

    def left(self, call: ProviderCall, partial: CompletionResult | None) -> None:
        self.note("left", call, partial and partial.message.content)


def watched(*answers: Any, raising: Sequence[str] = (), **options: Any) -> tuple[InstrumentedProvider, Notes]:
    hooks = Notes(*raising)
    return InstrumentedProvider(FakeProvider(answers, **{"delay": 0.5, "by": "word", **options}), hooks), hooks


async def read(provider: InstrumentedProvider) -> CompletionResult:
    async with await provider.complete(HI, stream=True) as stream:
        async for _ in stream:
            pass
        return stream.result()


class TestEnds:
    def test_a_whole_answer_has_a_beginning_and_an_end(self) -> None:
        provider, hooks = watched("One two.")
        run(lambda: provider.complete(HI))
        assert hooks.heard == [("started", 1), ("finished", 1, "One two.")]

    def test_a_stream_has_a_first_delta_too(self) -> None:
        provider, hooks = watched("One two.")
        run(lambda: read(provider))
        assert hooks.heard == [("started", 1), ("first_delta", 1), ("finished", 1, "One two.")]

    def test_one_that_is_left_after_its_finish_is_finished(self) -> None:
        provider, hooks = watched("One.")

        async def main() -> None:
            async for delta in await provider.complete(HI, stream=True):
                if delta.final:
                    break

        run(main)
        assert hooks.heard[-1] == ("finished", 1, "One.")

    @pytest.mark.parametrize("way", ["close", "abort", "break", "cancel", "unread"])
    def test_one_that_is_left_before_has_what_had_arrived(self, way: str) -> None:
        provider, hooks = watched("One two three.")

        async def main() -> None:
            stream = await provider.complete(HI, stream=True)
            if way == "unread":
                return
            await anext(stream)
            if way == "close":
                await stream.aclose()
            elif way == "abort":
                stream.abort()
            elif way == "cancel":
                reading = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.1)
                reading.cancel()
                await asyncio.wait([reading])
            del stream
            gc.collect()

        run(main)
        began = [] if way == "unread" else [("first_delta", 1)]
        assert hooks.heard == [("started", 1), *began, ("left", 1, "" if way == "unread" else "One ")]

    @pytest.mark.parametrize("stream", [False, True])
    def test_one_that_is_cancelled_while_it_is_asked_has_nothing(self, stream: bool) -> None:
        class Silent:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
                await asyncio.sleep(60)

        hooks = Notes()

        async def main() -> None:
            asking = asyncio.ensure_future(InstrumentedProvider(Silent(), hooks).complete(HI, stream=stream))
            await asyncio.sleep(1)
            asking.cancel()
            await asyncio.wait([asking])

        run(main)
        assert hooks.heard == [("started", 1), ("left", 1, None)]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("error", [ServerError("down"), ZeroDivisionError()])
    def test_one_that_is_refused_failed(self, stream: bool, error: Exception) -> None:
        provider, hooks = watched(error)
        with pytest.raises(type(error)):
            run(lambda: provider.complete(HI, stream=stream))
        assert hooks.heard == [("started", 1), ("failed", 1, type(error))]

    def test_so_did_one_that_cannot_be_asked_so(self) -> None:
        provider, hooks = watched("never")
        with pytest.raises(UnsupportedFeatureError):
            run(lambda: provider.complete(HI, stream=True, response_format={"type": "json_object"}))
        assert hooks.heard == [("started", 1), ("failed", 1, UnsupportedFeatureError)]

    def test_and_one_that_broke_off(self) -> None:
        provider, hooks = watched(["One ", ServerError("down")])
        with pytest.raises(ServerError):
            run(lambda: read(provider))
        assert hooks.heard == [("started", 1), ("first_delta", 1), ("failed", 1, ServerError)]

    def test_and_one_that_just_stops(self) -> None:
        class Stops:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
                async def one() -> Any:
                    yield StreamDelta("a")

                return one()

        hooks = Notes()
        with pytest.raises(StreamInterruptedError):
            run(lambda: read(InstrumentedProvider(Stops(), hooks)))
        assert hooks.heard[-1] == ("failed", 1, StreamInterruptedError)

    def test_calls_are_told_apart_by_their_number(self) -> None:
        async def main() -> list[tuple[Any, ...]]:
            provider, hooks = watched("a", [5.0, "b"], "c")
            first = await provider.complete(HI, stream=True)
            second = asyncio.ensure_future(provider.complete(HI))
            await asyncio.sleep(1)
            await provider.complete(HI)
            await second
            await first.aclose()
            return hooks.heard

        assert run(main) == [
            ("started", 1),
            ("started", 2),
            ("started", 3),
            ("finished", 3, "c"),
            ("finished", 2, "b"),
            ("left", 1, ""),
        ]

    def test_it_hears_of_each_attempt_below_a_retry_and_of_hits_above_a_cache(self) -> None:
        async def main() -> None:
            provider, hooks = watched(ServerError("down"), "a")
            await RetryProvider(provider, RetryConfig()).complete(HI)
            assert [hook for hook, *_ in hooks.heard] == ["started", "failed", "started", "finished"]
            above = Notes()
            cached = InstrumentedProvider(CachedProvider(FakeProvider(["a"])), above)
            await read(cached)
            await read(cached)
            assert [hook for hook, *_ in above.heard] == ["started", "first_delta", "finished"] * 2

        run(main)


class TestCall:
    def test_it_says_who_is_asked_what_and_when(self) -> None:
        provider, hooks = watched("a", "b", name="n", model="m")

        async def main() -> None:
            await asyncio.sleep(5)
            messages = list(HI)
            await provider.complete(messages, temperature=0.5)
            messages.append(Message("user", "?"))
            await provider.complete(messages, stream=True, model="other", seed=None)

        run(main)
        assert hooks.calls == [
            ProviderCall(1, "n", "m", tuple(HI), {"temperature": 0.5}, False, 5.0),
            ProviderCall(2, "n", "other", (*HI, Message("user", "?")), {"model": "other"}, True, 5.0),
        ]
        with pytest.raises(FrozenInstanceError):
            hooks.calls[0].number = 3  # type: ignore[misc]  # that is what is tested

    def test_it_holds_no_secret(self) -> None:
        provider, hooks = watched("a")
        tools = [ToolSchema("f", "d", {})]
        options: Any = {
            "extra_headers": {"X-Key": "odd-secret-value", "a": "b"},
            "extra_body": {"key": CANARY, "other": ["odd-secret-value"]},
            "stop": ("x", "y"),
        }
        run(lambda: provider.complete(HI, tools=tools, **options))
        assert hooks.calls[0].options == {
            "tools": tools,
            "extra_headers": {"a": "***", "x-key": "***"},
            "extra_body": {"key": "***", "other": ["***"]},
            "stop": ["x", "y"],
        }


class TestHooksThatRaise:
    def test_they_disturb_nothing_and_are_logged_once_each(self, caplog: pytest.LogCaptureFixture) -> None:
        hooks = ["started", "first_delta", "finished", "failed", "left"]
        provider, notes = watched("a", "b", ServerError("down"), ServerError("down"), "c", "d", raising=hooks)

        async def main() -> None:
            assert [(await read(provider)).message.content for _ in range(2)] == ["a", "b"]
            for _ in range(2):
                with pytest.raises(ServerError):
                    await provider.complete(HI)
            for _ in range(2):
                await (await provider.complete(HI, stream=True)).aclose()

        with caplog.at_level(logging.ERROR, logger="ecs_agent"):
            run(main)
        records = [record for record in caplog.records if record.name == "ecs_agent.providers.instrumented"]
        assert [getattr(record, "fields", {})["hook"] for record in records] == hooks
        assert [hook for hook, *_ in notes.heard].count("started") == 6

    def test_a_cancel_that_comes_from_one_is_not_swallowed(self) -> None:
        class Stopping(CallHooks):
            def started(self, call: ProviderCall) -> None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(lambda: InstrumentedProvider(FakeProvider(["a"]), Stopping()).complete(HI))


def test_hooks_that_override_nothing_hear_nothing() -> None:
    async def main() -> None:
        provider = InstrumentedProvider(FakeProvider(["a", "a", ServerError("down")]), CallHooks())
        await read(provider)
        await (await provider.complete(HI, stream=True)).aclose()
        with pytest.raises(ServerError):
            await provider.complete(HI)

    run(main)


def test_a_delta_costs_nothing_more() -> None:
    """The very lists that the source reads are handed out, and nobody looks at what is in them."""
    batches: list[Sequence[StreamDelta]] = [
        TextDeltas([StreamDelta("a"), StreamDelta("b")]),
        [StreamDelta(finish_reason="stop", usage=Usage(1, 2, 3), final=True)],
    ]

    class Source:
        async def read(self) -> Sequence[StreamDelta]:
            return left.pop(0) if left else ()

        async def aclose(self) -> None: ...

        def abort(self) -> None: ...

    class Batches:
        async def complete(self, messages: Sequence[Message], stream: bool = False) -> CompletionStream:
            return CompletionStream(Source())

    left = list(batches)

    async def main() -> None:
        stream = await InstrumentedProvider(Batches(), Notes()).complete(HI, stream=True)
        assert await stream.read() is batches[0]
        assert await stream.read() is batches[1]

    run(main)
