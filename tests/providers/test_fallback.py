"""FallbackProvider: who is asked next, after which failure, for how long one that failed is passed over, and what is said at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    EcsAgentError,
    ErrorKind,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderExhaustedError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from ecs_agent.providers import Capabilities, FakeProvider, FallbackProvider
from ecs_agent.providers.fallback import PASSED_ON
from ecs_agent.testing import assert_stream_laws, run
from ecs_agent.types import Message, StreamDelta

HI = [Message("user", "Hi")]
PROVIDER_AT_FAULT = [
    AuthenticationError("key"),
    RateLimitError("slow"),
    QuotaError("credit"),
    ServerError("down"),
    ProviderConnectionError("refused"),
    ProviderTimeoutError("silent"),
    StreamInterruptedError("lost"),
    MalformedResponseError("a page"),
]
REQUEST_AT_FAULT = [BadRequestError("option"), ContextLengthError("long"), ContentFilterError("no")]


def fake(name: str, *answers: Any, **options: Any) -> FakeProvider:
    return FakeProvider(answers, delay=0, name=name, **options)


async def text(provider: FallbackProvider, *, stream: bool) -> str:
    if not stream:
        return (await provider.complete(HI)).message.content
    return "".join([delta.content or "" async for delta in await provider.complete(HI, stream=True)])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@both
@pytest.mark.parametrize("error", PROVIDER_AT_FAULT, ids=lambda error: str(error.kind))
async def test_the_next_one_is_asked_where_the_provider_is_at_fault(error: ProviderError, stream: bool) -> None:
    provider = FallbackProvider([fake("a", error), fake("b", "from b")])
    assert await text(provider, stream=stream) == "from b"
    assert provider.last_used == "b"


@both
@pytest.mark.parametrize("error", REQUEST_AT_FAULT, ids=lambda error: str(error.kind))
async def test_nobody_else_is_asked_where_the_request_is(error: ProviderError, stream: bool) -> None:
    second = fake("b", "never asked")
    with pytest.raises(type(error)) as caught:
        await text(FallbackProvider([fake("a", error), second]), stream=stream)
    assert caught.value is error
    assert caught.value.provider == "a"
    assert second.calls == []


def test_every_kind_of_failure_is_decided() -> None:
    assert {error.kind for error in PROVIDER_AT_FAULT} == PASSED_ON
    assert {error.kind for error in REQUEST_AT_FAULT} == set(ErrorKind) - PASSED_ON


async def test_which_kinds_count_can_be_chosen() -> None:
    a = fake("a", ContextLengthError("long"), ServerError("down"))
    provider = FallbackProvider([a, fake("b", "roomy")], on=[ErrorKind.CONTEXT_LENGTH], cooldown=0)
    assert await text(provider, stream=False) == "roomy"
    with pytest.raises(ServerError):
        await text(provider, stream=False)


async def test_an_answer_that_fails_before_its_first_delta_is_asked_of_the_next_one() -> None:
    async def refuses_late() -> AsyncIterator[StreamDelta]:
        raise ServerError("overloaded, said inside a 200")
        yield StreamDelta()  # type: ignore[unreachable]  # makes it a generator

    class Late:
        name = "late"

        async def complete(self, messages: Sequence[Message], stream: bool = False) -> AsyncIterator[StreamDelta]:
            return refuses_late()

    provider = FallbackProvider([Late(), fake("b", "from b")])
    assert await text(provider, stream=True) == "from b"
    assert provider.last_used == "b"
    with pytest.raises(ProviderExhaustedError):  # "late" is passed over now
        await text(provider, stream=True)


async def test_one_that_breaks_off_after_its_first_delta_is_broken_and_says_who_broke_it() -> None:
    second = fake("b", "never asked")
    provider = FallbackProvider([fake("a", ["Once upon", ServerError("down")], by="chunk"), second])
    stream = await provider.complete(HI, stream=True)
    with pytest.raises(ServerError) as caught:
        async for _ in stream:
            pass
    assert caught.value.provider == "a"
    assert caught.value.partial is not None
    assert caught.value.partial.message.content == "Once upon"
    assert second.calls == []


async def test_a_whole_answer_that_breaks_off_was_shown_to_nobody_and_is_asked_of_the_next_one() -> None:
    provider = FallbackProvider([fake("a", ["Once upon", StreamInterruptedError("lost")]), fake("b", "All of it.")])
    assert await text(provider, stream=False) == "All of it."


@both
async def test_when_nobody_can_be_asked_the_error_says_who_failed_and_why(stream: bool) -> None:
    provider = FallbackProvider([fake("a", AuthenticationError("bad key", status=401)), fake("b", ServerError("down", status=503))])
    with pytest.raises(ProviderError, match=r"none of 2 providers could be asked: a: bad key; b: down") as caught:
        await text(provider, stream=stream)
    error = caught.value
    assert (type(error), error.status, error.provider, error.retryable) == (ServerError, 503, "b", True)
    assert isinstance(error.__cause__, ServerError)
    assert provider.last_used is None


async def test_it_asks_to_wait_as_long_as_it_takes_until_the_first_may_be_asked_again() -> None:
    provider = FallbackProvider([fake("a", RateLimitError("slow", retry_after=9.0)), fake("b", RateLimitError("slow", retry_after=3.0))])
    with pytest.raises(RateLimitError) as caught:
        await text(provider, stream=False)
    assert caught.value.retry_after == 3.0


async def test_it_names_no_wait_where_one_of_them_named_none() -> None:
    provider = FallbackProvider([fake("a", RateLimitError("slow", retry_after=9.0)), fake("b", ServerError("down"))])
    with pytest.raises(RateLimitError) as caught:
        await text(provider, stream=False)
    assert caught.value.retry_after is None


async def test_the_failure_of_a_single_one_is_its_own() -> None:
    error = QuotaError("credit")
    with pytest.raises(QuotaError) as caught:
        await text(FallbackProvider([fake("a", error)]), stream=False)
    assert caught.value is error
    assert error.provider == "a"


async def test_the_failure_of_a_single_one_is_not_its_own_cause() -> None:
    with pytest.raises(ServerError) as caught:
        await FallbackProvider([fake("one", ServerError("down"))]).complete(HI)
    assert caught.value.__cause__ is None


async def test_failures_without_a_kind_of_ours_are_told_by_what_they_are() -> None:
    class Foreign:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
            raise self.error

    assert await text(FallbackProvider([Foreign(ConnectionResetError("x")), Foreign(TimeoutError("y")), fake("c", "here")]), stream=False) == "here"
    with pytest.raises(ZeroDivisionError):
        await text(FallbackProvider([Foreign(ZeroDivisionError("a bug")), fake("c", "never asked")]), stream=False)
    with pytest.raises(ProviderConnectionError, match="Foreign: x; Foreign: y") as caught:
        await text(FallbackProvider([Foreign(OSError("x")), Foreign(TimeoutError("y"))]), stream=False)
    assert caught.value.retryable


class TestPassingOver:
    async def test_one_that_failed_is_not_asked_until_its_time_has_come(self) -> None:
        clock = Clock()
        a, b = fake("a", ServerError("down"), "a is back"), fake("b", *["from b"] * 3)
        provider = FallbackProvider([a, b], cooldown=30.0, clock=clock)
        assert await text(provider, stream=False) == "from b"
        clock.now = 29.9
        assert await text(provider, stream=True) == "from b"
        assert len(a.calls) == 1
        clock.now = 30.0
        assert await text(provider, stream=False) == "a is back"
        assert provider.last_used == "a"

    async def test_the_server_says_how_long(self) -> None:
        clock = Clock()
        a, b = fake("a", RateLimitError("slow", retry_after=2.0), "a is back"), fake("b", "from b")
        provider = FallbackProvider([a, b], cooldown=30.0, clock=clock)
        assert await text(provider, stream=False) == "from b"
        clock.now = 2.0
        assert await text(provider, stream=False) == "a is back"

    async def test_a_request_asks_all_before_it_fails_whoever_may_be_asked_again_first(self) -> None:
        clock = Clock()
        a, b = fake("a", RateLimitError("slow", retry_after=60.0), "a again"), fake("b", ServerError("down"), ServerError("down"))
        provider = FallbackProvider([a, b], cooldown=5.0, clock=clock)
        with pytest.raises(ProviderError):
            await text(provider, stream=False)
        assert await text(provider, stream=False) == "a again"
        assert len(b.calls) == 2

    async def test_an_answer_ends_it(self) -> None:
        clock = Clock()
        a, b = fake("a", ServerError("down"), "one", "two"), fake("b", ServerError("down"))
        provider = FallbackProvider([a, b], clock=clock)
        with pytest.raises(ProviderError):
            await text(provider, stream=False)
        assert [await text(provider, stream=False), await text(provider, stream=False)] == ["one", "two"]
        assert len(b.calls) == 1

    async def test_it_is_logged_without_what_was_asked(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, logger="ecs_agent"):
            await text(FallbackProvider([fake("a", ServerError("down")), fake("b", "from b")]), stream=False)
        assert "asking the next provider" in caplog.text
        assert "Hi" not in caplog.text

    def test_time_is_that_of_the_loop(self) -> None:
        async def main() -> list[str]:
            provider = FallbackProvider([fake("a", ServerError("down"), "a is back"), fake("b", "from b")], cooldown=30.0)
            first = await text(provider, stream=False)
            await asyncio.sleep(30)
            return [first, await text(provider, stream=False)]

        assert run(main) == ["from b", "a is back"]


async def test_the_first_ones_model_is_asked_for_of_nobody_else() -> None:
    a, b = fake("a", ServerError("down"), model="large"), fake("b", "from b", model="small")
    provider = FallbackProvider([a, b])
    await provider.complete(HI, model="huge", temperature=0.5)
    assert [(call.model, call.options.get("temperature")) for call in (*a.calls, *b.calls)] == [("huge", 0.5), ("small", 0.5)]
    assert provider.model == "large"


async def test_a_limit_of_time_that_is_lifted_is_lifted_for_whoever_knows_it() -> None:
    a = fake("a", "x")
    await FallbackProvider([a]).complete(HI, read_timeout=None)
    assert a.calls[0].options == {"read_timeout": None}

    class Plain:
        async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
            return await FakeProvider(["plain"], delay=0).complete(messages)

    assert (await FallbackProvider([Plain()]).complete(HI, read_timeout=None)).message.content == "plain"


async def test_foreign_providers_get_what_they_take() -> None:
    class Parrot:
        async def complete(self, messages: Sequence[Message], stream: bool = False) -> AsyncIterator[StreamDelta]:
            return self.say(messages[-1].content)

        async def say(self, words: str) -> AsyncIterator[StreamDelta]:
            yield StreamDelta(words)
            yield StreamDelta(finish_reason="stop", final=True)

    provider = FallbackProvider([fake("a", ServerError("down"), ServerError("down")), Parrot()], cooldown=0)
    with pytest.warns(RuntimeWarning, match="does not take 'temperature'"):
        assert (await provider.complete(HI, temperature=0.1)).message.content == "Hi"
    assert await text(provider, stream=True) == "Hi"


def test_it_can_what_all_of_them_can() -> None:
    able = Capabilities(prefill=True, context_window=8_000)
    provider = FallbackProvider(
        [fake("a", capabilities=able), fake("b", capabilities=Capabilities(prefill=True, images=False, context_window=2_000))]
    )
    assert provider.capabilities == Capabilities(prefill=True, images=False, context_window=2_000)
    assert FallbackProvider([fake("a", capabilities=able), fake("b")]).capabilities == Capabilities(context_window=8_000)


def test_what_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        FallbackProvider([])
    with pytest.raises(TypeError, match="a str is no provider"):
        FallbackProvider(["openai"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="cooldown is -1"):
        FallbackProvider([fake("a")], cooldown=-1)


async def test_closing_closes_all_even_if_one_cannot_be() -> None:
    closed: list[str] = []

    class Closing:
        def __init__(self, name: str, *, fails: bool = False) -> None:
            self.name, self.fails = name, fails

        async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any: ...

        async def aclose(self) -> None:
            closed.append(self.name)
            if self.fails:
                raise EcsAgentError(self.name)

    with pytest.raises(EcsAgentError, match="a"):
        await FallbackProvider([Closing("a", fails=True), fake("b"), Closing("c")]).aclose()
    assert closed == ["a", "c"]


class Slow:
    """Takes its time to answer."""

    name = "slow"

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return FakeProvider(["late"], delay=0)


def failing_late() -> Any:
    class Late:
        name = "late"

        async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
            async def deltas() -> AsyncIterator[StreamDelta]:
                await asyncio.sleep(1)
                raise ServerError("down")
                yield StreamDelta()  # type: ignore[unreachable]  # makes it a generator

            return deltas()

    return Late()


@pytest.mark.parametrize("way", ["close", "abort", "cancel"])
def test_leaving_while_the_next_one_is_asked_ends_the_asking(way: str) -> None:
    async def main() -> tuple[list[str], str]:
        slow = Slow()
        stream = await FallbackProvider([failing_late(), slow]).complete(HI, stream=True)
        reading = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(2)
        if way == "close":
            await stream.aclose()
        elif way == "abort":
            stream.abort()
        else:
            reading.cancel()
        await asyncio.wait([reading], timeout=1)
        return slow.ended, "cancelled" if reading.cancelled() else str(reading.result())

    assert run(main) == (["cancelled"], "cancelled" if way == "cancel" else "None")


def test_its_streams_keep_the_laws() -> None:
    async def main() -> None:
        answers = ["One two three four."] * 7
        await assert_stream_laws(FallbackProvider([fake("a", *answers)]), deterministic=True)
        failing = [ServerError("down")] * 7
        await assert_stream_laws(FallbackProvider([fake("a", *failing), FakeProvider(answers)], cooldown=0), deterministic=True)

    run(main)


async def test_leaving_it_closes_all() -> None:
    closed: list[str] = []

    class Closing(FakeProvider):
        async def aclose(self) -> None:
            closed.append(self.name)

    async with FallbackProvider([Closing(["a"], name="one"), Closing(["b"], name="two")]) as provider:
        assert (await provider.complete([Message("user", "Hi")])).message.content == "a"
        assert closed == []
    assert closed == ["one", "two"]
