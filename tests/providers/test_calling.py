"""Asking anybody's provider: by keyword, with what it takes, whatever it returns."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ecs_agent.errors import StreamInterruptedError
from ecs_agent.providers import FakeProvider, FallbackProvider, RetryProvider
from ecs_agent.providers.calling import accepted, as_stream, ask, takes
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.streaming import CompletionStream
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolCall, Usage

HI = [Message("user", "Hi")]


class Generator:
    """Streams only, and takes few options."""

    def __init__(self, *deltas: StreamDelta) -> None:
        self.deltas = deltas
        self.closed = False
        self.options: dict[str, Any] = {}

    async def complete(self, messages: Sequence[Message], stream: bool = False, temperature: float | None = None) -> Any:
        self.options = {"stream": stream, "temperature": temperature}
        return self._deltas()

    async def _deltas(self) -> AsyncIterator[StreamDelta]:
        try:
            for delta in self.deltas:
                yield delta
        finally:
            self.closed = True


class Whole:
    """Answers as a whole, whatever is asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def complete(self, messages: Sequence[Message], stream: bool = False, **options: Any) -> Any:
        return self.answer


async def open_stream(provider: Any, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
    """What a provider answers, as a stream."""
    return as_stream(await provider.complete(messages, stream=True, **accepted(provider, options)), provider)


async def test_a_generator_is_a_stream() -> None:
    provider = Generator(StreamDelta("a"), StreamDelta(finish_reason="stop"))
    stream = await open_stream(provider, HI, {})
    assert [delta.content async for delta in stream] == ["a", None]
    assert stream.result().finish_reason == "stop"


async def test_a_generator_that_just_stops_was_cut() -> None:
    stream = await open_stream(Generator(StreamDelta("a")), HI, {})
    with pytest.raises(StreamInterruptedError):
        _ = [delta async for delta in stream]


async def test_leaving_a_stream_closes_its_generator() -> None:
    provider = Generator(StreamDelta("a"), StreamDelta("b"))
    async with await open_stream(provider, HI, {}) as stream:
        await anext(stream)
    assert provider.closed


async def test_a_whole_answer_is_a_stream_of_one_delta() -> None:
    call = ToolCall("c", "f", {"a": 1})
    stream = await open_stream(Whole(CompletionResult(Message("assistant", "hm", [call]), Usage(1, 1, 2))), HI, {})
    (delta,) = [delta async for delta in stream]
    assert (delta.content, delta.tool_calls, delta.finish_reason, delta.usage, delta.final) == ("hm", [call], "tool_calls", Usage(1, 1, 2), True)


async def test_a_stream_is_folded_where_the_whole_was_asked_for() -> None:
    assert (await ask(Generator(StreamDelta("a"), StreamDelta("b", finish_reason="stop")), HI, {})).message.content == "ab"
    assert (await ask(FakeProvider(["ab"]), HI, {})).message.content == "ab"


async def test_only_what_is_set_and_taken_is_passed_and_the_rest_is_named_once() -> None:
    provider = Generator(StreamDelta("a", finish_reason="stop"))
    with pytest.warns(RuntimeWarning, match="'seed'"):
        await open_stream(provider, HI, {"temperature": 0.5, "seed": 1, "top_p": None})
    assert provider.options == {"stream": True, "temperature": 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await open_stream(provider, HI, {"temperature": 0.5})


async def test_what_is_no_answer_is_named() -> None:
    with pytest.raises(TypeError, match=r"Whole\.complete returned str"):
        await open_stream(Whole("text"), HI, {})


async def test_none_lifts_a_limit_of_time_where_there_is_one_and_says_nothing_elsewhere() -> None:
    class Plain:
        async def complete(self, messages: Sequence[Message], stream: bool = False, temperature: float = 1.0) -> CompletionResult:
            return CompletionResult(Message("assistant", f"at {temperature}"))

    timed = FakeProvider(["fine"], delay=0)
    await ask(timed, HI, {"read_timeout": None, "temperature": None})
    assert timed.calls[0].options == {"read_timeout": None}
    assert (await ask(Plain(), HI, {"read_timeout": None, "temperature": None})).message.content == "at 1.0"


def test_whether_an_option_is_taken_is_known_beforehand_also_of_those_behind() -> None:
    foreign: Any = Generator()
    assert takes(foreign, "temperature")
    assert not takes(foreign, "seed")
    assert takes(FakeProvider([]), "seed")
    assert takes(RetryProvider(FakeProvider([])), "seed")
    assert not takes(RetryProvider(foreign), "seed")
    assert not takes(FallbackProvider([FakeProvider([]), foreign]), "seed")
