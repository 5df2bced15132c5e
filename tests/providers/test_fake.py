"""FakeProvider: streams as a real one does, from a script."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_agent.errors import ProviderExhaustedError, RateLimitError, StreamInterruptedError, UnsupportedFeatureError
from ecs_agent.providers import FakeProvider, Script
from ecs_agent.streaming import CompletionStream, fold
from ecs_agent.testing import run
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolCall, Usage

HI = [Message("user", "Hi")]


async def deltas_of(provider: FakeProvider) -> list[StreamDelta]:
    return [delta async for delta in await provider.complete(HI, stream=True)]


@pytest.mark.parametrize(("by", "pieces"), [("character", ["O", "h", " ", "n", "o"]), ("chunk", ["Oh ", "no"]), (2, ["Oh", " n", "o"])])
async def test_it_streams_by_character_by_word_or_by_size(by: Any, pieces: list[str]) -> None:
    deltas = await deltas_of(FakeProvider(["Oh no"], delay=0, by=by))
    assert [delta.content for delta in deltas[:-1]] == pieces
    assert (deltas[-1].final, deltas[-1].finish_reason) == (True, "stop")


async def test_the_usage_of_a_plain_text_is_an_estimate_and_says_so() -> None:
    deltas = await deltas_of(FakeProvider(["Oh no"], delay=0))
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.estimated


async def test_tool_calls_stream_as_fragments_and_end_whole() -> None:
    call = ToolCall("c1", "add", {"a": 1, "b": 2})
    deltas = await deltas_of(FakeProvider([CompletionResult(Message("assistant", "", [call]), Usage(1, 2, 3))], delay=0))
    assert sum(len(delta.tool_fragments) for delta in deltas) > 5
    assert deltas[-1].tool_calls == (call,)
    assert (deltas[-1].finish_reason, deltas[-1].usage) == ("tool_calls", Usage(1, 2, 3))


async def test_streamed_and_whole_are_the_same_answer() -> None:
    script = Script("text", reasoning="thought", tool_calls=[ToolCall("c", "f", {"x": "y"})], usage=Usage(1, 1, 2))
    streamed = fold(await deltas_of(FakeProvider([script], delay=0)))
    assert await FakeProvider([script]).complete(HI) == streamed


async def test_it_can_break_off_in_the_middle() -> None:
    provider = FakeProvider([Script("abcdef", error=StreamInterruptedError("lost"), fail_after=3)], delay=0)
    with pytest.raises(StreamInterruptedError) as caught:
        await deltas_of(provider)
    assert caught.value.partial is not None
    assert caught.value.partial.message == Message("assistant", "abc", interrupted=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_the_script_is_raised_before_anything_is_said(stream: bool) -> None:
    with pytest.raises(RateLimitError):
        await FakeProvider([RateLimitError("slow")]).complete(HI, stream)


async def test_breaking_off_fails_a_whole_answer_too() -> None:
    with pytest.raises(StreamInterruptedError):
        await FakeProvider([Script("abc", error=StreamInterruptedError("lost"), fail_after=1)]).complete(HI)


async def test_a_script_that_is_used_up_says_how_many_there_were() -> None:
    provider = FakeProvider(["one"], delay=0)
    await provider.complete(HI)
    with pytest.raises(ProviderExhaustedError, match="1 were scripted, this is request 2"):
        await provider.complete(HI)
    with pytest.raises(IndexError):
        await provider.complete(HI)


async def test_an_answer_may_depend_on_the_question() -> None:
    provider = FakeProvider([lambda messages: messages[-1].content.upper()])
    assert (await provider.complete(HI)).message.content == "HI"


async def test_it_remembers_what_it_was_asked() -> None:
    provider = FakeProvider(["{}"], model="m")
    await provider.complete(HI, response_format={"type": "json_object"}, temperature=0.5)
    assert provider.last_response_format == {"type": "json_object"}
    assert provider.calls[0].messages == HI
    assert provider.calls[0].options["temperature"] == 0.5
    assert repr(provider) == "FakeProvider(0 answers left)"


async def test_structured_output_cannot_be_streamed() -> None:
    with pytest.raises(UnsupportedFeatureError):
        await FakeProvider(["{}"]).complete(HI, stream=True, response_format={})


def test_its_pauses_are_virtual_on_a_virtual_clock() -> None:
    async def main() -> tuple[float, float | None]:
        loop = asyncio.get_running_loop()
        stream = await FakeProvider(["x" * 1_000], delay=1.0).complete(HI, stream=True)
        async for _ in stream:
            pass
        return loop.time(), stream.timing.gap_p50

    elapsed, gap = run(main)
    assert elapsed == pytest.approx(1_002, abs=2)
    assert gap == pytest.approx(1.0, rel=0.05)


async def test_closing_forgets_the_rest() -> None:
    stream = await FakeProvider(["abc"], delay=0).complete(HI, stream=True)
    assert isinstance(stream, CompletionStream)
    await anext(stream)
    await stream.aclose()
    assert stream.result().message.content == "a"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_typical_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match="list of answers"):
        FakeProvider("not a list")
    with pytest.raises(ValueError, match="'word'"):
        FakeProvider([], by="word")  # type: ignore[arg-type]  # the mistake under test


async def test_an_answer_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        await FakeProvider([7]).complete(HI)  # type: ignore[list-item]  # the mistake under test
