"""WrapperProvider: what stands before a provider and does nothing; and that the others are one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from ecs_agent.errors import ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers import (
    CachedProvider,
    CallHooks,
    Capabilities,
    Cassette,
    FakeProvider,
    InstrumentedProvider,
    LLMProvider,
    OpenAIProvider,
    RateLimitedProvider,
    RecordingProvider,
    RetryProvider,
    WrapperProvider,
)
from ecs_agent.streaming import CompletionStream
from ecs_agent.testing import ScriptedTransport, assert_stream_laws, run
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolCall, Usage

HI = [Message("user", "Hi")]

WRAPPERS: dict[str, Callable[[Any], WrapperProvider]] = {
    "nothing": WrapperProvider,
    "retry": RetryProvider,
    "recording": lambda provider: RecordingProvider(provider, Cassette()),
    "rate limited": lambda provider: RateLimitedProvider(provider, requests_per_minute=100, tokens_per_minute=100_000, max_concurrent=1, wait=60),
    "cached": CachedProvider,
    "instrumented": lambda provider: InstrumentedProvider(provider, CallHooks()),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
SCRIPTS: list[Any] = ["One two three four.", ["Let me ", "look. ", ToolCall("c1", "look", {"at": "the sky"}), Usage(9, 8, 17)], ""]


class Stranger:
    """Takes few options, streams by a generator, and says nothing of itself."""

    def __init__(self) -> None:
        self.is_closed = False

    async def complete(self, messages: Sequence[Message], stream: bool = False, temperature: float | None = None) -> Any:
        return self._say(f"at {temperature}")

    async def _say(self, text: str) -> AsyncIterator[StreamDelta]:
        try:
            for word in text.split():
                yield StreamDelta(word)
            yield StreamDelta(finish_reason="stop", final=True)
        finally:
            self.is_closed = True


@every_wrapper
@pytest.mark.parametrize("script", SCRIPTS, ids=["text", "calls", "empty"])
class TestLaws:
    def test_over_a_script(self, wrap: Callable[[Any], WrapperProvider], script: Any) -> None:
        run(lambda: assert_stream_laws(wrap(FakeProvider([script] * 7, delay=0.01, by="word")), deterministic=True))

    def test_over_http(self, wrap: Callable[[Any], WrapperProvider], script: Any) -> None:
        async def main() -> None:
            transport = ScriptedTransport([script], delay=0.01)
            async with OpenAIProvider("key", transport.base_url, "m", transport=transport) as inner:
                await assert_stream_laws(wrap(inner), deterministic=True)
            assert all(received.closed.is_set() for received in transport.requests)

        run(main)


@every_wrapper
class TestWrapper:
    def test_one_that_breaks_off_keeps_them_too(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        run(lambda: assert_stream_laws(wrap(FakeProvider([["One ", ServerError("down")]], delay=0.01)), may_fail=True))

    def test_it_is_the_provider_that_it_wraps(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        inner = FakeProvider([], name="n", model="m", capabilities=Capabilities(prefill=True))
        provider = wrap(inner)
        assert (provider.name, provider.model, provider.capabilities) == ("n", "m", Capabilities(prefill=True))
        assert provider.provider is inner
        assert repr(provider) == f"{type(provider).__name__}(FakeProvider(0 answers left))"
        assert isinstance(provider, LLMProvider)

    def test_what_a_provider_does_not_say_has_a_default(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        provider = wrap(Stranger())
        assert (provider.name, provider.model, provider.capabilities) == ("Stranger", "", Capabilities())

    async def test_its_end_is_the_end_of_the_wrapped_one(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        closed: list[bool] = []

        class Closable(FakeProvider):
            async def aclose(self) -> None:
                closed.append(True)

        async with wrap(Closable([])) as provider:
            assert closed == []
        await provider.aclose()
        assert closed == [True, True]
        await wrap(FakeProvider([])).aclose()

    def test_options_pass_through(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        async def main() -> None:
            inner = FakeProvider(["a", "b"])
            await wrap(inner).complete(HI, model="other", temperature=0.5)
            async with await wrap(inner).complete(HI, stream=True, seed=1) as stream:
                assert isinstance(stream, CompletionStream)
            assert [(call.model, call.stream, call.options) for call in inner.calls] == [
                ("other", False, {"model": "other", "temperature": 0.5}),
                ("fake", True, {"seed": 1}),
            ]

        run(main)

    def test_the_stream_is_the_one_that_the_wrapped_provider_returned(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        returned: list[object] = []

        class Noting(FakeProvider):
            async def complete(self, *args: Any, **options: Any) -> Any:
                returned.append(await super().complete(*args, **options))
                return returned[-1]

        async def main() -> None:
            async with await wrap(Noting(["a"])).complete(HI, stream=True) as stream:
                assert stream is returned[0]

        run(main)

    def test_a_foreign_provider_works_below_it(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        async def main() -> None:
            stranger = Stranger()
            provider = wrap(stranger)
            with pytest.warns(RuntimeWarning, match="does not take 'seed'"):
                assert (await provider.complete(HI, temperature=0.5, seed=1)).message.content == "at0.5"
            stream = await provider.complete(HI, stream=True, temperature=0.7)
            assert "".join([delta.content or "" async for delta in stream]) == "at0.7"
            stranger.is_closed = False
            async with await provider.complete(HI, stream=True) as stream:
                await anext(stream)
            assert stranger.is_closed

        run(main)

    def test_a_foreign_provider_that_just_stops_is_interrupted(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        class Stops(Stranger):
            async def _say(self, text: str) -> AsyncIterator[StreamDelta]:
                yield StreamDelta("a")

        async def main() -> None:
            for stream in (False, True):
                with pytest.raises(StreamInterruptedError):
                    answer = await wrap(Stops()).complete(HI, stream=stream)
                    assert isinstance(answer, CompletionStream)
                    _ = [delta async for delta in answer]

        run(main)

    def test_what_is_no_provider_is_refused(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        with pytest.raises(TypeError, match="a str is no provider"):
            wrap("gpt")

    def test_nothing_is_offered_that_no_provider_has(self, wrap: Callable[[Any], WrapperProvider]) -> None:
        class More(FakeProvider):
            def more(self) -> None: ...

        provider = wrap(More([]))
        assert not hasattr(provider, "more")
        assert hasattr(provider.provider, "more")


def test_wrappers_stand_before_each_other() -> None:
    async def main() -> None:
        inner = FakeProvider(["One two three four."] * 14, delay=0.01, by="word")
        provider: Any = inner
        for wrap in WRAPPERS.values():
            provider = wrap(provider)
        await assert_stream_laws(provider, deterministic=True)
        await assert_stream_laws(provider, deterministic=True)
        assert len(inner.calls) == 1  # which is whole; what must be refused goes no further than to the recording
        assert inner.open_streams == 0

    run(main)


def test_a_subclass_overrides_one_way_of_asking() -> None:
    class Loud(WrapperProvider):
        async def _whole(self, messages: Sequence[Message], options: Any) -> CompletionResult:
            result = await super()._whole(messages, options)
            return CompletionResult(Message("assistant", result.message.content.upper()))

    async def main() -> None:
        provider = Loud(FakeProvider(["a", "a"]))
        assert (await provider.complete(HI)).message.content == "A"
        stream = await provider.complete(HI, stream=True)
        assert "".join([delta.content or "" async for delta in stream]) == "a"

    run(main)


def test_an_error_is_the_wrapped_providers() -> None:
    error = ServerError("down")

    async def main() -> None:
        for stream in (False, True):
            with pytest.raises(ProviderError) as caught:
                await WrapperProvider(FakeProvider([error])).complete(HI, stream=stream)
            assert caught.value is error

    asyncio.run(main())
